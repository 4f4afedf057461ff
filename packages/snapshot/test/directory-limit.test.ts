// What is written of a directory can be read: both sides have one limit, and each refuses one byte more.
import type { ObjectReader } from "@dm/repo";
import { expect, it } from "vitest";
import { directoryBytes, maxDirectoryBytes } from "../src/directory-codec.ts";
import { readDirectory } from "../src/index.ts";
import { entryOf } from "./made-up.ts";

/** An object that claims a length; what is read of it is an empty directory. */
async function readOfLength(length: number): Promise<unknown> {
  const stream = new TextEncoder().encode(
    '{"stream":"kopia:directory","entries":null,"summary":{}}',
  );
  const object = { length, read: async () => stream } as unknown as ObjectReader;
  return readDirectory({ openObject: async () => object }, entryOf({ type: "d" }));
}

it("a stream of the longest length is read, a longer one is not", async () => {
  expect(await readOfLength(maxDirectoryBytes)).toMatchObject({ entries: [] });
  await expect(readOfLength(maxDirectoryBytes + 1)).rejects.toMatchObject({
    code: "DM_DIRECTORY_INVALID",
  });
});

it("a text that nobody would read is not written, and the error says what to do", () => {
  expect(() => directoryBytes("x".repeat(maxDirectoryBytes + 1))).toThrow(RangeError);
  expect(() => directoryBytes("x".repeat(maxDirectoryBytes + 1))).toThrow("spread its entries");
  expect(directoryBytes("ä")).toEqual(Uint8Array.of(0xc3, 0xa4));
});
