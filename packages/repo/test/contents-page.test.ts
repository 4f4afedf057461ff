// The page about contents: its keys are those of our code, and its rules for several entries are the ones we follow.
import { utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { maxContentBytes } from "../src/content/content-decoder.ts";
import {
  contentIdFromHash,
  contentIdFromKey,
  contentIdKey,
  parseContentId,
} from "../src/content-id.ts";
import { preferEntry } from "../src/index-blob/entry.ts";
import { blockIn, hex, pageCrypter, readPage } from "./format-page.ts";

const page = await readPage("contents");

it("shows keys and ids that belong together", () => {
  const lines = blockIn(page, "hex keys").split("\n");
  expect(lines.length).toBe(2);
  for (const line of lines) {
    const [key, id] = line.split("|").map((text) => text.replaceAll(" ", ""));
    expect(hex(contentIdKey(parseContentId(id!)))).toBe(key);
    expect(contentIdFromKey(contentIdKey(parseContentId(id!)))).toBe(id);
  }
  const digest = pageCrypter.hash.digest(utf8Encode("hello kopia"));
  expect(lines[0]).toContain(`| ${contentIdFromHash("", digest)}`);
  expect(lines[1]).toContain(`| ${contentIdFromHash("k", digest)}`);
});

it("states the rule by which one of several entries counts", () => {
  const entry = {
    contentId: parseContentId("aa".repeat(16)),
    timestampSeconds: 10,
    packBlobId: "p1",
    packOffset: 0,
    packedLength: 28,
    originalLength: 0,
    compressionHeaderId: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
  };
  const later = { ...entry, timestampSeconds: 11, deleted: true };
  const deleted = { ...entry, packBlobId: "p2", deleted: true };
  const greater = { ...entry, packBlobId: "p2" };
  for (const [winner, loser] of [
    [later, entry],
    [entry, deleted],
    [greater, entry],
  ] as const) {
    expect(preferEntry(winner, loser)).toBe(winner);
    expect(preferEntry(loser, winner)).toBe(winner);
  }
});

it("states the limit of a content", () => {
  expect(page).toContain("2^28 - 1 bytes");
  expect(maxContentBytes).toBe(2 ** 28 - 1);
});
