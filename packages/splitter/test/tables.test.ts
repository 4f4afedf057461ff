// The constants in the source are what their definitions give, and what was recorded from kopia.
import { loadVectors } from "@dm/fixtures";
import { expect, it } from "vitest";
import { buzhashTable } from "../src/buzhash.ts";
import { goRandom } from "../src/go-rand.ts";
import { polynomial, rabinKarpTables } from "../src/rabinkarp.ts";

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");

it("derives the buzhash table from Go's generator", () => {
  const random = goRandom(1);
  const seen = new Set<number>();
  while (seen.size < 256) seen.add(Number(BigInt.asIntN(32, random.int63())));
  expect([...buzhashTable()]).toEqual([...seen]);
  expect([...buzhashTable()].map(hex)).toEqual(loadVectors("buzhash32-table").table);
});

it("draws the Rabin-Karp polynomial as its library does, the 106th of the draws", () => {
  const random = goRandom(1);
  const draw = new Uint8Array(8);
  for (let count = 0; count < 106; count++) random.fill(draw);
  const value = new DataView(draw.buffer).getBigUint64(0, true);
  expect(BigInt.asUintN(54, value) | (1n << 53n) | 1n).toBe(polynomial);
  expect(polynomial).toBe(BigInt(`0x${loadVectors("rabinkarp64-tables").polynomial}`));
});

it("derives the Rabin-Karp tables from the polynomial", () => {
  const { modHigh, modLow, outHigh, outLow } = rabinKarpTables();
  const recorded = loadVectors("rabinkarp64-tables");
  expect([...outHigh].map((word, index) => hex(word) + hex(outLow[index]!))).toEqual(recorded.out);
  expect([...modHigh].map((word, index) => hex(word) + hex(modLow[index]!))).toEqual(recorded.mod);
});
