// The page about index blobs: its dumps are what we build from the entries it describes, and what we read.
import { concatBytes, fromHex } from "@dm/core";
import { expect, it } from "vitest";
import { parseContentId } from "../src/content-id.ts";
import { openBlob, sealBlob } from "../src/crypto/crypter.ts";
import { buildIndex, maxEntriesPerIndex } from "../src/index-blob/build.ts";
import type { IndexEntry } from "../src/index-blob/entry.ts";
import { openIndex } from "../src/index-blob/open.ts";
import { dumpIn, hex, pageCrypter, pageSessionId, readPage } from "./format-page.ts";

const page = await readPage("indexes");

const dead: IndexEntry = {
  contentId: parseContentId("f9cbfd617f9e6dd17aa0669f7d084312"),
  timestampSeconds: 0x65000001,
  packBlobId: `p${"1".repeat(32)}-${pageSessionId}`,
  packOffset: 32,
  packedLength: 39,
  originalLength: 11,
  compressionHeaderId: 0,
  formatVersion: 3,
  encryptionKeyId: 0,
  deleted: true,
};
const alive: IndexEntry = {
  ...dead,
  timestampSeconds: 0x65000002,
  packBlobId: `q${"2".repeat(32)}-${pageSessionId}`,
  deleted: false,
};
const v1Entries: IndexEntry[] = [
  { ...dead, formatVersion: 1 },
  {
    ...alive,
    contentId: parseContentId(`m${"aa".repeat(16)}`),
    packOffset: 1087,
    packedLength: 100,
    originalLength: 72,
    formatVersion: 1,
  },
];
const directory: IndexEntry = {
  ...alive,
  contentId: parseContentId(`k${"bb".repeat(16)}`),
  packedLength: 128,
  originalLength: 4096,
  compressionHeaderId: 0x1101,
};

it.each([
  [1, v1Entries],
  [2, [dead, directory]],
] as const)("shows layout %i as we write and read it", (version, entries) => {
  const dump = dumpIn(page, `v${version}`);
  expect(hex(buildIndex(entries, { version }))).toBe(hex(dump));
  expect([...openIndex(dump).entries()]).toEqual(entries);
  expect(openIndex(dump).version).toBe(version);
});

it("shows the values of long contents", () => {
  const long = { ...directory, originalLength: 19088743, packedLength: 36984440 };
  expect(page).toContain(`${long.originalLength} and ${long.packedLength} bytes`);
  const index = buildIndex([dead, long], { version: 2 });
  const stride = 17 + 19;
  const values = [0, 1].map((number) =>
    index.subarray(17 + number * stride + 17, 17 + (number + 1) * stride),
  );
  expect(hex(dumpIn(page, "long-values"))).toBe(hex(concatBytes(...values)));
});

it("shows the stored blob under its name", () => {
  const blobId = /is `(xn0_[0-9a-f]{32}-s[0-9a-f]+-c1)`/.exec(page)![1]!;
  const stored = dumpIn(page, "stored");
  const plaintext = dumpIn(page, "v2");
  expect(hex(openBlob(pageCrypter, blobId, stored))).toBe(hex(plaintext));
  const sealed = sealBlob(pageCrypter, plaintext, "xn0_", `${pageSessionId}-c1`);
  expect(sealed.blobId).toBe(blobId);
  expect(hex(sealed.data)).toBe(hex(stored));
  expect(() => openBlob(pageCrypter, blobId.replace("51b3-", "51b4-"), stored)).toThrow();
});

it("states how many entries an index may have", () => {
  expect(page).toContain(maxEntriesPerIndex.toLocaleString("en-US"));
  expect(fromHex("ff")[0]).toBe(buildIndex([], { version: 1 })[1]);
});
