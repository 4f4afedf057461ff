// The worked example on the format page is a real stream: it decodes to what the page says, and our encoder writes just it.
// The table of header IDs there is the registry.
import { readFileSync } from "node:fs";
import { fromHex, toHex, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { compress, compressors, decompress } from "../src/index.ts";

const page = readFileSync(new URL("../../../docs/format/compression.md", import.meta.url), "utf8");

it("worked example", () => {
  const dump = /```hex\n([^`]+)```/.exec(page)![1]!;
  const stored = fromHex(dump.replaceAll(/\|.*$/gm, "").replaceAll(/\s/g, ""));
  const data = utf8Encode("one pack, two packs, ".repeat(20));
  expect(stored).toHaveLength(50);
  expect(decompress(stored, { maxBytes: 420 })).toEqual(data);
  expect(toHex(compress("s2-default", data))).toBe(toHex(stored));
});

it("header IDs", () => {
  const rows = [...page.matchAll(/\| 0x(1\d{3}) +\| ([a-z0-9-]+)/g)];
  const listed = rows.map(([, id, name]) => `${id} ${name}`).sort();
  const known = Object.values(compressors).map(
    ({ headerId, name }) => `${headerId.toString(16)} ${name}`,
  );
  expect(listed.filter((row) => !row.startsWith("1400"))).toEqual(known.sort());
});
