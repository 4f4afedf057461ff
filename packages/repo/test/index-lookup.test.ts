// Look-ups guess where a key lies because hashes are spread evenly. They must find the same when keys are not: here keys
// crowd at both ends, share their beginnings, or lie in steps, under several prefixes, and every position is compared
// with a plain scan.
import { describe, expect, it } from "vitest";
import { type ContentId, contentIdKey, parseContentId } from "../src/content-id.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import { openIndex, type PackIndex } from "../src/index-blob/open.ts";

const word = (number: number): string => (number >>> 0).toString(16).padStart(8, "0");

const shapes: Record<string, (number: number) => string> = {
  "spread evenly": (number) => word(Math.imul(number + 1, 0x9e3779b1)).repeat(4),
  "all at the low end": (number) => `${word(number)}${word(0)}`.repeat(2),
  "all at the high end": (number) => `${word(-1 - number)}${word(0)}`.repeat(2),
  "with one beginning": (number) => word(0x80000000) + word(number).repeat(3),
  "at both ends": (number) => (number % 2 === 0 ? word(number) : word(-number)).repeat(4),
  "growing by factors": (number) => word(2 ** (number / 10)) + word(number).repeat(3),
};

function indexOf(ids: readonly ContentId[]): PackIndex {
  const entries = ids.map((contentId) => ({
    contentId,
    timestampSeconds: 1,
    packBlobId: "p",
    packOffset: 0,
    packedLength: 28,
    originalLength: 0,
    compressionHeaderId: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
  }));
  return openIndex(buildIndex(entries, { version: 2 }));
}

/** The slow, obvious version. */
function scan(index: PackIndex, key: Uint8Array): number {
  let position = 0;
  while (position < index.count && index.compareAt(position, key) < 0) position += 1;
  return position;
}

describe.each(Object.entries(shapes))("keys %s", (_name, hash) => {
  const prefixes = ["", "k", "m", "z"];
  const ids = Array.from({ length: 300 }, (_, number) =>
    parseContentId(prefixes[number % prefixes.length]! + hash(number)),
  );
  const index = indexOf(ids);

  it("are found where they are", () => {
    for (const id of ids) {
      const key = contentIdKey(id);
      const position = index.find(key);
      expect(position).toBe(scan(index, key));
      expect(index.entryAt(position).contentId).toBe(id);
    }
  });

  it("and what is not there is found missing, next to its neighbours", () => {
    for (const id of ids) {
      for (const change of [-1, 1]) {
        const key = contentIdKey(id);
        const last = key.length - 1;
        key[last] = (key[last]! + change) & 255;
        const position = scan(index, key);
        expect(index.lowerBound(key)).toBe(position);
        const isThere = position < index.count && index.compareAt(position, key) === 0;
        expect(index.find(key)).toBe(isThere ? position : -1);
      }
    }
    for (const prefix of [0, 1, 0x6b, 0x7a, 0xff]) {
      for (const fill of [0, 0x7f, 0xff]) {
        const key = new Uint8Array(17).fill(fill);
        key[0] = prefix;
        expect(index.lowerBound(key)).toBe(scan(index, key));
        expect(index.lowerBound(key.subarray(0, 1))).toBe(scan(index, key.subarray(0, 1)));
      }
    }
  });
});
