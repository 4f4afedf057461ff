/**
 * zstd decoding (RFC 8878), for where there is no native one: strict about every length and bit, verifies checksums, and
 * uses its own output as the window, so that a header cannot make it allocate.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts, test/zstd.test.ts, test/damage.test.ts.
 * @module
 */
import { checksumMismatch, corrupt } from "./failures.ts";
import { copyMatch, createGrowable, finish, type Growable, reserve } from "./growable.ts";
import { xxh64Low } from "./xxh64.ts";
import { blockCompressed, blockRaw, maxBlockBytes, type ZstdFrame } from "./zstd-frame.ts";
import {
  buildFseTable,
  defaultDistributions,
  type FseTable,
  literalLengthBase,
  literalLengthBits,
  matchLengthBase,
  matchLengthBits,
  type SequenceKind,
  symbolCounts,
} from "./zstd-tables.ts";

/** Readable bytes before and after a block in the workspace, so that bit reads near its ends need no bounds of their own. */
const margin = 64;
const maxHuffmanBits = 11;
const maxHuffmanWeightLog = 6;
const maxOffsetCode = 30;

const sequenceKinds: readonly SequenceKind[] = ["literalLength", "offset", "matchLength"];
const maxTableLog: Readonly<Record<SequenceKind, number>> = {
  literalLength: 9,
  offset: 8,
  matchLength: 9,
};

interface Workspace {
  /** The block being decoded, between its margins. */
  readonly block: Uint8Array;
  readonly view: DataView;
  readonly literals: Uint8Array;
  /** Entry: symbol | code length << 8. */
  readonly huffman: Uint16Array;
  readonly weights: Uint8Array;
}

// One set for all calls: decoding is synchronous, and a set is 260 KiB.
let workspace: Workspace | undefined;
let defaults: Record<SequenceKind, FseTable> | undefined;

/** What one block leaves behind for the next of its frame. */
interface FrameState {
  huffmanBits: number;
  readonly tables: Record<SequenceKind, FseTable | undefined>;
  readonly recent: [number, number, number];
}

function wrong(what: string, frame: ZstdFrame): Error {
  return corrupt("zstd", what, frame.start);
}

function createWorkspace(): Workspace {
  const block = new Uint8Array(margin + maxBlockBytes + margin);
  return {
    block,
    view: new DataView(block.buffer),
    literals: new Uint8Array(maxBlockBytes),
    huffman: new Uint16Array(1 << maxHuffmanBits),
    weights: new Uint8Array(256),
  };
}

/** The data of `frames`, one after the other. */
export function decodeZstdFrames(
  source: Uint8Array,
  frames: readonly ZstdFrame[],
  maxBytes: number,
): Uint8Array {
  let expected = 0;
  for (const frame of frames) {
    expected +=
      frame.contentBytes ?? Math.min(frame.boundBytes, 4 * (frame.end - frame.start) + 4096);
  }
  const output = createGrowable(maxBytes, expected);
  for (const frame of frames) decodeFrame(source, frame, output);
  return finish(output);
}

function decodeFrame(source: Uint8Array, frame: ZstdFrame, output: Growable): void {
  workspace ??= createWorkspace();
  const start = output.length;
  const state: FrameState = {
    huffmanBits: 0,
    tables: { literalLength: undefined, offset: undefined, matchLength: undefined },
    recent: [1, 4, 8],
  };
  let at = frame.blocks;
  for (let last = false; !last; ) {
    const header = source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16);
    at += 3;
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === blockCompressed) {
      workspace.block.set(source.subarray(at, at + size), margin);
      workspace.block.fill(0, margin + size, margin + size + margin);
      decodeBlock(workspace, size, frame, start, state, output);
      at += size;
    } else {
      const bytes = reserve(output, output.length + size);
      if (type === blockRaw) bytes.set(source.subarray(at, at + size), output.length);
      else bytes.fill(source[at]!, output.length, output.length + size);
      output.length += size;
      at += type === blockRaw ? size : 1;
    }
  }
  const length = output.length - start;
  if (frame.contentBytes !== undefined && length !== frame.contentBytes) {
    throw wrong(`it holds ${length} bytes where its header states ${frame.contentBytes}`, frame);
  }
  if (frame.hasChecksum) {
    const stored =
      (source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24)) >>>
      0;
    if (xxh64Low(output.bytes, start, output.length) !== stored) throw checksumMismatch("zstd", at);
  }
}

/** One compressed block of `size` bytes, already in the workspace. */
function decodeBlock(
  work: Workspace,
  size: number,
  frame: ZstdFrame,
  start: number,
  state: FrameState,
  output: Growable,
): void {
  const end = margin + size;
  const { block } = work;
  const section = decodeLiterals(work, size, frame, state);
  const literalCount = section.count;
  let at = section.end;
  if (at >= end) throw wrong("a block ends within its header", frame);
  let sequenceCount = block[at++]!;
  if (sequenceCount >= 128) {
    if (sequenceCount < 255) sequenceCount = ((sequenceCount - 128) << 8) | block[at++]!;
    else {
      sequenceCount = (block[at]! | (block[at + 1]! << 8)) + 0x7f00;
      at += 2;
    }
  }
  if (sequenceCount === 0) {
    if (at !== end) throw wrong("bytes follow the last section of a block", frame);
    if (literalCount > frame.blockMaxBytes) throw wrong("a block is too long", frame);
    reserve(output, output.length + literalCount).set(
      work.literals.subarray(0, literalCount),
      output.length,
    );
    output.length += literalCount;
    return;
  }
  if (at >= end) throw wrong("a block ends within its header", frame);
  const modes = block[at++]!;
  if ((modes & 3) !== 0) throw wrong("reserved bits of a sequence section are set", frame);
  defaults ??= {
    literalLength: buildFseTable(defaultDistributions.literalLength),
    offset: buildFseTable(defaultDistributions.offset),
    matchLength: buildFseTable(defaultDistributions.matchLength),
  };
  for (let index = 0; index < 3; index++) {
    const kind = sequenceKinds[index]!;
    switch ((modes >> (6 - 2 * index)) & 3) {
      case 0:
        state.tables[kind] = defaults[kind];
        break;
      case 1: {
        const symbol = block[at++]!;
        if (at > end || symbol >= symbolCounts[kind]) throw wrong("no such sequence symbol", frame);
        state.tables[kind] = { log: 0, entries: Int32Array.of(symbol) };
        break;
      }
      case 2: {
        const read = readFseTable(work, at, end, maxTableLog[kind], symbolCounts[kind], frame);
        state.tables[kind] = read.table;
        at = read.end;
        break;
      }
      default:
        if (state.tables[kind] === undefined)
          throw wrong("it repeats a table that was not there", frame);
    }
  }
  if (at >= end) throw wrong("a block ends before its sequences", frame);
  executeSequences(work, at, end, sequenceCount, literalCount, frame, start, state, output);
}

/** Number of bits in the backward bit stream of `from` to `end`, whose highest set bit only marks the end. */
function streamBits(block: Uint8Array, from: number, end: number, frame: ZstdFrame): number {
  const final = end > from ? block[end - 1]! : 0;
  if (final === 0) throw wrong("a bit stream lacks its end mark", frame);
  return (end - from) * 8 - 1 - Math.clz32(final) + 24;
}

/** A table description (RFC 8878, 4.1.1), read forwards from `at`. */
function readFseTable(
  { view }: Workspace,
  at: number,
  end: number,
  maxLog: number,
  symbolCount: number,
  frame: ZstdFrame,
): { table: FseTable; end: number } {
  let position = at * 8;
  const peek = (count: number): number =>
    (view.getInt32(position >> 3, true) >>> (position & 7)) & ((1 << count) - 1);
  const log = peek(4) + 5;
  position += 4;
  if (at >= end || log > maxLog) throw wrong("a table has too many states", frame);
  const counts: number[] = [];
  let free = 1 << log;
  while (free > 0) {
    if (counts.length >= symbolCount || position > end * 8)
      throw wrong("a table describes too many symbols", frame);
    // A value from 0 to free + 1; the smallest ones are written with one bit less.
    const bits = 32 - Math.clz32(free + 1);
    const short = (1 << bits) - 1 - (free + 1);
    let value = peek(bits - 1);
    if (value < short) position += bits - 1;
    else {
      value = peek(bits);
      if (value >= 1 << (bits - 1)) value -= short;
      position += bits;
    }
    const count = value - 1;
    counts.push(count);
    free -= Math.abs(count);
    if (count !== 0) continue;
    let zeros: number;
    do {
      zeros = peek(2);
      position += 2;
      for (let index = 0; index < zeros; index++) counts.push(0);
    } while (zeros === 3 && counts.length < symbolCount);
  }
  const tableEnd = (position + 7) >> 3;
  if (free < 0 || counts.length > symbolCount || tableEnd > end)
    throw wrong("a table does not add up", frame);
  return { table: buildFseTable({ log, counts }), end: tableEnd };
}

/** The literals section: `count` bytes in the workspace; it ends at `end`. */
function decodeLiterals(
  work: Workspace,
  size: number,
  frame: ZstdFrame,
  state: FrameState,
): { count: number; end: number } {
  const { block, view, literals } = work;
  const limit = margin + size;
  let at = margin;
  if (size < 1) throw wrong("an empty compressed block", frame);
  const type = block[at]! & 3;
  const format = (block[at]! >> 2) & 3;
  if (type < 2) {
    // Raw or one byte repeated.
    const headerLength = (format & 1) === 0 ? 1 : format === 1 ? 2 : 3;
    const header = view.getInt32(at, true);
    const count =
      headerLength === 1
        ? (header & 0xff) >> 3
        : headerLength === 2
          ? (header & 0xffff) >> 4
          : (header & 0xffffff) >> 4;
    at += headerLength;
    const stored = type === 0 ? count : 1;
    if (count > frame.blockMaxBytes || at + stored > limit) throw wrong("too many literals", frame);
    if (type === 0) literals.set(block.subarray(at, at + count));
    else literals.fill(block[at]!, 0, count);
    return { count, end: at + stored };
  }
  const low = view.getInt32(at, true);
  const sizeBits = format < 2 ? 10 : format === 2 ? 14 : 18;
  const sizeMask = (1 << sizeBits) - 1;
  const count = (low >>> 4) & sizeMask;
  const compressed =
    format < 2
      ? (low >>> 14) & sizeMask
      : format === 2
        ? low >>> 18
        : (low >>> 22) | (block[at + 4]! << 10);
  at += format < 2 ? 3 : format + 2;
  const end = at + compressed;
  if (count > frame.blockMaxBytes || end > limit) throw wrong("too many literals", frame);
  if (type === 2) at = readHuffmanTable(work, at, end, frame, state);
  else if (state.huffmanBits === 0) throw wrong("it repeats a table that was not there", frame);
  const { huffmanBits } = state;
  if (format === 0) {
    decodeHuffman(work, at, end, huffmanBits, 0, count, frame);
    return { count, end };
  }
  const quarter = (count + 3) >> 2;
  if (at + 6 > end || quarter * 3 > count) throw wrong("literals do not split in four", frame);
  let stream = at + 6;
  for (let index = 0; index < 4; index++) {
    const next =
      index === 3 ? end : stream + (block[at + 2 * index]! | (block[at + 2 * index + 1]! << 8));
    if (next > end) throw wrong("literals do not split in four", frame);
    decodeHuffman(
      work,
      stream,
      next,
      huffmanBits,
      index * quarter,
      index === 3 ? count : (index + 1) * quarter,
      frame,
    );
    stream = next;
  }
  return { count, end };
}

/** A Huffman tree description (RFC 8878, 4.2.1) from `at`; the table is left in the workspace. Returns where it ends. */
function readHuffmanTable(
  work: Workspace,
  at: number,
  limit: number,
  frame: ZstdFrame,
  state: FrameState,
): number {
  const { block, view, weights, huffman } = work;
  if (at >= limit) throw wrong("no Huffman table", frame);
  const header = block[at]!;
  let count = 0;
  let end: number;
  if (header >= 128) {
    count = header - 127;
    end = at + 1 + ((count + 1) >> 1);
    if (end > limit) throw wrong("a Huffman table ends early", frame);
    for (let index = 0; index < count; index++) {
      const pair = block[at + 1 + (index >> 1)]!;
      weights[index] = (index & 1) === 0 ? pair >> 4 : pair & 15;
    }
  } else {
    end = at + 1 + header;
    if (end > limit) throw wrong("a Huffman table ends early", frame);
    const { table, end: from } = readFseTable(work, at + 1, end, maxHuffmanWeightLog, 256, frame);
    const { log, entries } = table;
    let bits = streamBits(block, from, end, frame);
    const read = (width: number): number => {
      bits -= width;
      return bits < 0
        ? 0
        : (view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << width) - 1);
    };
    // Two states take turns; when one cannot be renewed, the other's symbol is the last.
    let current = entries[read(log)]!;
    let other = entries[read(log)]!;
    if (bits < 0) throw wrong("a Huffman table ends early", frame);
    for (;;) {
      if (count > 253) throw wrong("a Huffman table describes too many symbols", frame);
      weights[count++] = current & 0xff;
      const renewed = (current >>> 16) + read((current >> 8) & 0xff);
      current = other;
      if (bits < 0) break;
      other = entries[renewed]!;
    }
    weights[count++] = current & 0xff;
  }
  // The last weight is not stored: it fills the sum up to a power of two.
  let sum = 0;
  for (let index = 0; index < count; index++) {
    if (weights[index]! > maxHuffmanBits) throw wrong("a Huffman code is too long", frame);
    sum += (1 << weights[index]!) >> 1;
  }
  if (sum === 0) throw wrong("an empty Huffman table", frame);
  const maxBits = 32 - Math.clz32(sum);
  const rest = (1 << maxBits) - sum;
  if (maxBits > maxHuffmanBits || (rest & (rest - 1)) !== 0)
    throw wrong("a Huffman table does not add up", frame);
  weights[count++] = 32 - Math.clz32(rest);
  let filled = 0;
  for (let weight = 1; weight <= maxBits; weight++) {
    const span = 1 << (weight - 1);
    const length = maxBits + 1 - weight;
    for (let symbol = 0; symbol < count; symbol++) {
      if (weights[symbol] !== weight) continue;
      // A longest code comes in pairs, so each weight must begin at a multiple of its span.
      if ((filled & (span - 1)) !== 0) throw wrong("a Huffman table does not add up", frame);
      huffman.fill(symbol | (length << 8), filled, filled + span);
      filled += span;
    }
  }
  state.huffmanBits = maxBits;
  return end;
}

/** Decodes the backward stream of `from` to `end` to literals `to` up to `stop`; it must hold just these. */
function decodeHuffman(
  { block, view, literals, huffman }: Workspace,
  from: number,
  end: number,
  maxBits: number,
  to: number,
  stop: number,
  frame: ZstdFrame,
): void {
  let bits = streamBits(block, from, end, frame);
  const mask = (1 << maxBits) - 1;
  // At least 11, so never less than the length of the first code.
  const single = 22 - maxBits;
  let at = to;
  // Two symbols, of at most 22 bits, from one load. Bits before the start of the stream are looked at but never used:
  // a code is known by its first bits, and `bits` turns negative when one would reach that far.
  for (; at + 2 <= stop && bits >= 0; at += 2) {
    const position = bits - 22;
    const window = view.getInt32(from + (position >> 3), true) >>> (position & 7);
    const first = huffman[(window >>> single) & mask]!;
    const second = huffman[(window >>> (single - (first >> 8))) & mask]!;
    literals[at] = first;
    literals[at + 1] = second;
    bits -= (first >> 8) + (second >> 8);
  }
  if (at < stop && bits >= 0) {
    const position = bits - maxBits;
    const window = view.getInt32(from + (position >> 3), true) >>> (position & 7);
    const only = huffman[window & mask]!;
    literals[at++] = only;
    bits -= only >> 8;
  }
  if (at !== stop || bits !== 0) throw wrong("literals and their bit stream disagree", frame);
}

/** Decodes the sequences in the backward stream of `from` to `end` and carries them out. */
function executeSequences(
  { block, view, literals }: Workspace,
  from: number,
  end: number,
  sequenceCount: number,
  literalCount: number,
  frame: ZstdFrame,
  start: number,
  state: FrameState,
  output: Growable,
): void {
  const literalTable = state.tables.literalLength!;
  const offsetTable = state.tables.offset!;
  const matchTable = state.tables.matchLength!;
  const literalEntries = literalTable.entries;
  const offsetEntries = offsetTable.entries;
  const matchEntries = matchTable.entries;
  let [recent0, recent1, recent2] = state.recent;

  let bits = streamBits(block, from, end, frame);
  const initial = (log: number): number => {
    bits -= log;
    return bits < 0
      ? 0
      : (view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << log) - 1);
  };
  let literalEntry = literalEntries[initial(literalTable.log)]!;
  let offsetEntry = offsetEntries[initial(offsetTable.log)]!;
  let matchEntry = matchEntries[initial(matchTable.log)]!;

  const blockStart = output.length;
  const blockStop = blockStart + frame.blockMaxBytes;
  let bytes = output.bytes;
  let at = blockStart;
  let literal = 0;
  for (let sequence = 0; sequence < sequenceCount; sequence++) {
    const offsetCode = offsetEntry & 0xff;
    const matchCode = matchEntry & 0xff;
    const literalCode = literalEntry & 0xff;
    if (offsetCode > maxOffsetCode) throw wrong("a match reaches too far back", frame);
    let width = offsetCode;
    let offset = 0;
    if (width > 16) {
      bits -= width - 16;
      if (bits < 0) break;
      offset =
        ((view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << (width - 16)) - 1)) <<
        16;
      width = 16;
    }
    bits -= width;
    if (bits < 0) break;
    offset +=
      (1 << offsetCode) +
      ((view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << width) - 1));
    width = matchLengthBits[matchCode]!;
    bits -= width;
    if (bits < 0) break;
    let matchLength = matchLengthBase[matchCode]!;
    if (width > 0)
      matchLength += (view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << width) - 1);
    width = literalLengthBits[literalCode]!;
    bits -= width;
    if (bits < 0) break;
    let literalLength = literalLengthBase[literalCode]!;
    if (width > 0)
      literalLength +=
        (view.getInt32(from + (bits >> 3), true) >>> (bits & 7)) & ((1 << width) - 1);

    if (sequence + 1 < sequenceCount) {
      width = (literalEntry >> 8) & 0xff;
      bits -= width;
      if (bits < 0) break;
      let window = view.getInt32(from + (bits >> 3), true) >>> (bits & 7);
      literalEntry = literalEntries[(literalEntry >>> 16) + (window & ((1 << width) - 1))]!;
      width = (matchEntry >> 8) & 0xff;
      bits -= width;
      if (bits < 0) break;
      window = view.getInt32(from + (bits >> 3), true) >>> (bits & 7);
      matchEntry = matchEntries[(matchEntry >>> 16) + (window & ((1 << width) - 1))]!;
      width = (offsetEntry >> 8) & 0xff;
      bits -= width;
      if (bits < 0) break;
      window = view.getInt32(from + (bits >> 3), true) >>> (bits & 7);
      offsetEntry = offsetEntries[(offsetEntry >>> 16) + (window & ((1 << width) - 1))]!;
    }

    // Offsets 1 to 3 name one of the last three; without literals, the later two and "the last but one byte".
    if (offset > 3) {
      offset -= 3;
      recent2 = recent1;
      recent1 = recent0;
      recent0 = offset;
    } else {
      const which = literalLength === 0 ? offset + 1 : offset;
      if (which === 1) offset = recent0;
      else {
        offset = which === 2 ? recent1 : which === 3 ? recent2 : recent0 - 1;
        if (which > 2) recent2 = recent1;
        recent1 = recent0;
        recent0 = offset;
      }
    }

    const stop = at + literalLength + matchLength;
    if (stop > blockStop) throw wrong("a block is too long", frame);
    if (literal + literalLength > literalCount)
      throw wrong("a sequence uses more literals than there are", frame);
    if (stop > bytes.length) {
      output.length = at;
      bytes = reserve(output, stop);
    }
    if (literalLength > 32) {
      bytes.set(literals.subarray(literal, literal + literalLength), at);
      at += literalLength;
      literal += literalLength;
    } else {
      for (const literalStop = literal + literalLength; literal < literalStop; )
        bytes[at++] = literals[literal++]!;
    }
    if (offset <= 0 || offset > at - start) throw wrong("a match reaches before the start", frame);
    if (matchLength > 32) {
      copyMatch(bytes, at, offset, matchLength);
      at = stop;
    } else {
      for (let back = at - offset; at < stop; ) bytes[at++] = bytes[back++]!;
    }
  }
  if (bits !== 0) throw wrong("sequences and their bit stream disagree", frame);
  const rest = literalCount - literal;
  if (at + rest > blockStop) throw wrong("a block is too long", frame);
  output.length = at;
  reserve(output, at + rest).set(literals.subarray(literal, literalCount), at);
  output.length = at + rest;
  state.recent[0] = recent0;
  state.recent[1] = recent1;
  state.recent[2] = recent2;
}
