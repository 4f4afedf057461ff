// The worked examples on the pages about the format blob and the client files are real: what they show is read and
// written by the code, and their tables of defaults and limits are the code's.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHex, utf8Decode, utf8Encode } from "@dm/core";
import { derivePasswordKey } from "@dm/encryption";
import { expect, it } from "vitest";
import { decodeToken, defaultCacheDirectory, diskCache, encodeToken } from "../src/client/index.ts";
import { newFormat } from "../src/format/create-format.ts";
import { openBlock, sealBlock } from "../src/format/format-blob.ts";
import { encodeFormatCopy, recoverFormatCopy } from "../src/format/format-copy.ts";
import { encodeFormatJson } from "../src/format/format-json.ts";
import { poisonBlobId } from "../src/format/upgrade.ts";
import { dumpIn, readPage } from "./format-page.ts";

const uniqueId = Uint8Array.from({ length: 32 }, (_, index) => index);

it("the block opens with the password, and is what we seal", async () => {
  const block = dumpIn(await readPage("format-blob"), "block");
  const passwordKey = await derivePasswordKey("p4ssw0rd", {
    algorithm: "scrypt-65536-8-1",
    salt: uniqueId,
  });
  expect(utf8Decode(openBlock(block, { passwordKey, uniqueId })!)).toBe("{}");
  const nonce = block.subarray(0, 12);
  expect(toHex(sealBlock(utf8Encode("{}"), { passwordKey, uniqueId, nonce }))).toBe(toHex(block));
});

it("the copy in packs is recovered, and is what we write", async () => {
  const copy = dumpIn(await readPage("format-blob"), "copy");
  expect(utf8Decode(recoverFormatCopy(copy, copy)!)).toBe('{"a":1}');
  expect(toHex(encodeFormatCopy(utf8Encode('{"a":1}')))).toBe(toHex(copy));
});

it("the tables name the members in their order, with their defaults", async () => {
  const page = await readPage("format-blob");
  const format = JSON.parse(utf8Decode(encodeFormatJson(newFormat({})))).format;
  const table = page.slice(page.indexOf("## Format:"), page.indexOf("### `epochParameters`"));
  const listed = [...table.matchAll(/^\| (`[^|]+?) +\|/gm)]
    .flatMap(([, names]) => [...names!.matchAll(/`(\w+)`/g)].map(([, member]) => member))
    .filter((member) => member! in format);
  expect(listed).toEqual(Object.keys(format));

  const epochs = page.slice(
    page.indexOf("### `epochParameters`"),
    page.indexOf("### `requiredFeatures`"),
  );
  const defaults = [...epochs.matchAll(/^\| `(\w+)` +\| (\S+) /gm)].map(([, member, value]) => [
    member,
    JSON.parse(value!),
  ]);
  expect(Object.fromEntries(defaults)).toEqual(format.epochParameters);
  expect(page).toContain(poisonBlobId);
});

it("the token is read and written", async () => {
  const token = /```token\n(\S+)\n/.exec(await readPage("client-files"))![1]!;
  const storage = { type: "filesystem", config: { path: "/backup" } };
  expect(decodeToken(token)).toEqual({ storage });
  expect(encodeToken({ storage })).toBe(token);
});

it("the cache directory has the name shown", async () => {
  const shown = /give `([0-9a-f]{16})`/.exec(await readPage("client-files"))![1]!;
  const found = defaultCacheDirectory(uniqueId, "/home/u/.config/kopia/repository.config", {
    env: {},
  });
  expect(found.endsWith(shown)).toBe(true);
});

it("the cache entry is found, and is what we write", async () => {
  const page = await readPage("client-files");
  const entry = dumpIn(page, "entry");
  const path = /`(6a\/[0-9a-f]{64})`/.exec(page)![1]!;
  const key = new Uint8Array(16).fill(7);
  const directory = await mkdtemp(join(tmpdir(), "dm-page-"));
  try {
    await mkdir(join(directory, "6a"));
    await writeFile(join(directory, path), entry);
    const cache = diskCache({ directory, maxBytes: 1000, key });
    expect(utf8Decode((await cache.get("k1"))!)).toBe("hello kopia");
    await rm(join(directory, path));
    await cache.put("k1", utf8Encode("hello kopia"));
    expect(toHex(await readFile(join(directory, path)))).toBe(toHex(entry));
  } finally {
    await rm(directory, { recursive: true });
  }
});
