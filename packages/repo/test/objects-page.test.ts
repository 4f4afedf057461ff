// The page about objects: its ids parse as its table says, and its index is what we write and read.
import { utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { decodeIndirect, encodeIndirect } from "../src/object/indirect-codec.ts";
import { parseObjectId } from "../src/object/object-id.ts";
import { blockIn, dumpIn, hex, readPage } from "./format-page.ts";

const page = await readPage("objects");

it("shows how ids are read", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` +\| (\d) +\| (yes|no) +\| `(\w+)` +\|$/gm)];
  expect(rows.length).toBe(6);
  for (const [, id, levels, compressed, contentId] of rows) {
    expect(parseObjectId(id!)).toEqual({
      indirection: Number(levels),
      compressed: compressed === "yes",
      contentId,
    });
  }
});

it("shows an index as we write and read it", () => {
  const text = `${blockIn(page, "json index")}\n`;
  const entries = decodeIndirect(utf8Encode(text), "I");
  expect(entries.map(({ start, length }) => [start, length])).toEqual([
    [0, 625953],
    [625953, 1208057],
  ]);
  expect(utf8Decode(encodeIndirect(entries))).toBe(text);
  const start = dumpIn(page, "index-start");
  expect(hex(encodeIndirect(entries).subarray(0, start.length))).toBe(hex(start));
});
