// A stored volume is the object that the whole stream makes, zeros hashed once, with or without a base of which little has
// changed; it is Velero's object for the device of a golden repository.
import { splitmix64 } from "@dm/fixtures";
import { openRepository, type Repository, type WriteSession } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { beforeAll, describe, expect, it } from "vitest";
import { findEntry, listSnapshots, openFile, type Snapshot } from "../src/index.ts";
import { inPlacePlane } from "../src/upload/in-place-plane.ts";
import {
  beginVolume,
  type ChunkSink,
  type StoreVolumeOptions,
  storeVolume,
} from "../src/volume/store-volume.ts";
import { type SourceVolume, volumeSource } from "../src/volume/volume-entry.ts";
import { volumePlane } from "../src/volume/volume-plane.ts";
import { newRepository } from "./new-repository.ts";
import { memoisedDeriveKey, openGolden } from "./open-golden.ts";
import { fc } from "./property.ts";
import { memoryVolume, segment, volumeOfSegments } from "./volume-in-memory.ts";

const splitter = "DYNAMIC-128K-BUZHASH";
const options: StoreVolumeOptions = { splitter };

async function wholeIn(session: WriteSession, bytes: Uint8Array): Promise<string> {
  return session.writeObject(bytes, { splitter });
}

describe("storeVolume", () => {
  it("makes the object of the whole stream", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    await using other = await repository.openWriteSession();
    await fc.assert(
      fc.asyncProperty(
        fc.array(segment, { maxLength: 10 }),
        fc.nat(3),
        async (layout, parallel) => {
          const volume = volumeOfSegments(layout);
          const sink = parallel === 0 ? undefined : sinkOf(session, parallel);
          const stored = await storeVolume(session, volume, { ...options, sink });
          expect(stored.objectId).toBe(await wholeIn(other, volume.bytes));
          expect(stored.doneBytes).toBe(volume.sizeBytes);
          expect(stored.readBytes).toBe(volume.readBytes);
          const reader = await session.openObject(stored.objectId);
          expect(Buffer.compare(await reader.read(), volume.bytes)).toBe(0);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("hashes zeros once for each length of chunk", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const volume = memoryVolume(new Uint8Array(10 << 20), []);
    const stored = await storeVolume(session, volume, options);
    expect(volume.readBytes).toBe(0);
    expect(stored.zeroBytes).toBe(10 << 20);
    expect((await session.objectParts(stored.objectId)).length).toBe(160);
    // The zeros and the index over them.
    expect(session.progress.contentsWritten).toBe(2);
    expect(stored.objectId).toBe(await wholeIn(session, volume.bytes));
  });

  it("stores a volume of no bytes as one empty content", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const { objectId } = await storeVolume(session, memoryVolume(new Uint8Array(0)), options);
    expect(objectId).toBe(await session.writeObject(new Uint8Array(0)));
  });

  it("gives out objects over what is stored, from which a later run goes on", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const volume = memoryVolume(splitmix64(3, 3_000_000));
    const checkpoints: Array<{ objectId: string; sizeBytes: number }> = [];
    const halves = sinkOf(session, 2);
    const task = beginVolume(session, volume, {
      ...options,
      sink: {
        ...halves,
        async put(bytes, call) {
          const checkpoint = await task.checkpoint();
          if (checkpoint) checkpoints.push(checkpoint);
          return halves.put(bytes, call);
        },
      },
    });
    const stored = await task.done;
    expect(stored.objectId).toBe(await wholeIn(session, volume.bytes));
    expect((await task.checkpoint())!.objectId).toBe(stored.objectId);
    const middle = checkpoints[checkpoints.length >> 1]!;
    const soFar = await (await session.openObject(middle.objectId)).read();
    expect(Buffer.compare(soFar, volume.bytes.subarray(0, middle.sizeBytes))).toBe(0);
    const again = memoryVolume(volume.bytes);
    const resumed = await storeVolume(session, again, {
      ...options,
      changedBlocks: { baseObjectId: middle.objectId, ranges: [] },
    });
    expect(resumed.objectId).toBe(stored.objectId);
    expect(resumed.keptBytes).toBeGreaterThan(middle.sizeBytes - 300_000);
    expect(again.readBytes).toBe(volume.sizeBytes - resumed.keptBytes);
  });

  it("gives out nothing while the first chunk is missing, whatever else is stored", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const first = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    const task = beginVolume(session, memoryVolume(splitmix64(3, 3_000_000)), {
      ...options,
      sink: {
        parallelChunks: 2,
        async put(bytes, call) {
          const number = seen.length;
          seen.push(await task.checkpoint());
          // Two are under way at most: the second is stored by now, the first is not.
          if (number === 2) first.resolve();
          const borrowed = bytes.slice();
          const before = number === 0 ? first.promise : undefined;
          return { stored: Promise.resolve(before).then(() => session.writePart(borrowed, call)) };
        },
      },
    });
    await task.done;
    expect(seen.slice(0, 3)).toEqual([undefined, undefined, undefined]);
    expect(seen.at(-1)).toBeDefined();
  });

  it("fails with the first chunk that a sink cannot store, once all others are done", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    let count = 0;
    let open = 0;
    const sink: ChunkSink = {
      parallelChunks: 3,
      async put() {
        const number = count++;
        open += 1;
        const stored = (async () => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          open -= 1;
          if (number === 4) throw new Error("no room");
          return "00";
        })();
        return { stored };
      },
    };
    const storing = storeVolume(session, memoryVolume(splitmix64(1, 3 << 20)), {
      ...options,
      sink,
    });
    await expect(storing).rejects.toThrow("no room");
    expect(open).toBe(0);
    expect(count).toBeLessThan(10);
  });

  it("is what a data plane does with the file of a volume, and with no other", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const volume = volumeOfSegments([
      { kind: "hole", length: 3 << 20, seed: 0 },
      { kind: "random", length: 1 << 20, seed: 1 },
    ]);
    const [file] = await volumeSource(volume, { name: "/dev/vdb", openedAtNs: 0n }).list();
    if (file?.type !== "f") throw new Error("no file");
    await using plane = volumePlane(session, inPlacePlane(session));
    let told = 0;
    const onBytes = (bytes: number): void => {
      told += bytes;
    };
    const stored = await plane.store(file, { onBytes, splitter }).done;
    expect(volume.readBytes).toBe(1 << 20);
    expect(stored).toMatchObject({
      objectId: await wholeIn(session, volume.bytes),
      sizeBytes: 4 << 20,
    });
    expect(told).toBe(4 << 20);
    const { volume: _, ...plain } = file as SourceVolume;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield volume.bytes;
    }
    const read = plane.store({ ...plain, read: bytes }, { splitter });
    expect((await read.done).objectId).toBe(stored.objectId);
  });
});

/** Chunks that a session stores a moment after it has taken them. */
function sinkOf(session: WriteSession, parallelChunks: number): ChunkSink {
  return {
    parallelChunks,
    async put(bytes) {
      const copy = bytes.slice();
      const stored = new Promise((resolve) => setTimeout(resolve, 1)).then(() =>
        session.writePart(copy),
      );
      return { stored };
    },
  };
}

describe("storeVolume with changed blocks", () => {
  let repository: Repository;
  let baseObjectId: string;
  const before = splitmix64(1, 8 << 20);
  beforeAll(async () => {
    ({ repository } = await newRepository());
    await using session = await repository.openWriteSession();
    baseObjectId = (await storeVolume(session, memoryVolume(before), options)).objectId;
    await session.commit();
  });

  it("reads what has changed, and makes the object of the whole stream", async () => {
    await using session = await repository.openWriteSession();
    const after = before.slice();
    after.set(splitmix64(2, 4096), 3_000_000);
    const volume = memoryVolume(after);
    const stored = await storeVolume(session, volume, {
      ...options,
      changedBlocks: { baseObjectId, ranges: [{ start: 3_000_000, length: 4096 }] },
    });
    expect(stored.objectId).toBe(await wholeIn(session, after));
    expect(volume.readBytes).toBeLessThan(1 << 20);
    expect(stored.keptBytes + volume.readBytes).toBe(after.length);
  });

  it("reads nothing when nothing has changed", async () => {
    await using session = await repository.openWriteSession();
    const volume = memoryVolume(before);
    async function* none(): AsyncGenerator<never> {}
    const changedBlocks = { baseObjectId, ranges: none() };
    const stored = await storeVolume(session, volume, { ...options, changedBlocks });
    expect(stored.objectId).toBe(baseObjectId);
    expect(volume.readBytes).toBe(0);
    expect(session.progress.contentsWritten).toBe(0);
  });

  it("reads again what the repository has marked as deleted", async () => {
    await using session = await repository.openWriteSession();
    const parts = await session.objectParts(baseObjectId);
    const lost = parts[7]!;
    await session.deleteContent(lost.objectId as never);
    const volume = memoryVolume(before);
    const changedBlocks = { baseObjectId, ranges: [] };
    const stored = await storeVolume(session, volume, { ...options, changedBlocks });
    expect(stored.objectId).toBe(baseObjectId);
    expect(volume.readBytes).toBe(lost.length);
    expect((await session.contentInfo(lost.objectId as never))!.deleted).toBe(false);
  });
});

describe("the device of Velero's golden repository", () => {
  let repository: Repository;
  let snapshots: Snapshot[];
  beforeAll(async () => {
    const { golden } = await openGolden("velero-block");
    repository = await openRepository(memoryStore({ blobs: golden.blobs }), {
      password: golden.expected.password,
      deriveKey: memoisedDeriveKey,
    });
    snapshots = await listSnapshots(repository);
  });

  it("gives Velero's objects when it is stored by us, in full and by what has changed", async () => {
    expect(snapshots.length).toBe(2);
    await using session = await repository.openWriteSession();
    let earlier: { bytes: Uint8Array; objectId: string } | undefined;
    for (const { rootEntry } of snapshots) {
      const entry = await findEntry(repository, rootEntry!, rootEntry!.name);
      const bytes = await (await openFile(repository, entry)).read();
      const full = await storeVolume(session, memoryVolume(bytes));
      expect(full.objectId).toBe(entry.objectId);
      if (earlier) {
        const ranges = changesBetween(earlier.bytes, bytes);
        const volume = memoryVolume(bytes);
        const changedBlocks = { baseObjectId: earlier.objectId, ranges };
        const partial = await storeVolume(session, volume, { changedBlocks });
        expect(partial.objectId).toBe(entry.objectId);
        expect(volume.readBytes).toBeLessThan(bytes.length);
      }
      earlier = { bytes, objectId: entry.objectId };
    }
    expect(session.progress.contentsWritten).toBe(0);
  });
});

/** Blocks of 4 KiB that differ. */
function changesBetween(a: Uint8Array, b: Uint8Array): Array<{ start: number; length: number }> {
  const ranges: Array<{ start: number; length: number }> = [];
  for (let start = 0; start < b.length; start += 4096) {
    const end = Math.min(start + 4096, b.length);
    if (Buffer.compare(a.subarray(start, end), b.subarray(start, end)) !== 0)
      ranges.push({ start, length: end - start });
  }
  return ranges;
}
