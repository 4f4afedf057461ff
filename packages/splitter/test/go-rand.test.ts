// The generator is Go's: its published first numbers, kopia's recorded stream, and reads of any size continue it.
import { toHex } from "@dm/core";
import { loadVectors } from "@dm/fixtures";
import fc from "fast-check";
import { expect, it } from "vitest";
import { goRandom } from "../src/benchmark-data.ts";

it("gives the numbers of Go's generator", () => {
  const random = goRandom(1);
  expect([random.int63(), random.int63()]).toEqual([5577006791947779410n, 8674665223082153551n]);
});

it("gives the recorded bytes", () => {
  const { first32BytesOfStream, seed } = loadVectors("splitter-vectors");
  const bytes = new Uint8Array(32);
  goRandom(seed).fill(bytes);
  expect(toHex(bytes)).toBe(first32BytesOfStream);
});

it("drops the top byte of each number, and gives the others lowest first", () => {
  const numbers = goRandom(7);
  const bytes = new Uint8Array(70);
  goRandom(7).fill(bytes);
  for (let at = 0; at < bytes.length; at += 7) {
    const low = BigInt.asUintN(56, numbers.int63());
    const expected = Array.from({ length: 7 }, (_, index) =>
      Number((low >> BigInt(8 * index)) & 255n),
    );
    expect([...bytes.subarray(at, at + 7)]).toEqual(expected);
  }
});

it("continues from read to read, whatever their sizes", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40)), fc.nat(), (lengths, seed) => {
      const whole = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
      goRandom(seed).fill(whole);
      const pieces = new Uint8Array(whole.length);
      const random = goRandom(seed);
      let at = 0;
      for (const length of lengths) {
        random.fill(pieces.subarray(at, at + length));
        at += length;
      }
      expect(pieces).toEqual(whole);
    }),
  );
});

it("takes a seed modulo 2^31 - 1, as Go does; 0 is another name of 89482311", () => {
  const first = (seed: number): bigint => goRandom(seed).int63();
  expect(first(0)).toBe(first(89_482_311));
  expect(first(2_147_483_647)).toBe(first(0));
  expect(first(-1)).toBe(first(2_147_483_646));
  expect(first(5)).not.toBe(first(6));
});
