/**
 * Content-defined splitting by a Rabin-Karp hash over GF(2) with a polynomial of degree 53 and a 64-byte window
 * (Kopia's `DYNAMIC-*-RABINKARP`). Cut rule as in buzhash.ts. The hash is two 32-bit halves; the mask tests the lower.
 * Format: docs/format/splitting.md. Proof: test/vectors.test.ts.
 * @module
 */
import { type Cutter, minScanBytes, type Scan, slide } from "./cutter.ts";

// A constant of this module: an imported binding in the inner loop costs ten times as much under a test runner.
const windowBytes = 64;

export const polynomial = 0x2e3e3e4a305605n;
const degree = 53n;

export interface RabinKarpTables {
  readonly outHigh: Int32Array;
  readonly outLow: Int32Array;
  readonly modHigh: Int32Array;
  readonly modLow: Int32Array;
}

/** `out[b] = b·x^(8·63) mod P` and `mod[b] = (b·x^53 mod P) | b << 53`, in halves. */
export function rabinKarpTables(): RabinKarpTables {
  const tables = {
    outHigh: new Int32Array(256),
    outLow: new Int32Array(256),
    modHigh: new Int32Array(256),
    modLow: new Int32Array(256),
  };
  const { modHigh, modLow, outHigh, outLow } = tables;
  for (let byte = 0; byte < 256; byte++) {
    const value = BigInt(byte) << degree;
    let mod = value;
    for (let bit = degree + 7n; bit >= degree; bit--)
      if ((mod >> bit) & 1n) mod ^= polynomial << (bit - degree);
    mod |= value;
    modHigh[byte] = Number(BigInt.asIntN(32, mod >> 32n));
    modLow[byte] = Number(BigInt.asIntN(32, mod));
  }
  for (let byte = 0; byte < 256; byte++) {
    let high = 0;
    let low = byte;
    // A step of the hash is a multiplication by x^8.
    for (let round = 1; round < windowBytes; round++) {
      const top = (high >>> 13) & 255;
      high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
      low = (low << 8) ^ modLow[top]!;
    }
    outHigh[byte] = high;
    outLow[byte] = low;
  }
  return tables;
}

let shared: RabinKarpTables | undefined;

/**
 * @param averageBytes a power of two
 * @param scan a faster way through many bytes
 */
export function rabinKarpCutter(averageBytes: number, scan?: Scan): Cutter {
  shared ??= rabinKarpTables();
  const { modHigh, modLow, outHigh, outLow } = shared;
  const mask = averageBytes - 1;
  const minBytes = averageBytes / 2;
  const maxBytes = averageBytes * 2;
  /** The last bytes before the present call. */
  const window = new Uint8Array(windowBytes);
  /** Bytes of the segment before the present call. */
  let count = 0;
  /** Of the window, unless bytes have been skipped since. */
  let hashHigh = 0;
  let hashLow = 0;
  let isCurrent = false;

  return {
    next(bytes, from) {
      const end = bytes.length;
      const skipped = Math.max(minBytes - 1 - count, 0);
      let at = from + skipped;
      if (at >= end) {
        isCurrent = false;
        count += end - from;
        slide(window, bytes, from, end);
        return -1;
      }
      let high = hashHigh;
      let low = hashLow;
      if (!isCurrent || skipped > 0) {
        high = 0;
        low = 0;
        for (let index = at - windowBytes; index < at; index++) {
          const byte = index >= from ? bytes[index]! : window[windowBytes + index - from]!;
          const top = (high >>> 13) & 255;
          high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
          low = ((low << 8) | byte) ^ modLow[top]!;
        }
      }
      const last = Math.min(end, from + maxBytes - count);
      // The leaving byte still lies in the window of earlier calls.
      const inside = Math.min(last, from + windowBytes);
      let found = false;
      while (at < inside && !found) {
        const leaving = window[at - from]!;
        high ^= outHigh[leaving]!;
        low ^= outLow[leaving]!;
        const top = (high >>> 13) & 255;
        high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
        low = ((low << 8) | bytes[at]!) ^ modLow[top]!;
        at += 1;
        found = (low & mask) === 0;
      }
      const isScanned = scan !== undefined && !found && last - at >= minScanBytes;
      if (isScanned) {
        const cut = scan(bytes, at, last, mask);
        found = cut >= 0;
        at = found ? cut : last;
      }
      while (at < last && !found) {
        const leaving = bytes[at - windowBytes]!;
        high ^= outHigh[leaving]!;
        low ^= outLow[leaving]!;
        const top = (high >>> 13) & 255;
        high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
        low = ((low << 8) | bytes[at]!) ^ modLow[top]!;
        at += 1;
        found = (low & mask) === 0;
      }
      slide(window, bytes, from, at);
      hashHigh = high;
      hashLow = low;
      isCurrent = !isScanned;
      count += at - from;
      if (!found && count < maxBytes) return -1;
      count = 0;
      return at;
    },
    reset() {
      count = 0;
      isCurrent = false;
      window.fill(0);
    },
  };
}
