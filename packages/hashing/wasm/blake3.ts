/**
 * BLAKE3 in AssemblyScript: the whole tree of one input, four chunks (or four parents) in the lanes of a vector.
 *
 * The caller copies a piece of 64 chunks to `input` and calls `update` while more follows, then copies the rest (nothing,
 * for an empty input, up to a whole piece) and calls `finish`. The chaining values of finished pieces wait on a stack
 * that merges as BLAKE3's tree does, so the memory is 128 KiB for an input of any length.
 * @module
 */
import {
  each,
  fourWords32,
  type Mixing,
  mixingRounds,
  oneWord32,
  transpose4,
  transposeVariables,
  turnTables,
  turnVariables,
  type Words,
} from "./words.ts";

/** Addresses in the module's memory. */
export const blake3Layout = {
  key: 1024,
  output: 1056,
  input: 16384,
  pieceBytes: 65536,
  pages: 2,
} as const;

const scratch = 2048;
const stack = 3072;
/** Chaining values of the chunks of a piece, then of their parents. */
const values = 8192;
const spare = 12288;

const initial = [0x6a09e667n, 0xbb67ae85n, 0x3c6ef372n, 0xa54ff53an];
const permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const schedule = [Array.from({ length: 16 }, (_, index) => index)];
while (schedule.length < 7) {
  const previous = schedule.at(-1)!;
  schedule.push(permutation.map((index) => previous[index]!));
}
const mixing: Mixing = { rotations: [16, 12, 8, 7], schedule };

const chunkStart = 1;
const chunkEnd = 2;
const parent = 4;
const root = 8;
const keyed = 16;

const state = (
  words: Words,
  chaining: (index: number) => string,
  tail: readonly string[],
): string => `
      let ${each(
        16,
        (index) => {
          if (index < 8) return `v${index} = ${chaining(index)}`;
          if (index < 12)
            return `v${index}: ${words.type} = ${words.constant(initial[index - 8]!)}`;
          return `v${index} = ${tail[index - 12]}`;
        },
        ", ",
      )};`;

export const blake3Source = (): string => `
${turnTables(fourWords32, mixing)}
/** Chunks hashed before this piece, and pieces. */
let chunksBefore: u64 = 0;
let pieces: i32 = 0;

/** One block of one node: \`chaining\` (eight words) is read and replaced. */
function compress(chaining: usize, block: usize, counter: u64, length: u32, flags: u32): void {
      ${state(oneWord32, (index) => `load<u32>(chaining, ${4 * index})`, ["<u32>counter", "<u32>(counter >> 32)", "length", "flags"])}
      ${mixingRounds(oneWord32, mixing, "block")}
      ${each(8, (index) => `store<u32>(chaining, v${index} ^ v${index + 8}, ${4 * index});`)}
}

/**
 * Four nodes of \`blocks\` whole blocks each, \`stride\` bytes apart; their chaining values go to \`output\`.
 * \`step\` is 1 when each node's counter is one more than its neighbour's, 0 when all have the same.
 */
function compressFour(input: usize, stride: usize, blocks: i32, counter: u64, step: u64, flags: u32, start: u32, end: u32, output: usize): void {
      ${transposeVariables}
      ${each(8, (index) => `let h${index} = v128.load32_splat(${blake3Layout.key + 4 * index});`)}
      let low = i32x4.splat(<i32>counter);
      let high = i32x4.splat(<i32>(counter >> 32));
      ${each(4, (lane) => `low = i32x4.replace_lane(low, ${lane}, <i32>(counter + ${lane} * step));`)}
      ${each(4, (lane) => `high = i32x4.replace_lane(high, ${lane}, <i32>((counter + ${lane} * step) >> 32));`)}
      ${turnVariables(fourWords32, mixing)}
      for (let block = 1; block <= blocks; ++block) {
        let marks = flags;
        if (block == 1) marks |= start;
        if (block == blocks) marks |= end;
        ${each(
          4,
          (quarter) => `
        ${each(4, (lane) => `r${lane} = v128.load(input + ${lane} * stride, ${16 * quarter});`)}
        ${transpose4((index, column) => `v128.store(${scratch + 16 * (4 * quarter + index)}, ${column});`)}`,
        )}
        ${state(fourWords32, (index) => `h${index}`, ["low", "high", "i32x4.splat(64)", "i32x4.splat(marks)"])}
        ${mixingRounds(fourWords32, mixing, String(scratch))}
        ${each(8, (index) => `h${index} = v128.xor(v${index}, v${index + 8});`)}
        input += 64;
      }
      ${each(
        2,
        (half) => `
      ${each(4, (index) => `r${index} = h${4 * half + index};`)}
      ${transpose4((index, column) => `v128.store(output, ${column}, ${32 * index + 16 * half});`)}`,
      )}
}

/** One chunk of up to 1024 bytes; \`last\` marks its last block besides the end. */
function chunk(input: usize, length: usize, counter: u64, last: u32, output: usize): void {
  memory.copy(output, ${blake3Layout.key}, 32);
  let marks: u32 = ${keyed | chunkStart};
  while (length > 64) {
    compress(output, input, counter, 64, marks);
    marks = ${keyed};
    input += 64;
    length -= 64;
  }
  memory.fill(input + length, 0, 64 - length);
  compress(output, input, counter, <u32>length, marks | ${chunkEnd} | last);
}

/** The parent of the two nodes whose values are at \`children\`. */
function parentOf(children: usize, last: u32, output: usize): void {
  memory.copy(${spare}, ${blake3Layout.key}, 32);
  compress(${spare}, children, 0, 64, ${keyed | parent} | last);
  memory.copy(output, ${spare}, 32);
}

/** Hashes the chunks of a piece of \`length\` > 0 bytes and their parents until at most \`most\` nodes are left. */
function subtree(length: usize, most: usize): usize {
  const whole = length >> 10;
  let done: usize = 0;
  // Two or three chunks cost less in lanes, with garbage in the others, than one after the other.
  while (whole - done > 1 && done < whole) {
    compressFour(${blake3Layout.input} + (done << 10), 1024, 16, chunksBefore + done, 1, ${keyed}, ${chunkStart}, ${chunkEnd}, ${values} + (done << 5));
    done = min(done + 4, whole);
  }
  if (done < whole) {
    chunk(${blake3Layout.input} + (done << 10), 1024, chunksBefore + done, 0, ${values} + (done << 5));
    done += 1;
  }
  if (length & 1023) {
    chunk(${blake3Layout.input} + (done << 10), length & 1023, chunksBefore + done, 0, ${values} + (done << 5));
    done += 1;
  }
  chunksBefore += done;
  while (done > most) {
    const pairs = done >> 1;
    let pair: usize = 0;
    while (pairs - pair > 1 && pair < pairs) {
      compressFour(${values} + (pair << 6), 64, 1, 0, 0, ${keyed | parent}, 0, 0, ${values} + (pair << 5));
      pair = min(pair + 4, pairs);
    }
    if (pair < pairs) parentOf(${values} + (pair << 6), 0, ${values} + (pair << 5));
    // An odd node rises as it is.
    if (done & 1) memory.copy(${values} + (pairs << 5), ${values} + ((done - 1) << 5), 32);
    done = pairs + (done & 1);
  }
  return done;
}

/** Forgets what was hashed. The key stays. */
export function start(): void {
  chunksBefore = 0;
  pieces = 0;
}

/** A whole piece is at the input, and more will follow. */
export function update(): void {
  subtree(${blake3Layout.pieceBytes}, 1);
  // As many values wait as the count of pieces has one bits.
  let top: usize = ${stack} + (popcnt<i32>(pieces) << 5);
  memory.copy(top, ${values}, 32);
  for (let merged = ++pieces; (merged & 1) == 0; merged >>= 1) {
    top -= 32;
    parentOf(top, 0, top);
  }
}

/** The last \`length\` bytes are at the input; the digest's 32 bytes go to the output. */
export function finish(length: usize): void {
  if (pieces == 0) {
    if (length <= 1024) return chunk(${blake3Layout.input}, length, 0, ${root}, ${blake3Layout.output});
    subtree(length, 2);
    return parentOf(${values}, ${root}, ${blake3Layout.output});
  }
  subtree(length, 1);
  let top: usize = ${stack} + (popcnt<i32>(pieces) << 5);
  memory.copy(top, ${values}, 32);
  while (top > ${stack} + 32) {
    top -= 32;
    parentOf(top, 0, top);
  }
  parentOf(${stack}, ${root}, ${blake3Layout.output});
}
`;
