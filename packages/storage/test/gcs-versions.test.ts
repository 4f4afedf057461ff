// An earlier time of a bucket that keeps versions: its blobs as they were, deletions included, over pages and through repetitions.
// The same over fake-gcs-server: test/gcs.fake-gcs-server.test.ts.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GcsStoreOptions, gcsStore } from "../src/gcs.ts";
import type { BlobStore } from "../src/index.ts";
import { type FakeGcs, startFakeGcs } from "./fake-gcs.ts";
import { failure } from "./object-faults.ts";

let fake: FakeGcs;
const stores: BlobStore[] = [];
beforeEach(async () => {
  fake = await startFakeGcs();
  fake.versioned = true;
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await fake.close();
});

function open(options: Partial<GcsStoreOptions> = {}): BlobStore {
  const store = gcsStore({
    bucket: "blobs",
    endpoint: fake.url,
    prefix: "k/",
    retries: { attempts: 3, firstDelayMs: 1 },
    ...options,
  });
  stores.push(store);
  return store;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** All blobs with their content. */
async function contentOf(store: BlobStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { id, length } of store.list("")) {
    found[id] = new TextDecoder().decode(await store.get(id));
    expect(length).toBe(found[id].length);
    expect((await store.stat(id)).length).toBe(length);
  }
  return found;
}

describe("a bucket at an earlier time", () => {
  it.each([1000, 2, 1])("is what it was, with pages of %d", async (pageEntries) => {
    const now = open();
    const states: Array<readonly [Date, Record<string, string>]> = [];
    const remember = async (): Promise<void> => {
      states.push([new Date(fake.versions.at(-1) ? lastChangeMs() : 0), await contentOf(now)]);
    };
    for (const step of [
      () => now.put("a", bytes("one")),
      () => now.put("b", bytes("b")),
      () => now.put("a", bytes("three")),
      () => now.delete("b"),
      () => now.put("ab", bytes("other")),
      () => now.delete("a"),
      () => now.put("b", bytes("again")),
      () => now.put("a", bytes("last")),
    ]) {
      await step();
      await remember();
    }
    fake.pageEntries = pageEntries;
    for (const [time, content] of states) {
      const past = open({ pointInTime: time });
      expect([time.toISOString(), await contentOf(past)]).toEqual([time.toISOString(), content]);
      for (const id of ["a", "b", "ab", "c"]) {
        const read = await open({ pointInTime: time })
          .get(id, { offset: 0, length: 1 })
          .then((data) => data.length)
          .catch((error: { code: string }) => error.code);
        expect(read).toBe(content[id] === undefined ? "DM_BLOB_NOT_FOUND" : 1);
      }
    }
    const before = open({ pointInTime: new Date(Date.now() - 3_600_000) });
    expect(await contentOf(before)).toEqual({});
  });

  it("asks again for a page that breaks, and gives each blob once", async () => {
    const now = open();
    for (const id of ["a", "b", "c"]) await now.put(id, bytes(id));
    fake.pageEntries = 1;
    fake.inject({ shortenToBytes: 40 }, 2, ({ url }) => url.searchParams.get("pageToken") === "1");
    const past = open({ pointInTime: new Date(lastChangeMs()) });
    expect(await contentOf(past)).toEqual({ a: "a", b: "b", c: "c" });
  });

  it("can only be read", async () => {
    const past = open({ pointInTime: new Date() });
    expect([past.readOnly, past.features.ifAbsent, past.features.retention]).toEqual([
      true,
      false,
      false,
    ]);
    expect((await failure(past.put("a", bytes("a")))).code).toBe("DM_STORE_READ_ONLY");
  });

  it("says that the bucket keeps no versions", async () => {
    fake.versioned = false;
    await open().put("a", bytes("a"));
    const past = open({ pointInTime: new Date() });
    expect((await failure(past.get("a"))).code).toBe("DM_STORE_NOT_VERSIONED");
  });
});

function lastChangeMs(): number {
  return Math.max(
    ...fake.versions.map(({ createdAtMs, deletedAtMs }) => Math.max(createdAtMs, deletedAtMs ?? 0)),
  );
}
