// The page about error correction: its parameters are ours, its dump is what we write, and damage to it is repaired.
import { utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { createEcc } from "../src/ecc/index.ts";
import { layoutOfData, shardParameters } from "../src/ecc/shard-layout.ts";
import { dumpIn, hex, readPage, rowsIn } from "./format-page.ts";

const page = await readPage("error-correction");

it("shows the shards of several percentages", () => {
  const rows = rowsIn(page, "## Shards").filter((row) => row.length === 4 && /^\d/.test(row[0]!));
  expect(rows.length).toBe(7);
  for (const [percent, shardBytes, dataShards, parityShards] of rows.map((row) => row.map(Number)))
    expect(shardParameters(percent!)).toEqual({ shardBytes, dataShards, parityShards });
});

it("shows stored bytes that we write, read, and repair", () => {
  const ecc = createEcc("REED-SOLOMON-CRC32", 2);
  const stored = dumpIn(page, "ecc");
  expect(hex(ecc.encode(utf8Encode("hello kopia")))).toBe(hex(stored));
  expect(layoutOfData(shardParameters(2), 15).shardBytes).toBe(3);
  const damaged = stored.map((byte, index) => (index >= 21 && index < 35 ? byte ^ 0xff : byte));
  const { data, repairedShards } = ecc.decode(damaged);
  expect(utf8Decode(data)).toBe("hello kopia");
  expect(repairedShards).toBe(2);
});
