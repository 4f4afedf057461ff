// Snapshots copied between repositories in memory: with other keys the same trees and data, with the same keys the same roots;
// by what has changed, not by what its time says; going on after a kill; damage of the source listed, and no reason to stop.
import { splitmix64 } from "@dm/fixtures";
import { openRepository, parseContentId, type Repository } from "@dm/repo";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  emptyPolicy,
  findEntry,
  globalPolicyTarget,
  inPlacePlane,
  listPolicies,
  listSnapshots,
  type MigrateEvent,
  type MigrateOptions,
  migrateSnapshots,
  openFile,
  readDirectory,
  readPolicy,
  type Snapshot,
  type SourceEntry,
  setPolicy,
  storedSource,
  uploadSnapshot,
  verifySnapshots,
  walkTree,
} from "../src/index.ts";
import { dyingAtPut } from "./dying-store.ts";
import { entryOf } from "./made-up.ts";
import { directory, file, link } from "./memory-source.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const source = { host: "h", userName: "u", path: "/p" };
const other = { host: "h", userName: "u", path: "/other" };
const bytes = (seed: number, length = 3000): Uint8Array => splitmix64(seed, length);
const startNs = 1_700_000_000_123_456_789n;

const tree = (...more: readonly SourceEntry[]): SourceEntry =>
  directory("root", [
    directory("a", [file("one", bytes(1)), link("to", "one"), directory("empty", [])]),
    file("two", bytes(2), { mode: 0o4755 }),
    file("nothing", ""),
    ...more,
  ]);

async function back(repository: Repository, one: SourceEntry, change: Partial<Snapshot> = {}) {
  const { description, pins, source: whose = source, startedAtNs = startNs, tags } = change;
  const options = { source: whose, startedAtNs, endedAtNs: startedAtNs + 5n, expire: false };
  return uploadSnapshot(repository, one, { ...options, description, pins, tags });
}

/** A repository with the same keys and nothing in it. */
async function sameKeys({ blobs }: MemoryStore): Promise<Repository> {
  const format = [...blobs].filter(([id]) => id.startsWith("kopia."));
  const copy = memoryStore({ blobs: new Map(format) });
  return openRepository(copy, { password: "p", deriveKey });
}

/** Everything in a tree but the ids of its objects. */
async function contentsOf(repository: Repository, snapshot: Snapshot): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const { entry, path } of walkTree(repository, snapshot.rootEntry!)) {
    const { objectId: _, ...rest } = entry;
    const data = entry.type === "d" ? undefined : await (await openFile(repository, entry)).read();
    all.push([path, rest, data && Buffer.from(data).toString("base64")]);
  }
  return all;
}

const run = async (from: Repository, to: Repository, options: MigrateOptions = {}) => {
  const events: MigrateEvent[] = [];
  const report = await migrateSnapshots(from, to, {
    ...options,
    onEvent: (event) => {
      events.push(event);
      options.onEvent?.(event);
    },
  });
  await to.refresh();
  return { report, events, snapshots: await listSnapshots(to) };
};

async function damage(repository: Repository, store: MemoryStore, objectId: string) {
  const info = await repository.contentInfo(parseContentId(objectId));
  const pack = store.blobs.get(info!.packBlobId)!;
  pack[info!.packOffset + 20]! ^= 1;
}

describe("snapshots", () => {
  it("are copied to other keys, with all that belongs to them; then only new ones", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    const tags = { "tag:env": "test" };
    const originals = [
      await back(from, tree(), { description: "first", pins: ["a", "b"], tags }),
      await back(from, tree(file("three", bytes(3))), { startedAtNs: startNs + 10n }),
      await back(from, file("single", bytes(4)), { source: other }),
    ];
    const { report, snapshots } = await run(from, to);
    expect(report).toMatchObject({ snapshotsMigrated: 3, snapshotsKept: 0, entriesFailed: 0 });
    for (const original of originals) {
      const copy = snapshots.find(
        (one) =>
          one.startedAtNs === original.startedAtNs && one.source.path === original.source.path,
      )!;
      const { id: _, rootEntry, stats, ...rest } = original;
      expect(copy).toMatchObject(rest);
      expect(copy.rootEntry!.objectId).not.toBe(rootEntry!.objectId);
      expect(await contentsOf(to, copy)).toEqual(await contentsOf(from, original));
      expect(stats.errorCount).toBe(0);
    }
    expect((await verifySnapshots(to, snapshots)).findings).toEqual([]);
    // The second snapshot was copied on top of the first.
    expect(snapshots.find(({ startedAtNs }) => startedAtNs === startNs + 10n)!.stats).toMatchObject(
      {
        cachedFiles: 4,
        nonCachedFiles: 1,
      },
    );

    expect((await run(from, to)).report).toMatchObject({ snapshotsMigrated: 0, snapshotsKept: 3 });
    await back(from, tree(), { startedAtNs: startNs + 20n });
    const again = await run(from, to);
    expect(again.report).toMatchObject({ snapshotsMigrated: 1, snapshotsKept: 3 });
    expect(again.snapshots).toHaveLength(4);
  });

  it("have the same roots where keys and settings are the same, failures included", async () => {
    const { repository: from, store } = await newRepository();
    const failing = file("bad", bytes(9), { failsAfter: { bytes: 0, error: new Error("no way") } });
    const missing = directory("gone", async () => {
      throw new Error("cannot be listed");
    });
    await back(from, tree(failing, directory("deep", [failing, missing])));
    await back(from, tree(file("big", bytes(5, 5_000_000))), { startedAtNs: startNs + 1n });
    const { report, snapshots } = await run(from, await sameKeys(store));
    const originals = await listSnapshots(from);
    expect(originals[0]!.rootEntry!.summary!.failedCount).toBe(3);
    expect(snapshots.map(({ rootEntry }) => rootEntry)).toEqual(
      originals.map(({ rootEntry }) => rootEntry),
    );
    // They were missing before.
    expect(report.entriesFailed).toBe(0);
  });

  it("a file that has changed without a trace in its metadata is read again", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    for (const number of [1, 2]) {
      await using session = await from.openWriteSession();
      const files = [
        await fileIn(session, "same", bytes(7)),
        await fileIn(session, "f", bytes(number)),
      ];
      const inner = await directoryIn(session, "inner", files);
      const root = await directoryIn(session, "root", [inner, ...files]);
      await snapshotIn(session, root, { startedAtNs: startNs + BigInt(number) });
      await session.commit();
    }
    const originals = await listSnapshots(from);
    const { snapshots } = await run(from, to);
    for (const [index, copy] of snapshots.entries())
      for (const path of ["f", "inner/f"]) {
        const [ours, theirs] = [
          [to, copy],
          [from, originals[index]!],
        ] as const;
        const [a, b] = await Promise.all(
          [ours, theirs].map(async ([repository, { rootEntry }]) =>
            (await openFile(repository, await findEntry(repository, rootEntry!, path))).read(),
          ),
        );
        expect(a).toEqual(b);
      }
    expect(snapshots[1]!.stats).toMatchObject({ cachedFiles: 2, nonCachedFiles: 2 });
  });

  it("only the latest, of some sources; the older ones later", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await back(from, tree());
    await back(from, tree(), { startedAtNs: startNs + 1n });
    await back(from, tree(), { source: other });
    const latest = await run(from, to, { sources: [source], latestOnly: true });
    expect(latest.snapshots.map(({ startedAtNs }) => startedAtNs)).toEqual([startNs + 1n]);
    const rest = await run(from, to, {
      parallel: 2,
      openDataPlane: (session) => inPlacePlane(session),
    });
    expect(rest.report).toMatchObject({ snapshotsMigrated: 2, snapshotsKept: 1 });
    expect(rest.snapshots).toHaveLength(3);
    // What follows is as good as what came before.
    expect(
      rest.snapshots.find((one) => one.startedAtNs === startNs && one.source.path === "/p")!.stats,
    ).toMatchObject({ nonCachedFiles: 0 });
  });

  it("by the ignore rules of the target, on request", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await back(from, tree(file("x.tmp", "x")));
    await using session = await to.openWriteSession();
    await setPolicy(session, source, { ...emptyPolicy, files: { ignore: ["*.tmp"] } });
    await session.commit();
    const { snapshots } = await run(from, to, { applyIgnoreRules: true });
    const { entries } = await readDirectory(to, snapshots[0]!.rootEntry!);
    expect(entries.map(({ name }) => name)).toEqual(["a", "nothing", "two"]);
  });

  it("incomplete ones stay behind", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await uploadSnapshot(from, tree(), { source, uploadLimitBytes: 1 });
    expect((await listSnapshots(from))[0]!.incompleteReason).toBe("limit reached");
    expect((await run(from, to)).snapshots).toEqual([]);
  });
});

describe("a copy that was cut off", () => {
  it("goes on behind the snapshots that are there", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    for (const number of [1n, 2n, 3n]) await back(from, tree(), { startedAtNs: startNs + number });
    const controller = new AbortController();
    const { signal } = controller;
    const onEvent = ({ type }: MigrateEvent): void => {
      if (type === "snapshotMigrated") controller.abort(new Error("enough"));
    };
    await expect(run(from, to, { signal, onEvent })).rejects.toThrow("enough");
    await to.refresh();
    expect(await listSnapshots(to)).toHaveLength(1);
    expect((await run(from, to)).report).toMatchObject({ snapshotsMigrated: 2, snapshotsKept: 1 });
  });

  it("by an abort leaves a checkpoint, from which the next one goes on", async () => {
    const [{ repository, store }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    const files = Array.from({ length: 40 }, (_, index) => file(`f${index}`, bytes(index + 1)));
    const original = await back(repository, directory("root", files));
    const controller = new AbortController();
    const { signal } = controller;
    let gets = 0;
    const counting = {
      ...forward(store),
      get: (...args: Parameters<BlobStore["get"]>) => {
        if (gets++ === 30) controller.abort(new Error("enough"));
        return store.get(...args);
      },
    };
    const from = await openRepository(counting, { password: "p", deriveKey });
    await expect(run(from, to, { signal })).rejects.toThrow("enough");
    await to.refresh();
    expect(await listSnapshots(to)).toMatchObject([
      { incompleteReason: "canceled", tags: { "migrated-root": original.rootEntry!.objectId } },
    ]);
    const { report, snapshots } = await run(from, to);
    expect(report).toMatchObject({ snapshotsMigrated: 1, entriesFailed: 0 });
    expect(snapshots).toHaveLength(1);
    expect(snapshots[0]!.stats.cachedFiles).toBeGreaterThan(3);
    expect(await contentsOf(to, snapshots[0]!)).toEqual(await contentsOf(from, original));
  });

  it("at every put: the next one completes it, and nothing is there twice", async () => {
    const { repository: from } = await newRepository();
    for (const number of [1n, 2n])
      await back(from, tree(file("f", bytes(Number(number)))), { startedAtNs: startNs + number });
    await using session = await from.openWriteSession();
    await setPolicy(session, source, { ...emptyPolicy, files: { ignore: ["x"] } });
    await session.commit();
    let moments = 0;
    for (let moment = 1; moments === 0; moment += 1) {
      const { store } = await newRepository();
      const open = (one: BlobStore) => openRepository(one, { password: "p", deriveKey });
      const { puts, store: dying } = dyingAtPut(store, moment);
      const cutOff = await run(from, await open(dying)).catch((error: unknown) => error);
      if (puts() < moment) moments = moment;
      else expect(cutOff).toMatchObject({ code: "DM_STORAGE_FAILED" });
      const to = await open(store);
      const { snapshots } = await run(from, to);
      expect(snapshots.map(({ startedAtNs }) => startedAtNs - startNs)).toEqual([1n, 2n]);
      expect((await verifySnapshots(to, snapshots)).findings).toEqual([]);
      expect(await listPolicies(to)).toHaveLength(1);
    }
    expect(moments).toBeGreaterThan(5);
  });

  it("takes over what its own checkpoint holds, and from no other", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    const original = await back(from, tree());
    const cutOff = async (root: string, one: SourceEntry): Promise<void> => {
      await uploadSnapshot(to, one, {
        source,
        tags: { "migrated-root": root },
        previous: [],
        uploadLimitBytes: 4000,
        parallel: 1,
        expire: false,
      });
    };
    await cutOff(original.rootEntry!.objectId, storedSource(from, original.rootEntry!));
    // Of another root, with a file of the same name, size and time.
    await cutOff(
      "k00",
      directory("root", [file("two", bytes(8), { mode: 0o4755 }), file("z", bytes(1))]),
    );
    expect((await listSnapshots(to)).map(({ incompleteReason }) => incompleteReason)).toEqual([
      "limit reached",
      "limit reached",
    ]);
    const { snapshots } = await run(from, to);
    const copy = snapshots.find(({ incompleteReason }) => !incompleteReason)!;
    expect(copy.stats.cachedFiles).toBeGreaterThan(0);
    expect(await contentsOf(to, copy)).toEqual(await contentsOf(from, original));
    expect(snapshots.filter(({ incompleteReason }) => incompleteReason)).toMatchObject([
      { tags: { "migrated-root": "k00" } },
    ]);
  });
});

describe("damage of the source", () => {
  it("of files is listed, and in the copy", async () => {
    const [{ repository: from, store }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    const original = await back(from, tree());
    const one = await findEntry(from, original.rootEntry!, "a/one");
    await damage(from, store, one.objectId);
    const { events, report, snapshots } = await run(from, to);
    expect(report).toMatchObject({ snapshotsMigrated: 1, entriesFailed: 1 });
    expect(events.filter(({ type }) => type === "entryFailed")).toMatchObject([
      { failure: { path: "a/one", error: { code: "DM_SOURCE_DAMAGED" } } },
    ]);
    expect(snapshots[0]!.rootEntry!.summary).toMatchObject({
      failedCount: 1,
      failures: [{ path: "a/one", error: expect.stringContaining("DM_CONTENT_ALTERED") }],
    });
    expect((await verifySnapshots(to, snapshots)).findings).toEqual([]);
  });

  it("of directories, and entries of unknown types", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await using session = await from.openWriteSession();
    const lost = entryOf({ name: "lost", type: "d", objectId: `k${"00".repeat(16)}` });
    const odd = { ...(await fileIn(session, "odd", bytes(1))), type: "z" };
    const kept = await fileIn(session, "kept", bytes(2));
    await snapshotIn(session, await directoryIn(session, "root", [lost, odd, kept]));
    await session.commit();
    const { report, snapshots } = await run(from, to);
    expect(report).toMatchObject({ snapshotsMigrated: 1, entriesFailed: 2 });
    expect(snapshots[0]!.rootEntry!.summary).toMatchObject({
      fileCount: 1,
      failures: [{ path: "lost" }, { path: "odd" }],
    });
  });

  it("of roots and manifests costs these snapshots, and no other", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await using session = await from.openWriteSession();
    await snapshotIn(session, entryOf({ name: "r", type: "d", objectId: `k${"00".repeat(16)}` }));
    await snapshotIn(session, entryOf({ name: "f", objectId: "00".repeat(16), sizeBytes: 3 }), {
      source: other,
    });
    const labels = { type: "snapshot", hostname: "h", username: "u", path: "/odd" };
    session.putManifest(labels, { rootEntry: 7 });
    await session.commit();
    await back(from, tree(), { startedAtNs: startNs + 1_000_000_000_000n });
    const { events, report, snapshots } = await run(from, to);
    expect(report).toMatchObject({ snapshotsMigrated: 1, snapshotsFailed: 3 });
    expect(
      events
        .map(({ type }) => type)
        .filter((type) => /Failed|Unreadable/.test(type))
        .sort(),
    ).toEqual(["snapshotFailed", "snapshotFailed", "snapshotUnreadable"]);
    expect(snapshots).toHaveLength(1);
  });
});

describe("policies", () => {
  const withIgnore = (rule: string) => ({ ...emptyPolicy, files: { ignore: [rule] } });

  it("are copied, kept, or overwritten", async () => {
    const [{ repository: from }, { repository: to }] = [
      await newRepository(),
      await newRepository(),
    ];
    await using theirs = await from.openWriteSession();
    await setPolicy(theirs, source, withIgnore("new"));
    await setPolicy(theirs, globalPolicyTarget, withIgnore("global"));
    await setPolicy(theirs, other, withIgnore("other"));
    theirs.putManifest({ type: "policy", policyType: "host", hostname: "odd" }, { files: 7 });
    await theirs.commit();
    await using ours = await to.openWriteSession();
    await setPolicy(ours, source, withIgnore("old"));
    await ours.commit();
    expect((await run(from, to, { policies: false })).report).toMatchObject({
      policiesMigrated: 0,
    });
    const few = await run(from, to, { sources: [other] });
    expect(few.report).toMatchObject({ policiesMigrated: 1, policiesKept: 0 });
    const all = await run(from, to);
    expect(all.report).toMatchObject({ policiesMigrated: 1, policiesKept: 2, policiesFailed: 1 });
    expect(await readPolicy(to, source)).toEqual(withIgnore("old"));
    const forced = await run(from, to, { overwritePolicies: true });
    expect(forced.report).toMatchObject({ policiesMigrated: 1, policiesKept: 2 });
    expect(await readPolicy(to, source)).toEqual(withIgnore("new"));
    expect(await listPolicies(to)).toHaveLength(3);
  });
});
