// Garbage collection keeps all that any snapshot refers to, complete or not, through every kind of object; the rest goes
// when it is old enough; beside writers at every moment of their work nothing is lost; and what is damaged stops it.
import { type ManualClock, manualClock } from "@dm/core";
import {
  createRepository,
  openRepository,
  parseContentId,
  parseObjectId,
  type Repository,
  runMaintenance,
  verifyRepository,
  type WriteSession,
} from "@dm/repo";
import { forward, type MemoryStore, memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  collectGarbage,
  deleteSnapshots,
  forecastSpace,
  listSnapshots,
  liveContents,
  verifySnapshots,
} from "../src/index.ts";
import { directoryIn, fileIn, snapshotIn } from "./new-repository.ts";

const hourMs = 3_600_000;
const startNs = 1_700_000_000_000_000_000n;
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);

interface Place {
  readonly store: MemoryStore;
  readonly clock: ManualClock;
  readonly repository: Repository;
  open(store?: MemoryStore): Promise<Repository>;
}

async function newPlace(version: 1 | 2 | 3 = 3): Promise<Place> {
  const clock = manualClock(startNs);
  const store = memoryStore({ clock });
  const common = { password: "p", deriveKey, clock, username: "u", hostname: "h" };
  await createRepository(store, {
    ...common,
    format: { version, splitter: "FIXED-128K" },
  });
  const open = (other = store): Promise<Repository> => openRepository(other, common);
  return { store, clock, repository: await open(), open };
}

const pseudoRandom = (length: number, seed: number): Uint8Array => {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
};

/** A tree with a directory that occurs twice, a file of several contents, a link and an empty file. */
async function treeIn(session: WriteSession, seed: number) {
  const shared = await directoryIn(session, "shared", [
    await fileIn(session, "same", pseudoRandom(500, 77)),
  ]);
  const inner = await directoryIn(session, "inner", [
    await fileIn(session, "small", pseudoRandom(1000, seed)),
    await fileIn(session, "large", pseudoRandom(900_000, seed + 1000)),
    { ...(await fileIn(session, "link", pseudoRandom(20, seed + 2000))), type: "s" },
    await fileIn(session, "empty", new Uint8Array()),
    shared,
  ]);
  return directoryIn(session, "", [inner, shared]);
}

async function snapshotOf(place: Place, seed: number, change = {}) {
  await using session = await place.repository.openWriteSession();
  const snapshot = await snapshotIn(session, await treeIn(session, seed), change);
  await session.commit();
  return snapshot;
}

async function remove(place: Place, ...ids: string[]): Promise<void> {
  await using session = await place.repository.openWriteSession();
  await deleteSnapshots(
    session,
    ids.map((id) => ({ id })),
  );
  await session.commit();
}

async function expectSound(place: Place, count: number): Promise<void> {
  const reader = await place.open();
  const snapshots = await listSnapshots(reader);
  expect(snapshots).toHaveLength(count);
  const report = await verifySnapshots(reader, snapshots, { readFiles: 1 });
  expect(report.findings).toEqual([]);
  expect((await verifyRepository(reader)).findings).toEqual([]);
}

async function packsOf({ store }: Place): Promise<number> {
  return [...store.blobs.keys()].filter((id) => /^[pq]/.test(id)).length;
}

const bytesOf = ({ store }: Place): number =>
  [...store.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);

describe("a collection", () => {
  it("marks what no snapshot refers to, after a day; an incomplete snapshot counts", async () => {
    const place = await newPlace();
    const { clock, repository } = place;
    const gone = await snapshotOf(place, 1);
    await snapshotOf(place, 2, { incompleteReason: "checkpoint" });
    await remove(place, gone.id);
    clock.advance(23 * hourMs);
    const early = await collectGarbage(repository);
    expect(early).toMatchObject({ unreferencedContentCount: 0, deletedContentCount: 0 });
    expect(early.unreferencedRecentContentCount).toBeGreaterThan(0);
    clock.advance(hourMs + 1000);
    const dry = await collectGarbage(repository, { dryRun: true });
    expect(dry).toMatchObject({
      unreferencedContentCount: early.unreferencedRecentContentCount,
      deletedContentCount: 0,
    });
    const figures = await collectGarbage(repository);
    expect(figures).toEqual({
      ...dry,
      deletedContentCount: dry.unreferencedContentCount,
      deletedContentSize: dry.unreferencedContentSize,
    });
    // small, 7 pieces of large and their index, the link, and two directories; not the shared one and its file.
    expect(figures.deletedContentCount).toBe(12);
    await expectSound(place, 1);
  });

  it("marks exactly the contents of the objects of the walk, those of indexes included", async () => {
    const place = await newPlace();
    const { repository } = place;
    await snapshotOf(place, 1);
    const snapshots = await listSnapshots(repository);
    let directoriesRead = 0;
    const live = await liveContents(repository, snapshots, {
      onProgress: (progress) => {
        directoriesRead = progress.directoriesRead;
      },
    });
    // The shared directory is in the tree twice, and is read once.
    expect(directoriesRead).toBe(3);
    let count = 0;
    for await (const { contentId } of repository.listContents()) {
      if (contentId.startsWith("m")) continue;
      expect(live.has(contentId)).toBe(true);
      count += 1;
    }
    expect(live.count).toBe(count);
  });

  it("revives what is marked as deleted and wanted", async () => {
    const place = await newPlace();
    const { clock, repository } = place;
    await snapshotOf(place, 1);
    await using session = await repository.openWriteSession();
    let count = 0;
    for await (const { contentId } of repository.listContents()) {
      if (contentId.startsWith("m")) continue;
      await session.deleteContent(contentId);
      count += 1;
    }
    await session.commit();
    clock.advance(hourMs);
    expect(await collectGarbage(repository)).toMatchObject({
      recoveredContentCount: count,
      inUseContentCount: count,
      unreferencedContentCount: 0,
    });
    for await (const { deleted } of repository.listContents({ includeDeleted: true }))
      expect(deleted).toBe(false);
    await expectSound(place, 1);
  });

  it("stops at a snapshot that misses something, names the place, and changes nothing", async () => {
    const place = await newPlace();
    const { clock, repository } = place;
    const gone = await snapshotOf(place, 5);
    await remove(place, gone.id);
    await using session = await repository.openWriteSession();
    const lost = await fileIn(session, "lost", pseudoRandom(10, 3));
    const nobody = `${"0".repeat(parseObjectId(lost.objectId).contentId!.length)}`;
    const bad = await directoryIn(session, "bad", [{ ...lost, objectId: nobody }]);
    const { id } = await snapshotIn(session, await directoryIn(session, "", [bad]));
    await session.commit();
    clock.advance(48 * hourMs);
    const contents = async (): Promise<unknown[]> => {
      const list: unknown[] = [];
      for await (const entry of repository.listContents({ includeDeleted: true })) list.push(entry);
      return list;
    };
    const before = await contents();
    await expect(collectGarbage(repository)).rejects.toMatchObject({
      name: "IntegrityError",
      code: "DM_SNAPSHOT_DAMAGED",
      details: { snapshotId: id, path: "bad/lost" },
    });
    expect(await contents()).toEqual(before);
    // Nothing of it is dropped by maintenance either.
    await expect(
      runMaintenance(repository, { mode: "full", safety: "none", collectGarbage }),
    ).rejects.toMatchObject({ code: "DM_SNAPSHOT_DAMAGED" });
    expect(await contents()).toEqual(before);
  });

  it("leaves a content alone that somebody wrote again while it ran", async () => {
    const place = await newPlace();
    const { clock, repository, store } = place;
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(pseudoRandom(100, 1));
    await session.deleteContent(id);
    await session.commit();
    await snapshotOf(place, 2);
    clock.advance(48 * hourMs);
    const other = await place.open();
    // Another client writes the deleted content again while the collection walks the tree.
    let isDone = false;
    const slow = await place.open({
      ...forward(store),
      async get(blobId: string, ...rest: never[]) {
        if (!isDone && blobId.startsWith("q")) {
          isDone = true;
          await using writer = await other.openWriteSession();
          await writer.writeContent(pseudoRandom(100, 1));
          await writer.commit();
          await slow.refresh();
        }
        return (store.get as never as (...all: unknown[]) => unknown)(blobId, ...rest);
      },
    } as never);
    await collectGarbage(slow);
    await other.refresh();
    expect(isDone).toBe(true);
    expect((await other.contentInfo(parseContentId(id)))?.deleted).toBe(false);
  });
});

describe.each([1, 3] as const)("full maintenance of format %i", (version) => {
  it("gives the space of deleted snapshots back, and the others verify", async () => {
    const place = await newPlace(version);
    const { clock, repository } = place;
    await snapshotOf(place, 1);
    const small = bytesOf(place);
    const doomed: string[] = [];
    for (let seed = 2; seed < 8; seed += 1) doomed.push((await snapshotOf(place, seed)).id);
    const large = bytesOf(place);
    await remove(place, ...doomed);
    for (let round = 0; round < 2; round += 1) {
      clock.advance(5000);
      await runMaintenance(repository, { mode: "full", safety: "none", collectGarbage });
    }
    expect(large).toBeGreaterThan(4 * small);
    expect(await packsOf(place)).toBeLessThan(6);
    // Without epochs, replaced indexes stay for an hour.
    expect(bytesOf(place)).toBeLessThan(1.2 * small + 100_000);
    await expectSound(place, 1);
  });

  it("foretells when, by safe rules, and so it comes", async () => {
    const place = await newPlace(version);
    const { clock, repository } = place;
    const doomed = await snapshotOf(place, 1);
    await snapshotOf(place, 2);
    await remove(place, doomed.id);
    clock.advance(25 * hourMs);
    const space = await forecastSpace(repository);
    expect(space.collection.unreferencedContentCount).toBe(12);
    expect(space.marked).toEqual({ count: 0, bytes: 0 });
    const { garbagePacks, inSharedPacks, inShortPacks } = space;
    expect(garbagePacks.bytes + inShortPacks.bytes + inSharedPacks.bytes).toBe(
      space.collection.unreferencedContentSize,
    );
    const before = bytesOf(place);
    let backAtNs: bigint | undefined;
    for (let day = 0; day < 9; day += 1) {
      const atNs = clock.nowNs();
      await runMaintenance(repository, { mode: "full", collectGarbage });
      await expectSound(place, 1);
      if (bytesOf(place) < before - space.collection.unreferencedContentSize / 2) backAtNs ??= atNs;
      clock.advance(24 * hourMs);
    }
    expect(backAtNs).toBeDefined();
    const { packsDeletedAtNs, shortPacksDeletedAtNs } = space.forecast;
    expect(backAtNs! >= packsDeletedAtNs!).toBe(true);
    expect(backAtNs! <= shortPacksDeletedAtNs!).toBe(true);
  });
});

describe("maintenance beside a writer", () => {
  /**
   * The writer stores a tree that shares everything with a deleted snapshot, and stops at one call of its store, for hours;
   * meanwhile maintenance runs. Then it goes on: nothing that its snapshot refers to may be lost, now or later.
   */
  async function interleave(stopAt: number, sleepHours: number): Promise<boolean> {
    const place = await newPlace();
    const { clock, repository, store } = place;
    const old = await snapshotOf(place, 1);
    await remove(place, old.id);
    clock.advance(30 * hourMs);
    await runMaintenance(repository, { mode: "full", collectGarbage });
    clock.advance(23 * hourMs);
    let calls = Number.NEGATIVE_INFINITY;
    const reached = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const pause = async (): Promise<void> => {
      calls += 1;
      if (calls !== stopAt) return;
      reached.resolve();
      await goOn.promise;
    };
    const stopping = {
      ...forward(store),
      async put(...all: never[]) {
        await pause();
        return (store.put as never as (...a: unknown[]) => unknown)(...all);
      },
      async get(...all: never[]) {
        await pause();
        return (store.get as never as (...a: unknown[]) => unknown)(...all);
      },
    };
    const client = await place.open(stopping as never);
    calls = 0;
    const work = (async () => {
      await using session = await client.openWriteSession();
      await snapshotIn(session, await treeIn(session, 1));
      await session.commit();
    })();
    const isStopped = await Promise.race([
      reached.promise.then(() => true),
      work.then(() => false),
    ]);
    if (isStopped) {
      for (let hour = 0; hour < sleepHours; hour += 6) {
        clock.advance(6 * hourMs);
        await runMaintenance(await place.open(), { mode: "full", collectGarbage });
      }
      goOn.resolve();
    }
    // What was too slow, the client does again after a pause.
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await done;
    for (let day = 0; day < 4; day += 1) {
      clock.advance(24 * hourMs);
      await runMaintenance(await place.open(), { mode: "full", collectGarbage });
      await expectSound(place, 1);
    }
    return isStopped;
  }

  // A client whose index is older than 24 hours refuses to go on by itself; that long no session may sleep.
  it.each([6, 18])(
    "that stops for %i hours at any call of its store, nothing is lost",
    { timeout: 60_000 },
    async (hours) => {
      let stops = 0;
      for (let stopAt = 1; stopAt < 60; stopAt += 1) {
        if (!(await interleave(stopAt, hours))) break;
        stops += 1;
      }
      expect(stops).toBeGreaterThan(2);
      console.log(`writer stopped at ${stops} calls for ${hours} hours each`);
    },
  );
});
