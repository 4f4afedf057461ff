/**
 * Runs of zeros, found at the speed of memory.
 * Proof: test/volume-cutter.test.ts.
 * @module
 */

/** Whether all bytes are zero; ends at the first that is not. */
export function isZero(bytes: Uint8Array): boolean {
  const { byteOffset, length } = bytes;
  const head = Math.min((8 - (byteOffset & 7)) & 7, length);
  for (let index = 0; index < head; index++) if (bytes[index] !== 0) return false;
  if (head === length) return true;
  const wordCount = (length - head) >>> 3;
  // Pairs of 32-bit words: a BigUint64Array would make a bigint of each, a Float64Array takes -0 for 0.
  const words = new Int32Array(bytes.buffer, byteOffset + head, wordCount * 2);
  const count = words.length;
  const unrolled = count - (count % 16);
  let at = 0;
  for (; at < unrolled; at += 16) {
    const a = words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!;
    const b = words[at + 4]! | words[at + 5]! | words[at + 6]! | words[at + 7]!;
    const c = words[at + 8]! | words[at + 9]! | words[at + 10]! | words[at + 11]!;
    const d = words[at + 12]! | words[at + 13]! | words[at + 14]! | words[at + 15]!;
    if ((a | b | c | d) !== 0) return false;
  }
  for (; at < count; at++) if (words[at] !== 0) return false;
  for (let index = head + wordCount * 8; index < length; index++)
    if (bytes[index] !== 0) return false;
  return true;
}
