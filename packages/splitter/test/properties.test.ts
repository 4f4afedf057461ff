// Whatever the data and however it is sliced: the cuts are those of the slow reference, and lengths stay within bounds.
// Small averages, which the registered names do not have, make many cuts in little data.
import { generate } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buzhashCutter } from "../src/buzhash.ts";
import type { Cutter } from "../src/cutter.ts";
import { fixedCutter } from "../src/fixed.ts";
import { createSplitter, splitterAlgorithms } from "../src/index.ts";
import { rabinKarpCutter } from "../src/rabinkarp.ts";
import { referenceLengths } from "./reference.ts";
import { segmentLengths, segmentLengthsOf } from "./split.ts";

const seed = process.env["DM_SEED"];
if (seed) fc.configureGlobal({ seed: Number(seed) });
const runs = (count: number): { numRuns: number } => ({
  numRuns: process.env["DM_FULL"] ? count * 20 : count,
});

const makers = {
  fixed: fixedCutter,
  buzhash: buzhashCutter,
  rabinkarp: rabinKarpCutter,
} satisfies Record<string, (averageBytes: number) => Cutter>;
const families = Object.keys(makers) as Array<keyof typeof makers>;

/** Random bytes with runs of one byte in between, where a hash stays as it is. */
const data = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(
      fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 400, size: "max" }),
        fc
          .tuple(fc.nat(255), fc.integer({ min: 1, max: 300 }))
          .map(([byte, length]) => new Uint8Array(length).fill(byte)),
      ),
      { maxLength: 8 },
    )
    .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])).subarray(0, maxLength));

/** `bytes` cut at arbitrary places, some pieces empty, none at the offset it had. */
function slices(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    const shifted = new Uint8Array(length + 3);
    const piece = shifted.subarray(3, 3 + Math.min(length, bytes.length - at));
    piece.set(bytes.subarray(at, at + piece.length));
    pieces.push(piece);
    at += piece.length;
  }
  if (at < bytes.length) pieces.push(bytes.subarray(at));
  return pieces;
}

describe.each(families)("%s", (family) => {
  it("cuts as the reference does, for any slicing", () => {
    fc.assert(
      fc.property(
        data(1500),
        fc.constantFrom(16, 32, 64, 128, 256),
        fc.array(fc.oneof(fc.nat(3), fc.integer({ min: 60, max: 70 }), fc.nat(500))),
        (bytes, averageBytes, lengths) => {
          const expected = referenceLengths(family, averageBytes, bytes);
          expect(segmentLengths(makers[family](averageBytes), bytes)).toEqual(expected);
          const pieces = slices(bytes, lengths);
          expect(segmentLengthsOf(makers[family](averageBytes), pieces)).toEqual(expected);
          expect(segmentLengths(makers[family](averageBytes), bytes, 1)).toEqual(expected);
        },
      ),
      runs(40),
    );
  });

  it("begins anew after a reset, wherever it stood", () => {
    fc.assert(
      fc.property(data(1000), data(1500), (earlier, bytes) => {
        const fresh = segmentLengths(makers[family](128), bytes);
        const used = makers[family](128);
        segmentLengths(used, earlier);
        used.reset();
        expect(segmentLengths(used, bytes)).toEqual(fresh);
      }),
      runs(100),
    );
  });
});

describe.each(Object.values(splitterAlgorithms))("$name", (description) => {
  const { averageBytes, family, maxChunkBytes, minChunkBytes, name } = description;
  // Enough for three of the longest segments of the small ones, and for a cut in most of the large ones.
  const length = Math.min(3 * maxChunkBytes, 6 << 20) + 12_345;

  it("keeps every segment but the last within its bounds, and any slicing keeps the cuts", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.integer({ min: 1, max: maxChunkBytes }), { minLength: 1, maxLength: 30 }),
        (dataSeed, pieceLengths) => {
          const bytes = generate({ kind: "splitmix64", seed: dataSeed, len: length });
          const copy = bytes.slice();
          const lengths = segmentLengths(createSplitter(name), bytes);
          for (const segment of lengths.slice(0, -1)) {
            expect(segment).toBeGreaterThanOrEqual(minChunkBytes);
            expect(segment).toBeLessThanOrEqual(maxChunkBytes);
          }
          expect(lengths.at(-1)).toBeLessThanOrEqual(maxChunkBytes);
          expect(lengths.reduce((sum, segment) => sum + segment)).toBe(length);
          const pieces = slices(bytes, pieceLengths);
          expect(segmentLengthsOf(createSplitter(name), pieces)).toEqual(lengths);
          expect(Buffer.compare(bytes, copy)).toBe(0);
        },
      ),
      runs(averageBytes > 1 << 20 ? 2 : 4),
    );
  });

  if (family === "fixed") return;
  it("cuts as early as allowed where every hash is 0, and as late where none is", () => {
    // All zero: the hash of a window of zeros is 0 for both, and every test holds.
    const zeros = new Uint8Array(2 * maxChunkBytes);
    expect(new Set(segmentLengths(createSplitter(name), zeros))).toEqual(new Set([minChunkBytes]));
    // Any other byte over and over. A buzhash is still 0: each rotated word occurs twice. The other is never right.
    const same = new Uint8Array(2 * maxChunkBytes + 1).fill(0x5b);
    const lengths = segmentLengths(createSplitter(name), same);
    if (family === "rabinkarp") expect(lengths).toEqual([maxChunkBytes, maxChunkBytes, 1]);
    else expect(new Set(lengths)).toEqual(new Set([minChunkBytes, 1]));
  });
});
