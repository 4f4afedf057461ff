/**
 * Bytes that a number repeats: what was stored need not be kept to be compared.
 * @module
 */

/** Incompressible to the eye of a proxy, and made at the speed of memory: xorshift over words. */
export function bytesOf(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed ^ 0x9e3779b9) | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}
