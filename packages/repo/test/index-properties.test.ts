// Whatever entries go in: the same come out, look-ups and merges agree with a plain map, and damage never crashes.
import { DmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { contentIdPrefix } from "../src/content-id.ts";
import {
  buildIndex,
  encodeSorted,
  shardIndexEntries,
  shardSorted,
} from "../src/index-blob/build.ts";
import { type IndexEntry, preferEntry } from "../src/index-blob/entry.ts";
import { MergedIndex } from "../src/index-blob/merged.ts";
import { openIndex } from "../src/index-blob/open.ts";
import { arbitraryEntry, smallContentId } from "./index-entries.ts";
import { fc } from "./property.ts";

function winners(entries: Iterable<IndexEntry>): Map<string, IndexEntry> {
  const map = new Map<string, IndexEntry>();
  for (const entry of entries) {
    const known = map.get(entry.contentId);
    map.set(entry.contentId, known ? preferEntry(known, entry) : entry);
  }
  return map;
}

const byId = (a: IndexEntry, b: IndexEntry): number => (a.contentId < b.contentId ? -1 : 1);

describe.each([1, 2] as const)("index version %i", (version) => {
  const entries = fc.array(arbitraryEntry(version), { minLength: 1, maxLength: 60 });

  it("reads back what was built, whatever the order", () => {
    fc.assert(
      fc.property(entries, (list) => {
        const expected = [...winners(list).values()].sort(byId);
        const bytes = buildIndex(list, { version });
        expect([...openIndex(bytes).entries()]).toEqual(expected);
        expect(buildIndex(list.toReversed(), { version })).toEqual(bytes);
      }),
    );
  });

  it("merges several indexes like one map", () => {
    fc.assert(
      fc.property(fc.array(entries, { minLength: 1, maxLength: 6 }), fc.nat(12), (lists, age) => {
        const deletedBeforeSeconds = 1_600_000_000 + age;
        const merged = new MergedIndex(
          lists.map((list) => openIndex(buildIndex(list, { version }))),
          { deletedBeforeSeconds },
        );
        const expected = [...winners(lists.flat()).values()]
          .filter((entry) => !entry.deleted || entry.timestampSeconds > deletedBeforeSeconds)
          .sort(byId);
        expect([...merged.entries()]).toEqual(expected);
        for (const prefix of ["", "k", "m"]) {
          expect([...merged.entries({ prefix })]).toEqual(
            expected.filter(({ contentId }) => contentIdPrefix(contentId) === prefix),
          );
        }
        const known = new Map(expected.map((entry) => [entry.contentId, entry]));
        for (let number = 0; number < 44; number += 1) {
          const id = smallContentId(number);
          expect(merged.find(id)).toEqual(known.get(id));
        }
      }),
    );
  });

  it("merges into the same blobs, whole and in shards, as all the entries together give", () => {
    fc.assert(
      fc.property(fc.array(entries, { minLength: 1, maxLength: 6 }), fc.nat(20), (lists, size) => {
        const merged = new MergedIndex(
          lists.map((list) => openIndex(buildIndex(list, { version }))),
        );
        const expected = [...winners(lists.flat()).values()].sort(byId);
        for (const maximum of [undefined, size + 1]) {
          const shards = shardSorted(() => merged.entries(), maximum);
          expect(shards.map((shard) => encodeSorted(shard, { version }))).toEqual(
            shardIndexEntries(expected, maximum).map((shard) => buildIndex(shard, { version })),
          );
        }
      }),
    );
  });

  it("answers damaged bytes with entries or a typed error", () => {
    fc.assert(
      fc.property(
        entries,
        fc.array(fc.tuple(fc.nat(3000), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.nat(3000),
        (list, edits, cut) => {
          const bytes = buildIndex(list, { version });
          for (const [position, value] of edits) bytes[position % bytes.length] = value;
          try {
            const index = openIndex(bytes.subarray(0, bytes.length - (cut % (bytes.length + 1))));
            for (const entry of index.entries())
              expect(entry.packedLength).toBeGreaterThanOrEqual(0);
          } catch (error) {
            expect(error).toBeInstanceOf(DmError);
          }
        },
      ),
    );
  });
});
