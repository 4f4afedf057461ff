// Repositories without epochs: compaction replaces index blobs by a log, in whatever order of crashes, and cleans up an
// hour later by the store's clock.
import { type BlobMetadata, forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import type { V0Manager } from "../src/index.ts";
import {
  activeV0Blobs,
  decodeCompactionLog,
  decodeDelayedCleanup,
  encodeCompactionLog,
  encodeDelayedCleanup,
  v0CompactionCandidates,
} from "../src/index-manager/v0-log.ts";
import { mergeIndexBlobs } from "../src/maintenance/merge-indexes.ts";
import { bytesOf, kinds, newRepository, startNs, type TestRepository } from "./new-repository.ts";

const blob = (id: string, length = 100): BlobMetadata => ({ id, length, timestampNs: startNs });

describe("logs", () => {
  it("round-trip in Kopia's form", () => {
    const log = { inputs: [blob("n1"), blob("n2")], outputs: [blob("n3", 180)] };
    const json = new TextDecoder().decode(encodeCompactionLog(log));
    expect(json).toBe(
      '{"inputMetadata":[{"id":"n1","length":100,"timestamp":"2023-11-14T22:13:20Z"},' +
        '{"id":"n2","length":100,"timestamp":"2023-11-14T22:13:20Z"}],' +
        '"outputMetadata":[{"id":"n3","length":180,"timestamp":"2023-11-14T22:13:20Z"}]}',
    );
    expect(decodeCompactionLog(encodeCompactionLog(log), "m1")).toEqual(log);
    const cleanup = { blobIds: ["m1"], scheduledAtNs: startNs };
    expect(decodeDelayedCleanup(encodeDelayedCleanup(cleanup), "l1")).toEqual(cleanup);
  });

  it("that are none are refused by name", () => {
    const bytes = new TextEncoder().encode('{"inputMetadata":[{"id":7}]}');
    expect(() => decodeCompactionLog(bytes, "mabc")).toThrow(
      expect.objectContaining({ code: "DM_COMPACTION_LOG_INVALID", details: { blobId: "mabc" } }),
    );
  });
});

describe("which blobs count", () => {
  const ids = (blobs: readonly BlobMetadata[]): string[] => blobs.map(({ id }) => id);
  const log = { inputs: [blob("n1"), blob("n2")], outputs: [blob("n3")] };

  it("not the inputs of a compaction, once its output is there", () => {
    expect(ids(activeV0Blobs([blob("n1"), blob("n2"), blob("n3"), blob("n4")], [log]))).toEqual([
      "n3",
      "n4",
    ]);
    expect(ids(activeV0Blobs([blob("n1"), blob("n2")], [log]))).toEqual(["n1", "n2"]);
    const next = { inputs: [blob("n3"), blob("n4")], outputs: [blob("n5")] };
    expect(ids(activeV0Blobs([blob("n1"), blob("n3"), blob("n5")], [log, next]))).toEqual(["n5"]);
  });

  it("compaction waits for eight small ones", () => {
    const options = { maxPackSizeBytes: 1000 };
    const blobs = (count: number, length: number): BlobMetadata[] =>
      Array.from({ length: count }, (_, i) => blob(`n${length}-${i}`, length));
    expect(v0CompactionCandidates(blobs(7, 10), options)).toEqual([]);
    expect(v0CompactionCandidates(blobs(8, 10), options).length).toBe(8);
    expect(v0CompactionCandidates([...blobs(8, 10), ...blobs(2, 1001)], options).length).toBe(8);
    expect(v0CompactionCandidates([...blobs(8, 10), ...blobs(6, 500)], options).length).toBe(8);
    expect(v0CompactionCandidates([...blobs(8, 10), ...blobs(7, 500)], options).length).toBe(15);
    expect(v0CompactionCandidates(blobs(2, 5000), { ...options, allIndexes: true }).length).toBe(2);
  });
});

describe("in a store", () => {
  async function withSessions(count: number): Promise<TestRepository & { ids: string[] }> {
    const test = await newRepository({ version: 1 });
    const ids: string[] = [];
    for (let seed = 1; seed <= count; seed += 1) {
      await using session = await test.repository.openWriteSession();
      ids.push(await session.writeContent(bytesOf(20, seed)));
      await session.commit();
    }
    return { ...test, ids };
  }

  async function expectAll({ open, ids }: TestRepository & { ids: string[] }): Promise<void> {
    const reader = await open();
    const seen = [];
    for await (const { contentId } of reader.listContents({ prefix: "" })) seen.push(contentId);
    expect(seen).toEqual([...ids].sort());
  }

  it("compacts, and removes inputs after an hour, logs after another", async () => {
    const test = await withSessions(10);
    const { clock, repository, store } = test;
    const manager = repository.indexManager as V0Manager;
    const compact = async (): Promise<void> => {
      const blobs = await manager.activeBlobs();
      const merged = await mergeIndexBlobs(
        repository,
        blobs.map(({ id }) => id),
        { unique: true },
      );
      await manager.replace(blobs, merged);
      await expectAll(test);
    };
    const before = kinds(store)["n"]!;
    await compact();
    expect(kinds(store)).toMatchObject({ n: before + 1, m: 1 });
    expect((await manager.activeBlobs()).length).toBe(1);
    expect(await manager.cleanUp()).toEqual({ indexes: [], logs: [] });
    // Time passes for the store only when something is written to it.
    clock.advance(3_600_000);
    expect((await manager.cleanUp()).indexes).toEqual([]);
    await compact();
    expect((await manager.cleanUp()).indexes.length).toBe(before);
    expect(kinds(store)).toMatchObject({ n: 2, m: 2, l: 1 });
    await expectAll(test);
    clock.advance(3_600_000);
    await compact();
    const removed = await manager.cleanUp();
    expect(removed.logs.length).toBe(1);
    expect(kinds(store)).toMatchObject({ m: 2 });
    await expectAll(test);
  });

  it("a clean-up that is cut off anywhere brings no replaced blob back to life", async () => {
    const test = await withSessions(9);
    const { clock, open, repository, store } = test;
    const compact = async (): Promise<void> => {
      const manager = repository.indexManager as V0Manager;
      const blobs = await manager.activeBlobs();
      const ids = blobs.map(({ id }) => id);
      await manager.replace(blobs, await mergeIndexBlobs(repository, ids, { unique: true }));
    };
    for (let i = 0; i < 3; i += 1) {
      await compact();
      clock.advance(3_600_000);
    }
    for (let deletions = 0; ; deletions += 1) {
      let left = deletions;
      const client = await open({
        store: {
          ...forward(store),
          // The order of a listing is up to the store: the worst one.
          async *list(prefix, options) {
            const blobs = [];
            for await (const found of store.list(prefix, options)) blobs.push(found);
            yield* blobs.sort((a, b) => Number(b.timestampNs - a.timestampNs));
          },
          async delete(id, options) {
            if (left-- <= 0) throw new Error("cut off");
            await store.delete(id, options);
          },
        },
      });
      const ended = await (client.indexManager as V0Manager).cleanUp().then(
        () => true,
        () => false,
      );
      const active = await ((await open()).indexManager as V0Manager).activeBlobs();
      expect(active.length).toBe(1);
      await expectAll(test);
      if (ended) break;
    }
  });

  it("two compactions of the same blobs at once do no harm", async () => {
    const test = await withSessions(9);
    const { open } = test;
    const compact = async (): Promise<void> => {
      const repository = await open();
      const manager = repository.indexManager as V0Manager;
      const blobs = await manager.activeBlobs();
      const merged = await mergeIndexBlobs(
        repository,
        blobs.map(({ id }) => id),
        { unique: true },
      );
      await manager.replace(blobs, merged);
    };
    await Promise.all([compact(), compact()]);
    await expectAll(test);
  });
});
