// The tables in the source are what their definitions give, and the generator is Go's.
import { toHex } from "@dm/core";
import { loadVectors } from "@dm/fixtures";
import { expect, it } from "vitest";
import { buzhashTable } from "../src/buzhash.ts";
import { goRandom } from "../src/go-rand.ts";
import { rabinKarpTables } from "../src/rabinkarp.ts";

const hex = (word: number, digits = 8): string => (word >>> 0).toString(16).padStart(digits, "0");

it("derives the buzhash table from Go's generator", () => {
  const random = goRandom(1);
  const seen = new Set<number>();
  while (seen.size < 256) seen.add(Number(BigInt.asIntN(32, random.int63())));
  expect([...buzhashTable()]).toEqual([...seen]);
  expect([...buzhashTable()].map((word) => hex(word))).toEqual(
    loadVectors("buzhash32-table").table,
  );
});

it("derives the Rabin-Karp tables from the polynomial", () => {
  const { modHigh, modLow, outHigh, outLow } = rabinKarpTables();
  const recorded = loadVectors("rabinkarp64-tables");
  expect([...outHigh].map((word, index) => hex(word) + hex(outLow[index]!))).toEqual(recorded.out);
  expect([...modHigh].map((word, index) => hex(word) + hex(modLow[index]!))).toEqual(recorded.mod);
});

it("gives the numbers and bytes of Go's generator", () => {
  const random = goRandom(1);
  expect([random.int63(), random.int63()]).toEqual([5577006791947779410n, 8674665223082153551n]);
  const bytes = new Uint8Array(32);
  goRandom(42).fill(bytes);
  expect(toHex(bytes)).toBe(loadVectors("splitter-vectors").first32BytesOfStream);
  const pieces = new Uint8Array(32);
  const again = goRandom(42);
  for (let at = 0; at < 32; at += 5) again.fill(pieces.subarray(at, at + 5));
  expect(pieces).toEqual(bytes);
});
