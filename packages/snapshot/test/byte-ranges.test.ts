// Ranges are merged to the same set of bytes, in order, and found by position.
import { describe, expect, it } from "vitest";
import { firstRangeBehind, lengthOfRanges, mergeRanges } from "../src/volume/byte-ranges.ts";
import { fc } from "./property.ts";

const range = fc.record({ start: fc.nat(60), length: fc.nat(20) });

describe("mergeRanges", () => {
  it("keeps the set of bytes below the size, in as few ranges as possible", () => {
    fc.assert(
      fc.property(fc.array(range), fc.nat(70), (ranges, sizeBytes) => {
        const merged = mergeRanges(ranges, sizeBytes);
        for (let offset = 0; offset < 90; offset++) {
          const isIn = ({ length, start }: { length: number; start: number }): boolean =>
            offset >= start && offset < start + length;
          expect(merged.some(isIn)).toBe(offset < sizeBytes && ranges.some(isIn));
          const index = firstRangeBehind(merged, offset);
          expect(index).toBe(merged.filter(({ length, start }) => start + length <= offset).length);
        }
        for (const [index, { start }] of merged.entries()) {
          const before = merged[index - 1];
          if (before) expect(before.start + before.length).toBeLessThan(start);
        }
        expect(lengthOfRanges(merged)).toBeLessThanOrEqual(sizeBytes);
      }),
    );
  });

  it.each([
    { start: -1, length: 2 },
    { start: 0, length: 1.5 },
    { start: Number.NaN, length: 1 },
  ])("refuses %o", (bad) => {
    expect(() => mergeRanges([bad], 10)).toThrow(RangeError);
  });
});
