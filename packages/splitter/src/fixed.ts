/**
 * Cuts every N bytes: arithmetic only.
 * @module
 */
import type { Cutter } from "./cutter.ts";

export function fixedCutter(segmentBytes: number): Cutter {
  let count = 0;
  return {
    next(bytes, from) {
      const cut = from + segmentBytes - count;
      if (cut > bytes.length) {
        count += bytes.length - from;
        return -1;
      }
      count = 0;
      return cut;
    },
    reset() {
      count = 0;
    },
  };
}
