/**
 * XXH64 with seed 0, as far as zstd needs it: the low 32 bits over one array. 64-bit values are pairs of 32-bit halves,
 * since BigInt arithmetic is an order of magnitude slower.
 * Algorithm: the public xxHash specification. Proof: test/checksums.test.ts and the checksums of all recorded zstd frames.
 * @module
 */

// The five primes, high and low half.
const p1h = 0x9e3779b1 | 0;
const p1l = 0x85ebca87 | 0;
const p2h = 0xc2b2ae3d | 0;
const p2l = 0x27d4eb4f | 0;
const p3h = 0x165667b1 | 0;
const p3l = 0x9e3779f9 | 0;
const p4h = 0x85ebca77 | 0;
const p4l = 0xc2b2ae63 | 0;
const p5h = 0x27d4eb2f | 0;
const p5l = 0x165667c5 | 0;

/** High 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = Math.imul(a0, b0);
  const cross = Math.imul(a0, b1);
  const other = Math.imul(a1, b0);
  const middle = (low >>> 16) + (cross & 0xffff) + (other & 0xffff);
  return (Math.imul(a1, b1) + (cross >>> 16) + (other >>> 16) + (middle >>> 16)) | 0;
}

function carry(sum: number, part: number): number {
  return sum >>> 0 < part >>> 0 ? 1 : 0;
}

/** Accumulators, high half at 2i, low half at 2i + 1. Index 4 is the hash after the stripes. */
const state = new Int32Array(10);

/** `state[i] = rotl(state[i] + lane · p2, 31) · p1` */
function round(index: number, laneHigh: number, laneLow: number): void {
  const productLow = Math.imul(laneLow, p2l);
  const productHigh =
    (mulHigh(laneLow, p2l) + Math.imul(laneLow, p2h) + Math.imul(laneHigh, p2l)) | 0;
  const sumLow = (state[index + 1]! + productLow) | 0;
  const sumHigh = (state[index]! + productHigh + carry(sumLow, productLow)) | 0;
  const high = (sumHigh << 31) | (sumLow >>> 1);
  const low = (sumLow << 31) | (sumHigh >>> 1);
  state[index + 1] = Math.imul(low, p1l);
  state[index] = mulHigh(low, p1l) + Math.imul(low, p1h) + Math.imul(high, p1l);
}

/** `h = h · (ch:cl) + (ah:al)` where h is the hash at index 8. */
function multiplyAdd(ch: number, cl: number, ah: number, al: number): void {
  const high = state[8]!;
  const low = state[9]!;
  const productLow = Math.imul(low, cl);
  const productHigh = (mulHigh(low, cl) + Math.imul(low, ch) + Math.imul(high, cl)) | 0;
  const sum = (productLow + al) | 0;
  state[8] = productHigh + ah + carry(sum, al);
  state[9] = sum;
}

/** `h = rotl(h, bits)` for 0 < bits < 32. */
function rotate(bits: number): void {
  const high = state[8]!;
  const low = state[9]!;
  state[8] = (high << bits) | (low >>> (32 - bits));
  state[9] = (low << bits) | (high >>> (32 - bits));
}

/** `h ^= accumulator`, for the accumulator at `index`. */
function mix(index: number): void {
  state[8] = state[8]! ^ state[index]!;
  state[9] = state[9]! ^ state[index + 1]!;
}

/** `h += accumulator rotated left by bits`, for the accumulator at `index` and 0 < bits < 32. */
function addRotated(index: number, bits: number): void {
  const high = state[index]!;
  const low = state[index + 1]!;
  const rotatedHigh = (high << bits) | (low >>> (32 - bits));
  const rotatedLow = (low << bits) | (high >>> (32 - bits));
  const sum = (state[9]! + rotatedLow) | 0;
  state[8] = state[8]! + rotatedHigh + carry(sum, rotatedLow);
  state[9] = sum;
}

/** The low 32 bits of XXH64 (seed 0) of `data` from `from` up to `to`, unsigned: zstd's content checksum. */
export function xxh64Low(data: Uint8Array, from = 0, to: number = data.length): number {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const length = to - from;
  let at = from;
  if (length >= 32) {
    // Starting values p1 + p2, p2, 0 and -p1.
    state[0] = 0x60ea27ee;
    state[1] = 0xadc0b5d6;
    state[2] = p2h;
    state[3] = p2l;
    state[4] = 0;
    state[5] = 0;
    state[6] = 0x61c8864e;
    state[7] = 0x7a143579;
    for (const last = to - 32; at <= last; at += 32) {
      round(0, view.getInt32(at + 4, true), view.getInt32(at, true));
      round(2, view.getInt32(at + 12, true), view.getInt32(at + 8, true));
      round(4, view.getInt32(at + 20, true), view.getInt32(at + 16, true));
      round(6, view.getInt32(at + 28, true), view.getInt32(at + 24, true));
    }
    state[8] = 0;
    state[9] = 0;
    addRotated(0, 1);
    addRotated(2, 7);
    addRotated(4, 12);
    addRotated(6, 18);
    for (let index = 0; index < 8; index += 2) {
      const high = state[index]!;
      const low = state[index + 1]!;
      state[index] = 0;
      state[index + 1] = 0;
      round(index, high, low);
      mix(index);
      multiplyAdd(p1h, p1l, p4h, p4l);
    }
  } else {
    state[8] = p5h;
    state[9] = p5l;
  }
  const withLength = (state[9]! + length) | 0;
  state[8] = state[8]! + carry(withLength, length);
  state[9] = withLength;
  for (; at + 8 <= to; at += 8) {
    state[0] = 0;
    state[1] = 0;
    round(0, view.getInt32(at + 4, true), view.getInt32(at, true));
    mix(0);
    rotate(27);
    multiplyAdd(p1h, p1l, p4h, p4l);
  }
  if (at + 4 <= to) {
    const lane = view.getInt32(at, true);
    state[0] = mulHigh(lane, p1l) + Math.imul(lane, p1h);
    state[1] = Math.imul(lane, p1l);
    mix(0);
    rotate(23);
    multiplyAdd(p2h, p2l, p3h, p3l);
    at += 4;
  }
  for (; at < to; at++) {
    const byte = data[at]!;
    state[0] = mulHigh(byte, p5l) + Math.imul(byte, p5h);
    state[1] = Math.imul(byte, p5l);
    mix(0);
    rotate(11);
    multiplyAdd(p1h, p1l, 0, 0);
  }
  // Final avalanche: h ^= h >> 33; h *= p2; h ^= h >> 29; h *= p3; h ^= h >> 32.
  state[9] = state[9]! ^ (state[8]! >>> 1);
  multiplyAdd(p2h, p2l, 0, 0);
  state[9] = state[9]! ^ ((state[9]! >>> 29) | (state[8]! << 3));
  state[8] = state[8]! ^ (state[8]! >>> 29);
  multiplyAdd(p3h, p3l, 0, 0);
  return (state[9]! ^ state[8]!) >>> 0;
}
