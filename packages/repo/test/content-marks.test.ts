// A set of contents by their positions in a merged index tells the same as a set of ids.
import { describe, expect, it } from "vitest";
import { ContentMarks, contentIdFromHash, type IndexEntry, openIndex } from "../src/index.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import { MergedIndex } from "../src/index-blob/merged.ts";
import { bytesOf } from "./new-repository.ts";

const entry = (seed: number, change: Partial<IndexEntry> = {}): IndexEntry => ({
  contentId: contentIdFromHash(seed % 3 === 0 ? "k" : "", bytesOf(16, seed)),
  packBlobId: "p1",
  packOffset: 0,
  packedLength: 40,
  originalLength: 10,
  timestampSeconds: 100 + seed,
  compressionHeaderId: 0,
  deleted: false,
  formatVersion: 3,
  encryptionKeyId: 0,
  ...change,
});
const indexOf = (...blobs: IndexEntry[][]): MergedIndex =>
  new MergedIndex(blobs.map((entries) => openIndex(buildIndex(entries, { version: 2 }))));
const seeds = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe("marks of contents", () => {
  it("are those of the ids, of several blobs that overlap", () => {
    const blobs = [seeds(1, 300), seeds(200, 500), seeds(450, 460)];
    const index = indexOf(...blobs.map((list) => list.map((seed) => entry(seed))));
    const marks = new ContentMarks(index);
    const marked = new Set<string>();
    for (const seed of seeds(1, 500).filter((seed) => seed % 7 < 3)) {
      const { contentId } = entry(seed);
      expect(marks.add(contentId)).toBe(true);
      expect(marks.add(contentId)).toBe(false);
      marked.add(contentId);
    }
    expect(marks.count).toBe(marked.size);
    for (const { contentId } of index.entries())
      expect(marks.has(contentId)).toBe(marked.has(contentId));
    const unknown = entry(501).contentId;
    expect([marks.add(unknown), marks.has(unknown)]).toEqual([undefined, false]);
  });

  it("know nothing of contents that the deletion watermark hides", () => {
    const [hidden, revived, live] = [1, 2, 3].map((seed) => entry(seed)) as [
      IndexEntry,
      IndexEntry,
      IndexEntry,
    ];
    const deleted = { deleted: true, timestampSeconds: 200 };
    const blobs = [
      [{ ...hidden, ...deleted }, { ...revived, ...deleted }, live],
      [{ ...revived, timestampSeconds: 300 }],
    ].map((entries) => openIndex(buildIndex(entries, { version: 2 })));
    const marks = new ContentMarks(new MergedIndex(blobs, { deletedBeforeSeconds: 200 }));
    expect([hidden, revived, live].map(({ contentId }) => marks.add(contentId))).toEqual([
      undefined,
      true,
      true,
    ]);
  });
});
