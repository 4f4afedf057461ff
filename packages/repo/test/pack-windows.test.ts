// Across a network metadata is read in windows: the bytes are the same as when each content is read by itself, requests are
// few, memory is bounded, and damage is told as ever.
import { type BlobStore, counting, forward, type StoreCounts } from "@dm/storage";
import { expect, it } from "vitest";
import { PackWindows } from "../src/content/pack-windows.ts";
import type { ContentId, IndexEntry } from "../src/index.ts";
import { bytesOf, newRepository, type TestRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

/** The same store, as if it lay across a network. */
const remote = (store: BlobStore): BlobStore & { readonly counts: StoreCounts } =>
  counting({ ...forward(store), type: "s3" });

async function written(
  lengths: readonly number[],
): Promise<TestRepository & { readonly ids: ContentId[] }> {
  const made = await newRepository();
  await using session = await made.repository.openWriteSession();
  const ids: ContentId[] = [];
  for (const [seed, length] of lengths.entries())
    ids.push(await session.writeContent(bytesOf(length, seed + 1), { prefix: "k" }));
  await session.commit();
  return { ...made, ids };
}

it("a thousand directories of one pack take one request, far away and nearby", async () => {
  const lengths = Array.from({ length: 1000 }, (_, index) => 50 + (index % 100));
  const { ids, open, store } = await written(lengths);
  for (const type of ["s3", "filesystem"]) {
    const counted = counting({ ...forward(store), type });
    const reader = await open({ store: counted });
    await reader.refresh();
    counted.counts.get = 0;
    const read = await Promise.all(ids.map((id) => reader.readContent(id)));
    for (const [index, bytes] of read.entries())
      expect(bytes).toEqual(bytesOf(lengths[index]!, index + 1));
    expect([type, counted.counts.get]).toEqual([type, 1]);
  }
});

it("contents of any length, read in any order by a few at once, are what they were", async () => {
  const lengths = fc.array(fc.oneof(fc.nat(300), fc.nat(200_000), fc.constant(600_000)), {
    minLength: 1,
    maxLength: 25,
  });
  await fc.assert(
    fc.asyncProperty(lengths, fc.array(fc.nat(), { maxLength: 40 }), async (sizes, order) => {
      const { ids, open, store } = await written(sizes);
      const reader = await open({ store: remote(store) });
      const wanted = order.map((number) => number % sizes.length);
      for (let from = 0; from < wanted.length; from += 3) {
        const some = wanted.slice(from, from + 3);
        const read = await Promise.all(some.map((number) => reader.readContent(ids[number]!)));
        for (const [index, bytes] of read.entries()) {
          const number = some[index]!;
          expect(bytes).toEqual(bytesOf(sizes[number]!, number + 1));
          // What a caller does with its bytes is its own affair.
          bytes.fill(0);
        }
      }
    }),
    { numRuns: process.env["DM_FULL"] ? 200 : 10 },
  );
});

it("a damaged or shortened pack is named by the content, and its neighbours are read", async () => {
  const { ids, open, repository, store } = await written([100, 200, 300, 400]);
  const entry = (await repository.contentInfo(ids[1]!))!;
  const last = (await repository.contentInfo(ids[3]!))!;
  const pack = store.blobs.get(entry.packBlobId)!;
  const whole = pack.slice();
  pack[entry.packOffset + 5]! ^= 1;
  const reader = await open({ store: remote(store) });
  expect(await reader.readContent(ids[0]!)).toEqual(bytesOf(100, 1));
  const altered = { code: "DM_CONTENT_ALTERED", details: { contentId: ids[1] } };
  await expect(reader.readContent(ids[1]!)).rejects.toMatchObject(altered);
  expect(await reader.readContent(ids[2]!)).toEqual(bytesOf(300, 3));

  await store.put(entry.packBlobId, whole.slice(0, last.packOffset + 10));
  const shortened = await open({ store: remote(store) });
  expect(await shortened.readContent(ids[2]!)).toEqual(bytesOf(300, 3));
  const truncated = { code: "DM_PACK_TRUNCATED", details: { contentId: ids[3] } };
  await expect(shortened.readContent(ids[3]!)).rejects.toMatchObject(truncated);

  await store.delete(entry.packBlobId);
  const gone = await open({ store: remote(store) });
  await expect(gone.readContent(ids[3]!)).rejects.toMatchObject({ code: "DM_PACK_NOT_FOUND" });
});

it("a failed request is no lasting answer, and an abort ends the waiting of one caller only", async () => {
  const { ids, open, store } = await written([100, 200]);
  let failures = 1;
  const gate = Promise.withResolvers<void>();
  const slow: BlobStore = {
    ...forward(store),
    type: "s3",
    async get(id, options) {
      if (!id.startsWith("q")) return store.get(id, options);
      await gate.promise;
      if (failures-- > 0) throw new Error("cut off");
      return store.get(id, options);
    },
  };
  const reader = await open({ store: slow });
  const stop = new AbortController();
  const first = reader.readContent(ids[0]!, { signal: stop.signal });
  const second = reader.readContent(ids[1]!);
  await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort(new Error("enough"));
  await expect(first).rejects.toThrow("enough");
  gate.resolve();
  await expect(second).rejects.toThrow("cut off");
  expect(await reader.readContent(ids[1]!)).toEqual(bytesOf(200, 2));
});

it("windows grow with the reads of a pack, and hold no more than their bound", async () => {
  const packBytes = 20 << 20;
  const ranges: { from: number; bytes: number }[] = [];
  const store = {
    async get(_id: string, { offset = 0, length = 0 }) {
      ranges.push({ from: offset, bytes: length });
      return new Uint8Array(length);
    },
  } as unknown as BlobStore;
  const index = { metadataCount: 1, metadataEnds: () => new Map([["q", packBytes]]) };
  const windows = new PackWindows({ store, index: () => index as never, maxBytes: 5 << 20 });
  const at = (mib: number): IndexEntry =>
    ({ packBlobId: "q", packOffset: mib * (1 << 20), packedLength: 1000 }) as IndexEntry;
  for (const mib of [1, 3, 5, 8, 13, 19]) expect((await windows.read(at(mib)))?.length).toBe(1000);
  expect(ranges.map(({ bytes }) => bytes / 1024)).toEqual([256, 256, 1024, 4096, 4096, 4096]);
  // The last one is there; with it no other of its size.
  await windows.read(at(18));
  expect(ranges.length).toBe(6);
  await windows.read(at(13));
  expect(ranges.length).toBe(7);
});

it("a large index is looked through for a pack's end only when the pack is read again", async () => {
  const ranges: number[] = [];
  const store = {
    async get(_id: string, { length = 0 }) {
      ranges.push(length);
      return new Uint8Array(length);
    },
  } as unknown as BlobStore;
  let looks = 0;
  const index = {
    metadataCount: 1_000_000,
    metadataEnds: () => {
      looks += 1;
      return new Map([["q", 5000]]);
    },
  };
  const windows = new PackWindows({ store, index: () => index as never });
  const entry = { packBlobId: "q", packOffset: 10, packedLength: 100 } as IndexEntry;
  expect(await windows.read(entry)).toBeUndefined();
  expect(looks).toBe(0);
  expect((await windows.read(entry))?.length).toBe(100);
  expect((await windows.read({ ...entry, packOffset: 4000 }))?.length).toBe(100);
  expect([looks, ranges]).toEqual([1, [5000]]);
});
