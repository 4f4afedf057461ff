// Copies of repositories in memory: equal to their source to the byte, also after a crash at any call of the target's store,
// and until then a repository, older or newer, whose index names no pack that is missing, or none at all. The source is
// written to, maintained and cleaned up meanwhile.
import { manualClock } from "@dm/core";
import { sha256Hex } from "@dm/fixtures";
import { forward, type MemoryStore, memoryStore } from "@dm/storage";
import { afterAll, describe, expect, it } from "vitest";
import {
  changePassword,
  type OpenRepositoryOptions,
  openRepository,
  type Repository,
  runMaintenance,
  type SyncOptions,
  syncRepository,
  verifyRepository,
} from "../src/index.ts";
import { quickKey } from "./format-helpers.ts";
import { bytesOf, newRepository, password, startNs } from "./new-repository.ts";
import { type Blobs, blobsOf, crashRecorder, restored } from "./robustness/crash-states.ts";
import { isFull, randomFor, seed } from "./robustness/seeded.ts";

const dayMs = 86_400_000;
/** One of how many states is proven, unless all are. */
const sampleOf = 10;
const totals = { points: 0, states: 0 };

afterAll(() => {
  console.log(
    `sync: kill points ${totals.points}, distinct states proven: ${totals.states} (DM_SEED=${seed})`,
  );
});

/** Contents, and a manifest that names them and all that were written before. */
async function write(repository: Repository, count: number, number: number): Promise<void> {
  await using session = await repository.openWriteSession();
  const old = await session.findManifests({ type: "names" });
  const ids: string[] = JSON.parse(old.at(-1)?.data ?? "[]");
  for (let index = 0; index < count; index += 1)
    ids.push(await session.writeContent(bytesOf(300 + index, number * 100 + index + 1)));
  session.putManifest({ type: "names" }, ids);
  await session.commit();
}

const openCopy = (store: MemoryStore, options: Partial<OpenRepositoryOptions> = {}) =>
  openRepository(store, {
    password,
    deriveKey: quickKey,
    clock: manualClock(startNs),
    readOnly: true,
    ...options,
  });

/** Every pack that the index names is there, and everything that manifests name: these, all by default. */
async function expectConsistent(store: MemoryStore, manifests?: ReadonlySet<string>) {
  const copy = await openCopy(store);
  expect((await verifyRepository(copy)).findings).toEqual([]);
  let count = 0;
  for (const { data, id } of await copy.findManifests({ type: "names" })) {
    if (manifests && !manifests.has(id)) continue;
    count += 1;
    for (const content of JSON.parse(data))
      expect(await copy.contentInfo(content)).toMatchObject({ deleted: false });
  }
  expect(count).toBeGreaterThanOrEqual(manifests?.size ?? 1);
}

const manifestsIn = async (store: MemoryStore): Promise<string[]> =>
  (await (await openCopy(store)).findManifests({ type: "names" })).map(({ id }) => id);

const bytesIn = (blobs: Blobs): Record<string, string> =>
  Object.fromEntries([...blobs].map(([id, { data }]) => [id, sha256Hex(data)]).sort());

async function expectEqual(store: MemoryStore, source: MemoryStore): Promise<void> {
  expect(bytesIn(await blobsOf(store))).toEqual(bytesIn(await blobsOf(source)));
}

const quickEpochs = {
  epochRefreshFrequencyMs: 60_000,
  minEpochDurationMs: 600_000,
  cleanupSafetyMarginMs: 180_000,
  fullCheckpointFrequency: 2,
  epochAdvanceOnCountThreshold: 10,
};

/** A source, a copy of what it was, and what has happened since: packs rewritten, index blobs merged, old ones removed. */
async function agedSource(version: 1 | 3) {
  const source = await newRepository({
    version,
    ...(version === 3 && { epochParameters: quickEpochs }),
  });
  const { clock, repository, store } = source;
  const live = async (rounds: number): Promise<void> => {
    for (let round = 1; round <= rounds; round += 1) {
      for (let session = 1; session <= (version === 3 ? 10 : 5); session += 1) {
        await write(repository, 2, store.blobs.size * 10 + session);
        clock.advance(180_000);
      }
      clock.advance(dayMs);
      await runMaintenance(repository, { mode: "full", safety: "none" });
    }
    await write(repository, 2, 9_000 + rounds);
  };
  await live(2);
  const older = await blobsOf(store);
  await live(4);
  const newer = await blobsOf(store);
  const gone = [...older.keys()].filter((id) => !newer.has(id));
  // Otherwise there is nothing to delete, and the order of deletions is not tested.
  expect(gone.some((id) => /^[nx]/.test(id)) && gone.some((id) => /^[pq]/.test(id))).toBe(true);
  if (version === 3) expect([...newer.keys()].some((id) => /^x[sr]/.test(id))).toBe(true);
  return { ...source, older };
}

describe.each([1, 3] as const)("format %s: killed at every call", (version) => {
  it.each([
    ["a new copy", "new", {}],
    ["an older copy", "older", { delete: true, times: true }],
    ["an older copy, nothing deleted", "older", {}],
  ] as const)("%s", { timeout: 300_000 }, async (title, from, options) => {
    const { clock, older, store } = await agedSource(version);
    const random = randomFor(`${version} ${title}`);
    const initial: Blobs = from === "new" ? new Map() : older;
    const recorder = crashRecorder(initial, { clock, random, everyCombination: isFull });
    await syncRepository(store, recorder.store, options);
    totals.points += recorder.points;
    const before = new Set(await manifestsIn(restored(older, clock)));
    let repositories = 0;
    for (const [number, { at, blobs }] of recorder.states.entries()) {
      const isLast = number === recorder.states.length - 1;
      if (!isFull && !isLast && random.integer(sampleOf) > 0) continue;
      totals.states += 1;
      const left = restored(blobs, clock);
      try {
        if (blobs.has("kopia.repository")) {
          repositories += 1;
          await expectConsistent(left, from === "new" ? undefined : before);
        }
        await syncRepository(store, left, options);
        if (from === "new" || "delete" in options) await expectEqual(left, store);
        await expectConsistent(left);
      } catch (cause) {
        throw new Error(`died ${at} (DM_SEED=${seed})`, { cause });
      }
    }
    expect(repositories).toBeGreaterThan(0);
  });
});

describe("a copy", () => {
  it("is made, and then only what is new", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 5, 1);
    const target = memoryStore({ clock });
    const planned = await syncRepository(store, target, { dryRun: true });
    expect(target.blobs.size).toBe(0);
    const seen: number[] = [];
    const first = await syncRepository(store, target, {
      onProgress: ({ blobsCopied, totalBlobs }) => seen.push(blobsCopied / totalBlobs),
    });
    expect(first).toEqual(planned);
    expect(first.copied.blobs).toBe(store.blobs.size);
    expect(seen.at(-1)).toBe(1);
    await expectEqual(target, store);
    await write(repository, 5, 2);
    const second = await syncRepository(store, target);
    // A pack of data, one of manifests, an index.
    expect(second).toMatchObject({ copied: { blobs: 3 }, inSync: { blobs: first.copied.blobs } });
    await expectEqual(target, store);
  });

  it("stays whole where packs or index blobs of the source are cut short", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 2, 1);
    const target = memoryStore({ clock });
    await syncRepository(store, target, { times: true });
    const [pack] = [...store.blobs.keys()].filter((id) => id.startsWith("p"));
    const [index] = [...store.blobs.keys()].filter((id) => id.startsWith("xn"));
    for (const id of [pack!, index!]) store.blobs.set(id, store.blobs.get(id)!.subarray(0, 100));
    expect((await syncRepository(store, target, { times: true })).copied.blobs).toBe(0);
    await expectConsistent(target);
  });

  it("updates what is newer or cut short, unless told not to", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 2, 1);
    const target = memoryStore({ clock });
    await syncRepository(store, target);
    clock.advance(dayMs);
    await changePassword(store, repository.openedFormat, {
      newPassword: "new",
      clock,
      deriveKey: quickKey,
    });
    const pack = [...store.blobs.keys()].find((id) => id.startsWith("p"))!;
    await target.put(pack, target.blobs.get(pack)!.subarray(1));
    expect((await syncRepository(store, target, { update: false })).copied.blobs).toBe(0);
    await openCopy(restored(await blobsOf(target), clock));
    expect((await syncRepository(store, target)).copied.blobs).toBe(3);
    await expectEqual(target, store);
    await expect(openCopy(target)).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
    await openCopy(target, { password: "new" });
  });

  it("has the times of the originals on request", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 2, 1);
    clock.advance(dayMs);
    const target = memoryStore({ clock });
    await syncRepository(store, target, { times: true });
    // As `utimes` does it, which takes times in seconds with a fraction.
    const rounded = restored(await blobsOf(target), clock);
    for (const [id, { timestampNs }] of await blobsOf(target))
      rounded.setTimestamp(id, timestampNs - 999n);
    expect((await syncRepository(store, rounded)).copied.blobs).toBe(0);
    for await (const { id, timestampNs } of target.list(""))
      expect(timestampNs).toBe((await store.stat(id)).timestampNs);
  });

  it("stops at an abort, and goes on", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 2, 1);
    const target = memoryStore({ clock });
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error("enough"));
    const { signal } = controller;
    await expect(syncRepository(store, target, { onProgress, signal })).rejects.toThrow("enough");
    expect(target.blobs.has("kopia.repository")).toBe(false);
    await syncRepository(store, target);
    await expectEqual(target, store);
  });
});

describe("refused is", () => {
  const refused = async (
    source: MemoryStore,
    target: MemoryStore,
    code: string,
    options: SyncOptions = {},
  ): Promise<void> => {
    const before = bytesIn(await blobsOf(target));
    await expect(syncRepository(source, target, options)).rejects.toMatchObject({ code });
    expect(bytesIn(await blobsOf(target))).toEqual(before);
  };

  it("another repository, also with delete", async () => {
    const [{ store: ours }, { store: theirs }] = [await newRepository(), await newRepository()];
    await refused(ours, theirs, "DM_SYNC_OTHER_REPOSITORY");
    await refused(ours, theirs, "DM_SYNC_OTHER_REPOSITORY", { delete: true });
  });

  it("a target without a format and with foreign index blobs, unless told to delete", async () => {
    const [{ repository, store }, other] = [await newRepository(), await newRepository()];
    await write(repository, 1, 1);
    await write(other.repository, 1, 2);
    other.store.blobs.delete("kopia.repository");
    await refused(store, other.store, "DM_SYNC_OTHER_REPOSITORY");
    await syncRepository(store, other.store, { delete: true });
    await expectEqual(other.store, store);
  });

  it("a target that must be there and is not; a source that is none; a format that is none", async () => {
    const { store } = await newRepository();
    await refused(store, memoryStore(), "DM_SYNC_TARGET_MISSING", { mustExist: true });
    await refused(memoryStore(), memoryStore(), "DM_REPOSITORY_NOT_FOUND");
    const damaged = memoryStore({ blobs: new Map([["kopia.repository", new Uint8Array(9)]]) });
    await refused(store, damaged, "DM_FORMAT_BLOB_INVALID");
  });
});

describe("a source that is used meanwhile", () => {
  it("is copied with or without what a writer adds", { timeout: 60_000 }, async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 3, 1);
    // A writer commits between any two calls of the copy.
    for (let moment = 0; ; moment += 1) {
      const source = restored(await blobsOf(store), clock);
      const writer = await openRepository(source, { password, deriveKey: quickKey, clock });
      let calls = 0;
      const writeNow = async (): Promise<void> => {
        if (calls++ === moment) await write(writer, 2, 50);
      };
      const used = {
        ...forward(source),
        async *list(prefix: string) {
          await writeNow();
          yield* source.list(prefix);
        },
        get: async (id: string) => {
          await writeNow();
          return source.get(id);
        },
      };
      const target = memoryStore({ clock });
      await syncRepository(used, target, { parallel: 1 });
      await expectConsistent(target);
      if (calls <= moment) break;
    }
  });

  it("begins again when a pack vanishes before it is copied", async () => {
    const { clock, repository, store } = await newRepository();
    await write(repository, 3, 1);
    for (let day = 1; day <= 3; day += 1) {
      clock.advance(dayMs);
      await write(repository, 3, day + 1);
    }
    const [first] = [...store.blobs.keys()].filter((id) => id.startsWith("p"));
    let maintained = false;
    const used = {
      ...forward(store),
      get: async (id: string) => {
        if (id === first && !maintained) {
          maintained = true;
          for (let day = 1; day <= 4; day += 1) {
            clock.advance(dayMs);
            await runMaintenance(repository, { mode: "full" });
          }
          expect(store.blobs.has(id)).toBe(false);
        }
        return store.get(id);
      },
    };
    const target = memoryStore({ clock });
    await syncRepository(used, target, { parallel: 1, delete: true });
    expect(maintained).toBe(true);
    await expectEqual(target, store);
  });

  it("gives up when that does not end", async () => {
    const { repository, store } = await newRepository();
    await write(repository, 3, 1);
    const used = {
      ...forward(store),
      async *list(prefix: string) {
        yield* store.list(prefix);
        if (prefix === "") yield { id: "p00", length: 1, timestampNs: startNs };
      },
    };
    const target = memoryStore();
    await expect(syncRepository(used, target)).rejects.toMatchObject({
      code: "DM_SYNC_SOURCE_CHANGED",
    });
    expect([...target.blobs.keys()].filter((id) => !/^[pq]/.test(id))).toEqual([]);
  });
});
