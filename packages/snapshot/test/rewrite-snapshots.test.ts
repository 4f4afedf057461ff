// Snapshots written again in memory, without files that are damaged or not wanted: what stays keeps its object, what changes
// is what it would be had the files never been there, a dry run stores nothing and says the same, and what is no damage is
// thrown.
import { StorageError } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { openRepository, parseContentId, type Repository } from "@dm/repo";
import { type BlobStore, forward, type MemoryStore, memoryStore, readOnly } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  findEntry,
  listSnapshots,
  openFile,
  type RewriteSnapshotsOptions,
  readDirectory,
  rewriteSnapshots,
  type Snapshot,
  type SourceEntry,
  unreadableFiles,
  uploadSnapshot,
  verifySnapshots,
  withoutFiles,
} from "../src/index.ts";
import { dyingAtPut } from "./dying-store.ts";
import { entryOf } from "./made-up.ts";
import { directory, file, link } from "./memory-source.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

const source = { host: "h", userName: "u", path: "/p" };
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const bytes = (seed: number): Uint8Array => splitmix64(seed, 400 + seed);

/** A tree with files called `names` in two of its directories. */
const tree = (names: readonly string[]): SourceEntry => {
  const some = names.map((name, index) => file(name, bytes(index + 50)));
  return directory("root", [
    directory("a", [file("kept", bytes(1)), link("to", "kept"), directory("deep", some)]),
    directory("b", [file("other", bytes(2))]),
    file("top", bytes(3)),
    ...some,
  ]);
};

async function uploaded(sources: readonly SourceEntry[]) {
  const { repository, store } = await newRepository();
  const snapshots: Snapshot[] = [];
  for (const [index, one] of sources.entries()) {
    const startedAtNs = 1_700_000_000_000_000_000n + BigInt(index);
    snapshots.push(await uploadSnapshot(repository, one, { source, startedAtNs, expire: false }));
  }
  return { repository, snapshots, store };
}

const rootOf = (snapshot: Snapshot): DirectoryEntry => snapshot.rootEntry!;

/** Makes a content of an object unreadable. */
async function damage(repository: Repository, store: MemoryStore, objectId: string) {
  const info = await repository.contentInfo(parseContentId(objectId));
  const pack = store.blobs.get(info!.packBlobId)!;
  pack[info!.packOffset + 20]! ^= 1;
}

/** The same repository with all packs of data gone, caches left behind. */
async function withoutData(store: MemoryStore): Promise<Repository> {
  for (const id of store.blobs.keys()) if (id.startsWith("p")) store.blobs.delete(id);
  return openRepository(store, { password: "p", deriveKey });
}

const idsOf = (store: MemoryStore): string[] => [...store.blobs.keys()].sort();

describe("files left out", () => {
  it("by name: the tree is as if they had never been there", async () => {
    const { repository, snapshots, store } = await uploaded([
      tree([]),
      tree(["x.tmp"]),
      tree(["x.tmp", "y.tmp"]),
    ]);
    const [clean] = snapshots;
    const rewrite = withoutFiles({ names: ["*.tmp"] });
    const before = idsOf(store);
    const paths: string[] = [];
    const onEntry = (path: string): void => void paths.push(path);
    const planned = await rewriteSnapshots(repository, snapshots, { rewrite, onEntry });
    expect(idsOf(store)).toEqual(before);
    expect(paths.sort()).toEqual(
      ["a/deep/x.tmp", "x.tmp", "a/deep/x.tmp", "a/deep/y.tmp", "x.tmp", "y.tmp"].sort(),
    );
    expect(planned.map(({ isChanged }) => isChanged)).toEqual([false, true, true]);

    const rewritten = await rewriteSnapshots(repository, snapshots, { rewrite, commit: true });
    expect(rewritten.map(({ after }) => rootOf(after))).toEqual(
      planned.map(({ after }) => rootOf(after)),
    );
    for (const { after } of rewritten) expect(rootOf(after)).toEqual(rootOf(clean!));
    await repository.refresh();
    const listed = await listSnapshots(repository);
    expect(listed).toEqual(rewritten.map(({ after }) => after));
    const [first, second] = [listed[0]!, listed[1]!];
    expect([first.id === snapshots[0]!.id, second.id === snapshots[1]!.id]).toEqual([true, false]);
    expect((await verifySnapshots(repository, listed)).findings).toEqual([]);
    // Nothing is left to do, and nothing is done.
    const again = await rewriteSnapshots(repository, listed, { rewrite, commit: true });
    expect(again.every(({ isChanged }) => !isChanged)).toBe(true);
    expect(await listSnapshots(repository)).toEqual(listed);
  });

  it("by object, and directories with all that is in them", async () => {
    const { repository, snapshots } = await uploaded([tree(["x"])]);
    const root = rootOf(snapshots[0]!);
    const [a, top] = [
      await findEntry(repository, root, "a"),
      await findEntry(repository, root, "top"),
    ];
    const rewrite = withoutFiles({ objectIds: [a.objectId, top.objectId] });
    const [result] = await rewriteSnapshots(repository, snapshots, { rewrite, commit: true });
    const { entries, summary } = await readDirectory(repository, rootOf(result!.after));
    expect(entries.map(({ name }) => name)).toEqual(["b", "x"]);
    expect(summary).toMatchObject({ fileCount: 2, directoryCount: 2, symlinkCount: 0 });
    const before = await findEntry(repository, root, "b");
    expect(entries[0]).toEqual(before);
  });

  it("a root that would go is refused, or a stub, or stays", async () => {
    const { repository, snapshots } = await uploaded([tree([]), file("single", bytes(1))]);
    const rewrite = withoutFiles({ names: ["root", "single"] });
    const run = (options: Partial<RewriteSnapshotsOptions>) =>
      rewriteSnapshots(repository, snapshots, { rewrite, ...options });
    await expect(run({ invalidDirectories: "fail" })).rejects.toMatchObject({
      code: "DM_SNAPSHOT_ROOT_REMOVED",
    });
    expect((await run({ invalidDirectories: "keep" })).some(({ isChanged }) => isChanged)).toBe(
      false,
    );
    expect((await run({})).map(({ after }) => rootOf(after).name)).toEqual([
      ".INVALID.root",
      ".INVALID.single",
    ]);
  });

  it("of a snapshot with failures: they stay counted, at every level", async () => {
    const failing = file("bad", bytes(9), { failsAfter: { bytes: 0, error: new Error("no") } });
    const { repository, snapshots } = await uploaded([
      directory("root", [directory("d", [failing, file("x.tmp", "x")]), failing]),
    ]);
    const rewrite = withoutFiles({ names: ["*.tmp"] });
    const [result] = await rewriteSnapshots(repository, snapshots, { rewrite, commit: true });
    const summary = {
      failedCount: 2,
      failures: [{ path: "bad" }, { path: "d/bad" }],
      fileCount: 0,
    };
    expect(rootOf(result!.after).summary).toMatchObject(summary);
    const d = await findEntry(repository, rootOf(result!.after), "d");
    expect(d.summary).toMatchObject({ failedCount: 1, failures: [{ path: "d/bad" }] });
  });

  it("keeps members that it does not know", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const kept = {
      ...(await fileIn(session, "k", bytes(1))),
      unknownMembers: [["new", "1"]] as const,
    };
    const root = await directoryIn(session, "r", [kept, await fileIn(session, "x", bytes(2))]);
    const snapshot = await snapshotIn(session, root, { unknownMembers: [["more", "2"]] });
    await session.commit();
    const rewrite = withoutFiles({ names: ["x"] });
    await rewriteSnapshots(repository, [snapshot], { rewrite, commit: true });
    await repository.refresh();
    const [after] = await listSnapshots(repository);
    expect(after!.unknownMembers).toEqual([["more", "2"]]);
    expect((await readDirectory(repository, rootOf(after!))).entries).toEqual([kept]);
  });
});

it("cut off at every put: all are as they were, or all are new, and the next run completes it", async () => {
  const { snapshots, store } = await uploaded([tree(["x"]), tree(["x", "y"]), tree([])]);
  const before = new Map(store.blobs);
  const rewrite = withoutFiles({ names: ["x"] });
  const open = (one: BlobStore) => openRepository(one, { password: "p", deriveKey });
  let moments = 0;
  for (let moment = 1; moments === 0; moment += 1) {
    const left = memoryStore({ blobs: new Map(before) });
    const { puts, store: dying } = dyingAtPut(left, moment);
    const cutOff = await rewriteSnapshots(await open(dying), snapshots, {
      rewrite,
      commit: true,
    }).catch((error: unknown) => error);
    if (puts() < moment) moments = moment;
    else expect(cutOff).toMatchObject({ code: "DM_STORAGE_FAILED" });
    const repository = await open(left);
    const found = await listSnapshots(repository);
    if (puts() >= moment) expect(found).toEqual(snapshots);
    await rewriteSnapshots(repository, found, { rewrite, commit: true });
    await repository.refresh();
    const fixed = await listSnapshots(repository);
    expect(fixed.map(({ rootEntry }) => rootEntry!.summary!.fileCount)).toEqual([3, 5, 3]);
    expect((await verifySnapshots(repository, fixed)).findings).toEqual([]);
  }
  expect(moments).toBeGreaterThan(2);
});

describe("what cannot be read", () => {
  const run = async (
    repository: Repository,
    snapshots: readonly Snapshot[],
    options: Partial<RewriteSnapshotsOptions> & { readonly readFiles?: number } = {},
  ) => {
    const { readFiles, ...rest } = options;
    const rewrite = await unreadableFiles(repository, { readFiles });
    return rewriteSnapshots(repository, snapshots, { rewrite, commit: true, ...rest });
  };

  it("nothing: every snapshot stays as it is", async () => {
    const { repository, snapshots } = await uploaded([tree(["x"]), tree([])]);
    const results = await run(repository, snapshots, { readFiles: 1 });
    expect(results.every(({ after, before }) => after === before)).toBe(true);
  });

  it("a damaged file becomes a stub that says what was there, once it is read", async () => {
    const { repository, snapshots, store } = await uploaded([tree([])]);
    const other = await findEntry(repository, rootOf(snapshots[0]!), "b/other");
    await damage(repository, store, other.objectId);
    expect((await run(repository, snapshots))[0]!.isChanged).toBe(false);
    const errors: [string, string | undefined][] = [];
    const onEntry: RewriteSnapshotsOptions["onEntry"] = (path, error) =>
      void errors.push([path, error?.code]);
    const [result] = await run(repository, snapshots, { readFiles: 1, onEntry });
    expect(errors).toEqual([["b/other", "DM_CONTENT_ALTERED"]]);
    const root = rootOf(result!.after);
    const stub = await findEntry(repository, root, "b/.INVALID.other");
    const { gid, mode, modifiedAtNs, uid } = other;
    expect(stub).toMatchObject({ type: "f", gid, mode, modifiedAtNs, uid });
    const text = new TextDecoder().decode(await (await openFile(repository, stub)).read());
    expect(JSON.parse(text)).toMatchObject({
      error: expect.stringContaining("DM_CONTENT_ALTERED"),
      entry: { name: "other", obj: other.objectId },
    });
    expect(text.length).toBe(stub.sizeBytes);
    for (const path of ["a", "top"])
      expect(await findEntry(repository, root, path)).toEqual(
        await findEntry(repository, rootOf(snapshots[0]!), path),
      );
    const listed = await listSnapshots(repository);
    expect((await verifySnapshots(repository, listed)).findings).toEqual([]);
  });

  it("all files of packs that are gone: removed, kept, or the end of it", async () => {
    const { snapshots, store } = await uploaded([tree(["x"])]);
    const repository = await withoutData(store);
    const before = idsOf(store);
    await expect(run(repository, snapshots, { invalidFiles: "fail" })).rejects.toMatchObject({
      code: "DM_PACK_NOT_FOUND",
    });
    let kept = 0;
    const keep = { invalidFiles: "keep", onEntry: () => (kept += 1) } as const;
    expect((await run(repository, snapshots, keep))[0]!.isChanged).toBe(false);
    // Two files called x, kept, to, other, top.
    expect(kept).toBe(6);
    expect(idsOf(store)).toEqual(before);
    const [result] = await run(repository, snapshots, { invalidFiles: "remove", parallel: 1 });
    const { summary } = rootOf(result!.after);
    expect(summary).toMatchObject({ fileCount: 0, symlinkCount: 0, directoryCount: 4 });
  });

  it("directories: a stub in the place of each, or they stay, or the end of it", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const lost = entryOf({
      name: "lost",
      type: "d",
      mode: 0o1755,
      objectId: `k${"00".repeat(16)}`,
    });
    const taken = await fileIn(session, ".INVALID.lost", bytes(1));
    const root = await directoryIn(session, "root", [lost, taken]);
    const snapshot = await snapshotIn(session, root);
    await session.commit();
    await expect(run(repository, [snapshot], { invalidDirectories: "fail" })).rejects.toMatchObject(
      {
        code: "DM_CONTENT_NOT_FOUND",
      },
    );
    const keep = await run(repository, [snapshot], { invalidDirectories: "keep" });
    expect(keep[0]!.isChanged).toBe(false);
    const [result] = await run(repository, [snapshot]);
    const { entries } = await readDirectory(repository, rootOf(result!.after));
    expect(entries).toMatchObject([
      { name: ".INVALID..INVALID.lost", type: "f", mode: 0o755 },
      taken,
    ]);
  });

  it("a root, which becomes a file; a snapshot without one stays", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const root = entryOf({ name: "r", type: "d", objectId: `k${"00".repeat(16)}` });
    const snapshots = [await snapshotIn(session, root), await snapshotIn(session, undefined)];
    await session.commit();
    const results = await run(repository, snapshots);
    expect(results.map(({ isChanged }) => isChanged)).toEqual([true, false]);
    expect(rootOf(results[0]!.after)).toMatchObject({ name: ".INVALID.r", type: "f" });
  });

  it("storage that fails is thrown, also with keep, and changes nothing", async () => {
    const { snapshots, store } = await uploaded([tree([])]);
    const failing = { ...forward(store), get: store.get.bind(store) };
    const repository = await openRepository(failing, { password: "p", deriveKey });
    const rewrite = await unreadableFiles(repository, { readFiles: 1 });
    failing.get = async () => {
      throw new StorageError("DM_STORAGE_FAILED", "the cable is out");
    };
    const options = { rewrite, invalidFiles: "keep", invalidDirectories: "keep" } as const;
    await expect(rewriteSnapshots(repository, snapshots, options)).rejects.toThrow("the cable");
  });

  it("is found without a right to write, and through a large directory", async () => {
    const names = Array.from({ length: 3000 }, (_, index) => `file-${index}.tmp`);
    const many = directory(
      "root",
      names.map((name) => file(name, "same")),
    );
    const { snapshots, store } = await uploaded([many]);
    const copy = readOnly(memoryStore({ blobs: store.blobs }));
    const repository = await openRepository(copy, { password: "p", deriveKey });
    const rewrite = withoutFiles({ names: ["*[1-9].tmp"] });
    const [planned] = await rewriteSnapshots(repository, snapshots, { rewrite });
    const writable = await openRepository(store, { password: "p", deriveKey });
    const [done] = await rewriteSnapshots(writable, snapshots, { rewrite, commit: true });
    expect(rootOf(done!.after)).toEqual(rootOf(planned!.after));
    expect(rootOf(done!.after).summary!.fileCount).toBe(300);
  });
});
