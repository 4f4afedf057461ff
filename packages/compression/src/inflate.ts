/**
 * Raw deflate decoding (RFC 1951), for where there is no native one. Unlike the small libraries for it, it says where the
 * stream ends, refuses what zlib refuses, and never holds more output than allowed.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts, test/damage.test.ts.
 * @module
 */
import { type CompressorFamily, corrupt, truncated } from "./failures.ts";
import { copyMatch, createGrowable, finish, reserve } from "./growable.ts";

const maxCodeLength = 15;
const codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const lengthBase = Uint16Array.of(
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  10,
  11,
  13,
  15,
  17,
  19,
  23,
  27,
  31,
  35,
  43,
  51,
  59,
  67,
  83,
  99,
  115,
  131,
  163,
  195,
  227,
  258,
);
const lengthBits = Uint8Array.of(
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  1,
  1,
  1,
  2,
  2,
  2,
  2,
  3,
  3,
  3,
  3,
  4,
  4,
  4,
  4,
  5,
  5,
  5,
  5,
  0,
);
const distanceBase = Uint16Array.of(
  1,
  2,
  3,
  4,
  5,
  7,
  9,
  13,
  17,
  25,
  33,
  49,
  65,
  97,
  129,
  193,
  257,
  385,
  513,
  769,
  1025,
  1537,
  2049,
  3073,
  4097,
  6145,
  8193,
  12289,
  16385,
  24577,
);
const distanceBits = Uint8Array.of(
  0,
  0,
  0,
  0,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  5,
  6,
  6,
  7,
  7,
  8,
  8,
  9,
  9,
  10,
  10,
  11,
  11,
  12,
  12,
  13,
  13,
);

/** Entry i of `table` is, for the next `bits` bits i of the stream, symbol << 4 | code length; 0 where no code matches. */
interface Codes {
  readonly table: Uint16Array;
  bits: number;
}

interface Workspace {
  readonly lengths: Uint8Array;
  readonly lengthCodes: Codes;
  readonly literals: Codes;
  readonly distances: Codes;
  readonly fixedLiterals: Codes;
  readonly fixedDistances: Codes;
}

// One set of tables for all calls: decoding is synchronous, and a set is 132 KiB.
let workspace: Workspace | undefined;

function createWorkspace(): Workspace {
  const codes = (bits: number): Codes => ({ table: new Uint16Array(1 << bits), bits });
  const lengths = new Uint8Array(320);
  const created: Workspace = {
    lengths,
    lengthCodes: codes(7),
    literals: codes(maxCodeLength),
    distances: codes(maxCodeLength),
    fixedLiterals: codes(9),
    fixedDistances: codes(5),
  };
  buildCodes(
    created.fixedLiterals,
    lengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288),
    0,
    288,
  );
  buildCodes(created.fixedDistances, lengths.fill(5, 0, 32), 0, 32);
  return created;
}

/**
 * Canonical Huffman codes from their lengths. False when the lengths overfill the code space, or leave some of it unused
 * by more than the one exception of zlib (a single code of length 1, or none at all, which `emptyAllowed` decides).
 */
function buildCodes(
  codes: Codes,
  lengths: Uint8Array,
  from: number,
  count: number,
  emptyAllowed = false,
): boolean {
  const counts = new Uint16Array(maxCodeLength + 1);
  for (let symbol = 0; symbol < count; symbol++) counts[lengths[from + symbol]!]!++;
  let bits = maxCodeLength;
  while (bits > 0 && counts[bits] === 0) bits--;
  const { table } = codes;
  if (bits === 0) {
    codes.bits = 1;
    table[0] = 0;
    table[1] = 0;
    return emptyAllowed;
  }
  let free = 1;
  for (let length = 1; length <= bits; length++) {
    free = free * 2 - counts[length]!;
    if (free < 0) return false;
  }
  if (free > 0 && !(emptyAllowed && bits === 1)) return false;
  codes.bits = bits;
  const size = 1 << bits;
  if (free > 0) table.fill(0, 0, size);
  const next = new Uint16Array(maxCodeLength + 1);
  for (let length = 1, code = 0; length <= bits; length++) {
    next[length] = code;
    code = (code + counts[length]!) << 1;
  }
  for (let symbol = 0; symbol < count; symbol++) {
    const length = lengths[from + symbol]!;
    if (length === 0) continue;
    let code = next[length]!++;
    let reversed = 0;
    for (let bit = 0; bit < length; bit++) {
      reversed = (reversed << 1) | (code & 1);
      code >>= 1;
    }
    const entry = (symbol << 4) | length;
    for (let index = reversed; index < size; index += 1 << length) table[index] = entry;
  }
  return true;
}

export interface Inflated {
  /** The caller's; of just the decompressed size. */
  readonly bytes: Uint8Array;
  /** Offset in `source` just past the last byte the stream uses. */
  readonly end: number;
}

/**
 * Decodes one raw deflate stream that begins at `from`. `expectedBytes` is a guess at the result's length.
 * @throws {FormatError} `DM_COMPRESSED_TRUNCATED`, `DM_COMPRESSED_CORRUPT`, `DM_DECOMPRESSED_TOO_LARGE`
 */
export function inflate(
  source: Uint8Array,
  from: number,
  options: {
    readonly family: CompressorFamily;
    readonly maxBytes: number;
    readonly expectedBytes: number;
  },
): Inflated {
  const { family, maxBytes } = options;
  workspace ??= createWorkspace();
  const { lengths } = workspace;
  const end = source.length;
  const output = createGrowable(maxBytes, Math.max(1024, options.expectedBytes));
  let bytes = output.bytes;
  let capacity = bytes.length;
  let at = 0;
  // The next `held` bits of the stream, lowest first. Bytes past the end count as zeros, and as an error once one is used.
  let hold = 0;
  let held = 0;
  let next = from;

  const need = (count: number): void => {
    while (held < count) {
      hold |= (next < end ? source[next]! : 0) << held;
      next++;
      held += 8;
    }
  };
  const take = (count: number): number => {
    need(count);
    const value = hold & ((1 << count) - 1);
    hold >>>= count;
    held -= count;
    if (next - (held >> 3) > end) throw truncated(family, end);
    return value;
  };
  const takeSymbol = ({ table, bits }: Codes): number => {
    need(bits);
    const entry = table[hold & ((1 << bits) - 1)]!;
    if (entry === 0)
      throw next > end ? truncated(family, end) : corrupt(family, "no such Huffman code", next);
    take(entry & 15);
    return entry >> 4;
  };

  const readDynamicCodes = (codes: Workspace): void => {
    const literalCount = take(5) + 257;
    const distanceCount = take(5) + 1;
    const lengthCount = take(4) + 4;
    if (literalCount > 286 || distanceCount > 30)
      throw corrupt(family, "too many Huffman codes", next);
    lengths.fill(0, 0, 19);
    for (let index = 0; index < lengthCount; index++) lengths[codeLengthOrder[index]!] = take(3);
    if (!buildCodes(codes.lengthCodes, lengths, 0, 19))
      throw corrupt(family, "impossible code lengths", next);
    const total = literalCount + distanceCount;
    for (let index = 0; index < total; ) {
      const symbol = takeSymbol(codes.lengthCodes);
      if (symbol < 16) {
        lengths[index++] = symbol;
        continue;
      }
      if (symbol === 16 && index === 0)
        throw corrupt(family, "repeats a code length before the first", next);
      const value = symbol === 16 ? lengths[index - 1]! : 0;
      const count = symbol === 16 ? take(2) + 3 : symbol === 17 ? take(3) + 3 : take(7) + 11;
      if (index + count > total) throw corrupt(family, "too many code lengths", next);
      lengths.fill(value, index, index + count);
      index += count;
    }
    if (lengths[256] === 0) throw corrupt(family, "no code for the end of a block", next);
    if (
      !buildCodes(codes.literals, lengths, 0, literalCount, true) ||
      !buildCodes(codes.distances, lengths, literalCount, distanceCount, true)
    ) {
      throw corrupt(family, "impossible code lengths", next);
    }
  };

  const copyStored = (): void => {
    // Whole bytes that are already in `hold` go back; the rest of the current byte is skipped.
    next -= held >> 3;
    hold = 0;
    held = 0;
    if (next + 4 > end) throw truncated(family, end);
    const length = source[next]! | (source[next + 1]! << 8);
    if ((length ^ (source[next + 2]! | (source[next + 3]! << 8))) !== 0xffff) {
      throw corrupt(family, "length of a stored block does not match its complement", next);
    }
    next += 4;
    if (next + length > end) throw truncated(family, end);
    output.length = at;
    bytes = reserve(output, at + length);
    capacity = bytes.length;
    bytes.set(source.subarray(next, next + length), at);
    at += length;
    next += length;
  };

  const decodeBlock = (literals: Codes, distances: Codes): void => {
    const literalTable = literals.table;
    const distanceTable = distances.table;
    const literalMask = (1 << literals.bits) - 1;
    const distanceMask = (1 << distances.bits) - 1;
    // The bit buffer lives in locals here: shared with the closures above it costs a memory access a bit.
    let buffer = hold;
    let count = held;
    let position = next;
    let out = bytes;
    let room = capacity;
    let to = at;
    for (;;) {
      while (count <= 24) {
        buffer |= (position < end ? source[position]! : 0) << count;
        position++;
        count += 8;
      }
      let entry = literalTable[buffer & literalMask]!;
      let used = entry & 15;
      buffer >>>= used;
      count -= used;
      if (entry === 0)
        throw position > end
          ? truncated(family, end)
          : corrupt(family, "no such Huffman code", position);
      if (position - (count >> 3) > end) throw truncated(family, end);
      let symbol = entry >> 4;
      if (symbol < 256) {
        if (to === room) {
          output.length = to;
          out = reserve(output, to + 1);
          room = out.length;
        }
        out[to++] = symbol;
        continue;
      }
      if (symbol === 256) break;
      symbol -= 257;
      if (symbol > 28) throw corrupt(family, "no such length symbol", position);
      let extra = lengthBits[symbol]!;
      const length = lengthBase[symbol]! + (buffer & ((1 << extra) - 1));
      buffer >>>= extra;
      count -= extra;
      while (count <= 24) {
        buffer |= (position < end ? source[position]! : 0) << count;
        position++;
        count += 8;
      }
      entry = distanceTable[buffer & distanceMask]!;
      used = entry & 15;
      buffer >>>= used;
      count -= used;
      if (entry === 0)
        throw position > end
          ? truncated(family, end)
          : corrupt(family, "no such Huffman code", position);
      symbol = entry >> 4;
      if (symbol > 29) throw corrupt(family, "no such distance symbol", position);
      extra = distanceBits[symbol]!;
      while (count < extra) {
        buffer |= (position < end ? source[position]! : 0) << count;
        position++;
        count += 8;
      }
      const distance = distanceBase[symbol]! + (buffer & ((1 << extra) - 1));
      buffer >>>= extra;
      count -= extra;
      if (position - (count >> 3) > end) throw truncated(family, end);
      if (distance > to) throw corrupt(family, "copies from before the start", position);
      if (length > room - to) {
        output.length = to;
        out = reserve(output, to + length);
        room = out.length;
      }
      if (length > 32) {
        copyMatch(out, to, distance, length);
        to += length;
      } else {
        let back = to - distance;
        for (const stop = to + length; to < stop; ) out[to++] = out[back++]!;
      }
    }
    hold = buffer;
    held = count;
    next = position;
    bytes = out;
    capacity = room;
    at = to;
  };

  for (let last = 0; last === 0; ) {
    last = take(1);
    switch (take(2)) {
      case 0:
        copyStored();
        break;
      case 1:
        decodeBlock(workspace.fixedLiterals, workspace.fixedDistances);
        break;
      case 2:
        readDynamicCodes(workspace);
        decodeBlock(workspace.literals, workspace.distances);
        break;
      default:
        throw corrupt(family, "no such block type", next);
    }
  }
  output.length = at;
  return { bytes: finish(output), end: next - (held >> 3) };
}
