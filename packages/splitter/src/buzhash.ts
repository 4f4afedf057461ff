/**
 * Content-defined splitting by a 32-bit buzhash over a 64-byte window (Kopia's `DYNAMIC-*-BUZHASH`).
 * A segment ends where the low log2(averageBytes) hash bits are zero, between half and twice the average.
 * Only the last 64 bytes matter, so most of a segment's first averageBytes/2 is skipped, not hashed.
 * Format: docs/format/splitting.md. Proof: test/vectors.test.ts.
 * @module
 */
import { fromBase64 } from "@dm/core";
import { buzhashTableBase64 } from "./buzhash-table.ts";
import { type Cutter, minScanBytes, type Scan, slide } from "./cutter.ts";

// A constant of this module: an imported binding in the inner loop costs ten times as much under a test runner.
const windowBytes = 64;

/** Signed words: values above 2^31 in a Uint32Array leave the small-integer path and cost two to three times as much. */
export function buzhashTable(): Int32Array {
  const view = new DataView(fromBase64(buzhashTableBase64).buffer);
  return Int32Array.from({ length: 256 }, (_, index) => view.getInt32(index * 4));
}

/**
 * @param averageBytes a power of two
 * @param scan a faster way through many bytes
 */
export function buzhashCutter(averageBytes: number, scan?: Scan): Cutter {
  const table = buzhashTable();
  const mask = averageBytes - 1;
  const minBytes = averageBytes / 2;
  const maxBytes = averageBytes * 2;
  /** The last bytes before the present call. */
  const window = new Uint8Array(windowBytes);
  /** Bytes of the segment before the present call. */
  let count = 0;
  /** Of the window, unless bytes have been skipped since. */
  let hash = 0;
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
      let h = hash;
      if (!isCurrent || skipped > 0) {
        h = 0;
        for (let index = at - windowBytes; index < at; index++) {
          const byte = index >= from ? bytes[index]! : window[windowBytes + index - from]!;
          h = ((h << 1) | (h >>> 31)) ^ table[byte]!;
        }
      }
      const last = Math.min(end, from + maxBytes - count);
      // The leaving byte still lies in the window of earlier calls.
      const inside = Math.min(last, from + windowBytes);
      let found = false;
      while (at < inside && !found) {
        h = ((h << 1) | (h >>> 31)) ^ table[window[at - from]!]! ^ table[bytes[at]!]!;
        at += 1;
        found = (h & mask) === 0;
      }
      const isScanned = scan !== undefined && !found && last - at >= minScanBytes;
      if (isScanned) {
        const cut = scan(bytes, at, last, mask);
        found = cut >= 0;
        at = found ? cut : last;
      }
      while (at < last && !found) {
        h = ((h << 1) | (h >>> 31)) ^ table[bytes[at - windowBytes]!]! ^ table[bytes[at]!]!;
        at += 1;
        found = (h & mask) === 0;
      }
      slide(window, bytes, from, at);
      hash = h;
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
