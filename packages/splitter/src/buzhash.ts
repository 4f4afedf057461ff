/**
 * Content-defined splitting by a 32-bit buzhash over a 64-byte window (Kopia's `DYNAMIC-*-BUZHASH`).
 * A segment ends where the low log2(averageBytes) hash bits are zero, between half and twice the average.
 * Only the last 64 bytes matter, so most of a segment's first averageBytes/2 is skipped, not hashed.
 * Format: docs/format/splitting.md. Proof: test/vectors.test.ts.
 * @module
 */
import { fromBase64 } from "@dm/core";
import { buzhashTableBase64 } from "./buzhash-table.ts";
import { type Cutter, slide } from "./cutter.ts";

// A constant of this module: an imported binding in the inner loop costs ten times as much under a test runner.
const windowBytes = 64;

/** Signed words: values above 2^31 in a Uint32Array leave the small-integer path and cost two to three times as much. */
export function buzhashTable(): Int32Array {
  const view = new DataView(fromBase64(buzhashTableBase64).buffer);
  return Int32Array.from({ length: 256 }, (_, index) => view.getInt32(index * 4));
}

/** @param averageBytes a power of two, at least 128 */
export function buzhashCutter(averageBytes: number): Cutter {
  const table = buzhashTable();
  const mask = averageBytes - 1;
  const minBytes = averageBytes / 2;
  const maxBytes = averageBytes * 2;
  const window = new Uint8Array(windowBytes);
  let count = 0;

  return {
    next(bytes, from) {
      const end = bytes.length;
      // Index of the first byte after which a cut is possible.
      let at = from + Math.max(minBytes - 1 - count, 0);
      if (at >= end) {
        count += end - from;
        slide(window, bytes, from, end);
        return -1;
      }
      const last = Math.min(end - 1, from + maxBytes - count - 1);
      let hash = 0;
      for (let index = at - windowBytes + 1; index <= at; index++) {
        const byte = index >= from ? bytes[index]! : window[windowBytes + index - from]!;
        hash = ((hash << 1) | (hash >>> 31)) ^ table[byte]!;
      }
      // The leaving byte still lies in the window of earlier calls.
      const inside = Math.min(last, from + windowBytes - 1);
      while ((hash & mask) !== 0 && at < inside) {
        at += 1;
        const leaving = window[at - from]!;
        hash = ((hash << 1) | (hash >>> 31)) ^ table[leaving]! ^ table[bytes[at]!]!;
      }
      while ((hash & mask) !== 0 && at < last) {
        at += 1;
        hash = ((hash << 1) | (hash >>> 31)) ^ table[bytes[at - windowBytes]!]! ^ table[bytes[at]!]!;
      }
      const cut = at + 1;
      if ((hash & mask) === 0 || count + cut - from === maxBytes) {
        count = 0;
        slide(window, bytes, from, cut);
        return cut;
      }
      count += end - from;
      slide(window, bytes, from, end);
      return -1;
    },
    reset() {
      count = 0;
      window.fill(0);
    },
  };
}
