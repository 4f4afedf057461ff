// The tables and the worked example of docs/format/splitting.md are true, for the splitters and for the slow reference.
import { readFileSync } from "node:fs";
import { toHex } from "@dm/core";
import { describe, expect, it } from "vitest";
import { buzhashTable } from "../src/buzhash.ts";
import { createSplitter, splitterAlgorithms } from "../src/index.ts";
import { polynomial, rabinKarpTables } from "../src/rabinkarp.ts";
import { buzhash, rabinKarp } from "./reference.ts";
import { segmentLengths } from "./split.ts";

const page = readFileSync(new URL("../../../docs/format/splitting.md", import.meta.url), "utf8");

function block(name: string): string {
  return new RegExp(`\`\`\`${name}\n([^\`]+)\`\`\``).exec(page)![1]!.trim();
}

const hex32 = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");

it("lists the buzhash table and the polynomial", () => {
  expect(block("buzhash-table").split(/\s+/)).toEqual([...buzhashTable()].map(hex32));
  expect(page).toContain(`P = 0x${polynomial.toString(16)}`);
});

describe("worked example", () => {
  const rows = new Map(
    block("example")
      .split("\n")
      .map((row) => row.split(/ {2,}/, 2) as [string, string]),
  );
  const data = new Uint8Array(1_000_000);
  let state = 1;
  for (let index = 0; index < data.length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    data[index] = state >>> 16;
  }

  it("begins with the bytes of its formula", () => {
    expect(rows.get("data")).toBe(`${toHex(data.subarray(0, 16))} ...`);
  });

  const names = [...rows.keys()].filter((row) => Object.hasOwn(splitterAlgorithms, row));
  it.each(names)("%s", (name) => {
    let end = 0;
    const ends = segmentLengths(createSplitter(name), data).map((length) => {
      end += length;
      return end;
    });
    expect(ends.join(" ")).toBe(rows.get(name));
  });

  it("has a row of each family", () => {
    const families = names.map(
      (name) => splitterAlgorithms[name as keyof typeof splitterAlgorithms].family,
    );
    expect(new Set(families)).toEqual(new Set(["fixed", "buzhash", "rabinkarp"]));
  });

  it("shows hashes and table entries", () => {
    const window = Array.from({ length: 64 }, (_, index) => index);
    expect(buzhash(window).toString(16)).toBe(rows.get("buzhash of 00 to 3f"));
    expect(rabinKarp(window).toString(16).padStart(16, "0")).toBe(
      rows.get("rabinkarp of 00 to 3f"),
    );
    const { modHigh, modLow, outHigh, outLow } = rabinKarpTables();
    const pair = (high: Int32Array, low: Int32Array): string =>
      [1, 255].map((byte) => hex32(high[byte]!) + hex32(low[byte]!)).join(" ");
    expect(rows.get("out[1] out[255]")).toBe(pair(outHigh, outLow));
    expect(rows.get("mod[1] mod[255]")).toBe(pair(modHigh, modLow));
  });
});
