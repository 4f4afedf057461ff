/**
 * An earlier time of a container that keeps versions, for any store over a fake service: its blobs as they were, deletions
 * included, over pages and through repetitions.
 * Proof: test/azure-versions.test.ts, test/gcs-versions.test.ts.
 * @module
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import type { Fake, Seen } from "./fake-service.ts";
import { failure, type OnFake, utf8 } from "./object-service.ts";

export interface VersionsSubject {
  readonly on: OnFake;
  /** Whether a request asks for the page behind the first entry, when pages have one. */
  readonly isSecondPage: (seen: Seen) => boolean;
  /** Whether the service knows that a blob was away when it has come again. */
  readonly knowsGaps: boolean;
}

export function testObjectVersions({ isSecondPage, knowsGaps, on }: VersionsSubject): void {
  beforeEach(() => {
    on.fake.versioned = true;
  });

  describe("a container at an earlier time", () => {
    it.each([1000, 2, 1])("is what it was, with pages of %d", async (pageEntries) => {
      const now = on.open();
      const states: Array<readonly [Date, Record<string, string>]> = [];
      for (const step of [
        () => now.put("a", utf8("one")),
        () => now.put("b", utf8("b")),
        () => now.put("a", utf8("three")),
        () => now.delete("b"),
        () => now.put("ab", utf8("other")),
        () => now.delete("a"),
        ...(knowsGaps ? [() => now.put("b", utf8("again")), () => now.put("a", utf8("last"))] : []),
      ]) {
        await step();
        states.push([lastChange(on.fake), await contentOf(now)]);
      }
      on.fake.pageEntries = pageEntries;
      for (const [pointInTime, content] of states) {
        const past = on.open({ pointInTime });
        const time = pointInTime.toISOString();
        expect([time, await contentOf(past)]).toEqual([time, content]);
        for (const id of ["a", "b", "ab", "c"]) {
          const read = await on
            .open({ pointInTime })
            .get(id, { offset: 0, length: 1 })
            .then((data) => data.length)
            .catch((error: { code: string }) => error.code);
          expect(read).toBe(content[id] === undefined ? "DM_BLOB_NOT_FOUND" : 1);
        }
      }
      const before = on.open({ pointInTime: new Date(Date.now() - 3_600_000) });
      expect(await contentOf(before)).toEqual({});
    });

    it("asks again for a page that breaks, and gives each blob once", async () => {
      const now = on.open();
      for (const id of ["a", "b", "c"]) await now.put(id, utf8(id));
      on.fake.pageEntries = 1;
      on.fake.inject({ shortenToBytes: 40 }, 2, isSecondPage);
      const past = on.open({ pointInTime: lastChange(on.fake) });
      const before = on.fake.seen.length;
      expect(await contentOf(past)).toEqual({ a: "a", b: "b", c: "c" });
      expect(on.fake.seen.slice(before).filter(isSecondPage).length).toBeGreaterThan(2);
    });

    it("can only be read", async () => {
      const past = on.open({ pointInTime: new Date() });
      const { ifAbsent, retention, setTimestamp } = past.features;
      expect([past.readOnly, ifAbsent, retention, setTimestamp]).toEqual([
        true,
        false,
        false,
        false,
      ]);
      expect((await failure(past.put("a", utf8("a")))).code).toBe("DM_STORE_READ_ONLY");
    });

    it("says that the container keeps no versions", async () => {
      on.fake.versioned = false;
      await on.open().put("a", utf8("a"));
      const past = on.open({ pointInTime: new Date() });
      expect((await failure(past.get("a"))).code).toBe("DM_STORE_NOT_VERSIONED");
    });
  });
}

/** All blobs with their content. */
export async function contentOf(store: BlobStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { id, length } of store.list("")) {
    found[id] = new TextDecoder().decode(await store.get(id));
    expect(length).toBe(found[id].length);
    expect((await store.stat(id)).length).toBe(length);
  }
  return found;
}

export const lastChange = (fake: Fake): Date =>
  new Date(
    Math.max(
      ...fake.versions.map(({ createdAtMs, deletedAtMs = 0 }) =>
        Math.max(createdAtMs, deletedAtMs),
      ),
    ),
  );
