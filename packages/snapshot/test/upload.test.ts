// Uploads of trees in memory: every kind of entry and failure, taking over from previous snapshots, cut-offs, checkpoints and
// what goes on from them. Asserted is what the repository holds afterwards.
import { type Clock, equalBytes } from "@dm/core";
import { generate } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  encodeDirectory,
  listSnapshots,
  openFile,
  readDirectory,
  readLink,
  type Snapshot,
  type SourceEntry,
  streamSource,
  summarizeDirectory,
  type UploadFailure,
  type UploadProgress,
  type UploadSnapshotOptions,
  uploadSnapshot,
  verifySnapshot,
  walkTree,
} from "../src/index.ts";
import { setPolicy } from "../src/policy/policies.ts";
import { emptyPolicy, type Policy } from "../src/policy/policy.ts";
import { directory, file, link } from "./memory-source.ts";
import { newRepository } from "./new-repository.ts";

const source = { host: "h", userName: "u", path: "/root" };
const data = (len: number, seed = 1): Uint8Array => generate({ kind: "splitmix64", seed, len });
const error = (code: string, message = code): Error => Object.assign(new Error(message), { code });

let repository: Repository;
beforeEach(async () => {
  ({ repository } = await newRepository());
});

const upload = (
  root: SourceEntry,
  options: Partial<UploadSnapshotOptions> = {},
): Promise<Snapshot> => uploadSnapshot(repository, root, { source, ...options });

/** Entries by path, the root left out. */
async function entriesOf(snapshot: Snapshot): Promise<Map<string, DirectoryEntry>> {
  const entries = new Map<string, DirectoryEntry>();
  for await (const { entry, path } of walkTree(repository, snapshot.rootEntry!))
    if (path !== "") entries.set(path, entry);
  return entries;
}

const pathsOf = async (snapshot: Snapshot): Promise<string[]> =>
  [...(await entriesOf(snapshot)).keys()].sort();

async function expectBytes(entry: DirectoryEntry | undefined, bytes: Uint8Array): Promise<void> {
  const found = await (await openFile(repository, entry!)).read();
  // Comparing megabytes element by element takes seconds.
  expect(equalBytes(found, bytes)).toBe(true);
}

/** Every directory is written as its entries and their summary say. */
async function expectCanonical(snapshot: Snapshot): Promise<void> {
  for await (const { entry } of walkTree(repository, snapshot.rootEntry!)) {
    if (entry.type !== "d") continue;
    const { entries, summary } = await readDirectory(repository, entry);
    const stored = await (await repository.openObject(entry.objectId)).read();
    expect(stored).toEqual(encodeDirectory({ entries, summary }));
    expect(entry.summary).toEqual(summary);
    if (summary.failures.length === 0 && !summary.incompleteReason)
      expect(summary).toEqual(summarizeDirectory(entries, entry.modifiedAtNs));
  }
}

async function policy(path: string, sections: Partial<Policy>): Promise<void> {
  await using session = await repository.openWriteSession();
  await setPolicy(session, { ...source, path }, { ...emptyPolicy, ...sections });
  await session.commit();
}

describe("entries", () => {
  it("of every kind are what the source says", async () => {
    const root = directory("root", [
      file("plain", "hello", { mode: 0o4711, uid: 3, gid: 4, modifiedAtNs: -5n }),
      file("empty", ""),
      file("large", data(9_000_000)),
      link("link", "no/where\u{1f600}", { mode: 0o777 }),
      { ...file("socket", ""), type: "special" },
      directory("empty directory", [], { mode: 0o1777, modifiedAtNs: 77n }),
      directory("sub", [file("new\nline", "x"), directory("deeper", [file("z", "zz")])]),
    ]);
    const snapshot = await upload(root, {
      description: "d",
      tags: { "tag:a": "b" },
      pins: ["z", "a"],
    });
    const entries = await entriesOf(snapshot);
    expect([...entries.keys()].sort()).toEqual(
      [
        ...["empty", "empty directory", "large", "link", "plain", "sub", "sub/deeper"],
        ...["sub/deeper/z", "sub/new\nline"],
      ].sort(),
    );
    expect(entries.get("plain")).toEqual({
      name: "plain",
      type: "f",
      mode: 0o4711,
      sizeBytes: 5,
      modifiedAtNs: -5n,
      uid: 3,
      gid: 4,
      objectId: entries.get("plain")!.objectId,
    });
    expect(entries.get("empty directory")).toMatchObject({
      mode: 0o1777,
      modifiedAtNs: 77n,
      sizeBytes: 0,
      summary: { directoryCount: 1, maxModifiedAtNs: 77n },
    });
    expect(await readLink(repository, entries.get("link")!)).toBe("no/where\u{1f600}");
    await expectBytes(entries.get("large"), data(9_000_000));
    await expectBytes(entries.get("empty"), new Uint8Array());
    expect(snapshot).toMatchObject({ description: "d", tags: { "tag:a": "b" }, pins: ["a", "z"] });
    expect(await listSnapshots(repository)).toEqual([snapshot]);
    await expectCanonical(snapshot);
    expect((await verifySnapshot(repository, snapshot, { readFiles: "all" })).ok).toBe(true);
    expect(snapshot.stats).toMatchObject({ fileCount: 5, nonCachedFiles: 5, dirCount: 4 });
  });

  it("a root that is a file has a summary of its own", async () => {
    const snapshot = await upload(file("only", "12345", { modifiedAtNs: 9n }));
    expect(snapshot.rootEntry).toMatchObject({
      name: "only",
      type: "f",
      sizeBytes: 5,
      summary: { totalBytes: 5, fileCount: 1, directoryCount: 0, maxModifiedAtNs: 9n },
    });
    const again = await upload(file("only", "12345", { modifiedAtNs: 9n }));
    expect(again.rootEntry).toEqual(snapshot.rootEntry);
    expect(again.stats).toMatchObject({ cachedFiles: 1, nonCachedFiles: 0 });
  });

  it("a stream is stored as Kopia stores standard input", async () => {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield data(70_000);
      yield data(5, 2);
    }
    const snapshot = await upload(streamSource("/some/where", "dump.sql", bytes(), 123n));
    const root = snapshot.rootEntry!;
    expect(root).toMatchObject({ name: "/some/where", mode: 0o777, uid: 0, gid: 0 });
    const stored = await (await repository.openObject(root.objectId)).read();
    expect(new TextDecoder().decode(stored)).toContain(
      '"name":"dump.sql","type":"f","mode":"0777","size":70005,"mtime":"1970-01-01T00:00:00.000000123Z"',
    );
    const [manifest] = await repository.findManifests({ type: "snapshot" });
    expect(manifest!.data).toContain('"mtime":"1754-08-30T22:43:41.128654848Z"');
  });

  it("a stream that is silent does not keep an abort waiting", async () => {
    const interruption = new AbortController();
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield data(5);
      setTimeout(() => interruption.abort(new Error("enough")), 5);
      await new Promise(() => {});
    }
    const options = { signal: interruption.signal, saveOnAbort: true };
    const snapshot = await upload(streamSource("/s", "f", bytes(), 1n), options);
    expect(snapshot.incompleteReason).toBe("canceled");
    expect(await pathsOf(snapshot)).toEqual([]);
  });

  it("a device is no source", async () => {
    const device: SourceEntry = { ...file("sda", ""), type: "special" };
    await expect(upload(device)).rejects.toMatchObject({ code: "DM_SOURCE_UNSUPPORTED" });
    expect(await listSnapshots(repository)).toEqual([]);
  });

  it("names that are not UTF-8 are sorted by their bytes, and never taken for each other", async () => {
    const raw = (bytes: number[], text: string): SourceEntry =>
      file("\ufffd", text, { localPath: Uint8Array.from([0x2f, ...bytes]) });
    const root = directory("root", [raw([0xff], "ff"), file("z", "z"), raw([0x80], "80")]);
    const snapshot = await upload(root);
    const stored = await (await repository.openObject(snapshot.rootEntry!.objectId)).read();
    const { entries } = JSON.parse(new TextDecoder().decode(stored));
    expect(entries.map((entry: { name: string }) => entry.name)).toEqual(["z", "\ufffd", "\ufffd"]);
    const texts: string[] = [];
    for (const { obj } of entries)
      texts.push(new TextDecoder().decode(await (await repository.openObject(obj)).read()));
    expect(texts).toEqual(["z", "80", "ff"]);
    expect((await upload(root)).stats).toMatchObject({ cachedFiles: 1, nonCachedFiles: 2 });
  });

  it("a tree of 1,000 levels is walked", async () => {
    let root = directory("bottom", [file("f", "deep")]);
    for (let level = 0; level < 1000; level++) root = directory(`${level}`, [root]);
    const snapshot = await upload(root);
    expect(snapshot.rootEntry!.summary).toMatchObject({ directoryCount: 1001, fileCount: 1 });
    const again = await upload(root);
    expect(again.stats.cachedFiles).toBe(1);
    expect(again.rootEntry).toEqual(snapshot.rootEntry);
  });
});

describe("failures", () => {
  const broken = (): SourceEntry =>
    directory("root", [
      file("good", "x"),
      file("bad", data(200_000), { failsAfter: { bytes: 100_000, error: error("EIO", "read") } }),
      { type: "failure", name: "hidden", isDirectory: false, error: error("EACCES", "lstat") },
      { type: "failure", name: "closed", isDirectory: true, error: error("EACCES", "lstat") },
      directory("sub", [
        directory("locked", async () => {
          throw error("EACCES", "open");
        }),
        { ...link("loop", ""), readTarget: () => Promise.reject(error("EIO", "readlink")) },
        file("fine", "y"),
      ]),
    ]);

  it("are counted and listed, and what failed is left out", async () => {
    const failures: UploadFailure[] = [];
    const snapshot = await upload(broken(), { onFailure: (failure) => failures.push(failure) });
    expect(await pathsOf(snapshot)).toEqual(["good", "sub", "sub/fine"]);
    const { summary } = snapshot.rootEntry!;
    expect(summary).toMatchObject({ failedCount: 5, ignoredErrorCount: 0, fileCount: 2 });
    const paths = ["bad", "closed", "hidden", "sub/locked", "sub/loop"];
    expect(summary!.failures.map(({ path }) => path)).toEqual(paths);
    expect(failures.map(({ path }) => path).sort()).toEqual(paths);
    expect(failures.every(({ isIgnored }) => !isIgnored)).toBe(true);
    expect(snapshot.stats).toMatchObject({ errorCount: 5, ignoredErrorCount: 0 });
    expect(snapshot.incompleteReason).toBeUndefined();
    await expectCanonical(snapshot);
  });

  it("count as a policy says: of files", async () => {
    await policy(source.path, { errorHandling: { ignoreFileErrors: true } });
    const { rootEntry, stats } = await upload(broken());
    expect(rootEntry!.summary).toMatchObject({ failedCount: 2, ignoredErrorCount: 3 });
    expect(stats).toMatchObject({ errorCount: 2, ignoredErrorCount: 3 });
  });

  it("count as a policy says: of directories", async () => {
    await policy(source.path, { errorHandling: { ignoreDirectoryErrors: true } });
    const { rootEntry } = await upload(broken());
    expect(rootEntry!.summary).toMatchObject({ failedCount: 3, ignoredErrorCount: 2 });
  });

  it("count as a policy below says, which inherits nothing", async () => {
    await policy(source.path, { errorHandling: { ignoreFileErrors: true } });
    await policy(`${source.path}/sub`, { errorHandling: { ignoreDirectoryErrors: true } });
    const { rootEntry } = await upload(broken());
    const failed = (await readDirectory(repository, rootEntry!)).summary;
    // `sub/loop` counts by the policy of `sub`, which does not ignore files; `closed` by that of the root.
    expect(failed).toMatchObject({ failedCount: 2, ignoredErrorCount: 3 });
  });

  it("special files count where a policy wants it", async () => {
    await policy(source.path, { errorHandling: { ignoreUnknownTypes: false } });
    const root = directory("root", [{ ...file("pipe", ""), type: "special" }]);
    const { rootEntry } = await upload(root);
    expect(rootEntry!.summary).toMatchObject({
      failedCount: 1,
      failures: [{ path: "pipe", error: "unknown or unsupported entry type" }],
    });
  });

  it("14 of them are all listed, by path", async () => {
    const entries = Array.from({ length: 14 }, (_, index): SourceEntry => {
      const name = `f${index}`;
      return { type: "failure", name, isDirectory: false, error: error("EACCES", `lstat ${name}`) };
    });
    const { rootEntry } = await upload(directory("root", [directory("sub", entries)]));
    const { failures } = rootEntry!.summary!;
    expect(failures.map(({ path }) => path)).toEqual(
      entries.map(({ name }) => `sub/${name}`).sort(),
    );
  });

  it("a root that cannot be listed fails the upload, and nothing is saved", async () => {
    const reason = error("EACCES", "scandir");
    const root = directory("root", async () => {
      throw reason;
    });
    await expect(upload(root)).rejects.toBe(reason);
    const failure: SourceEntry = { type: "failure", name: "x", isDirectory: true, error: reason };
    await expect(upload(failure)).rejects.toBe(reason);
    expect(await listSnapshots(repository)).toEqual([]);
  });

  it("fail fast: the first one cuts the upload off", async () => {
    const root = directory("root", [
      file("bad", "", { failsAfter: { bytes: 0, error: error("EIO") } }),
      directory("later", [file("never", "x")]),
    ]);
    const snapshot = await upload(root, { failFast: true, parallel: 1 });
    expect(snapshot.incompleteReason).toBe("canceled");
    expect(snapshot.rootEntry!.summary).toMatchObject({
      failedCount: 1,
      incompleteReason: "canceled",
    });
    expect(await pathsOf(snapshot)).not.toContain("later/never");
  });

  it("an error of the repository ends the upload, and no manifest is seen", async () => {
    const { repository: other, store } = await newRepository();
    const put = store.put.bind(store);
    store.put = async (...parameters: Parameters<typeof put>) => {
      if (parameters[0].startsWith("p")) throw error("ENOSPC", "disk full");
      return put(...parameters);
    };
    const root = directory("root", [file("large", data(60_000_000))]);
    await expect(uploadSnapshot(other, root, { source })).rejects.toThrow("disk full");
    store.put = put;
    expect(await listSnapshots(other)).toEqual([]);
  });
});

describe("taking over", () => {
  const tree = (change: Parameters<typeof file>[2] = {}, text = "same"): SourceEntry =>
    directory("root", [file("f", text, change), file("g", "g"), link("l", "f")]);

  it("an unchanged tree is not read, and keeps its object", async () => {
    const first = await upload(tree());
    const files = [file("f", "same"), file("g", "g")];
    const again = await upload(directory("root", [...files, link("l", "f")]));
    expect(files.map(({ reads }) => reads.length)).toEqual([0, 0]);
    expect(again.rootEntry).toEqual(first.rootEntry);
    expect(again.stats).toMatchObject({
      cachedFiles: 3,
      nonCachedFiles: 0,
      fileCount: 0,
      totalSize: 6,
    });
  });

  it.each([
    ["time", { modifiedAtNs: 1_700_000_000_123_456_788n }],
    ["mode", { mode: 0o645 }],
    ["owner", { uid: 1001 }],
    ["group", { gid: 1001 }],
    ["size", { sizeBytes: 5 }],
  ])("a file with another %s is read", async (_what, change) => {
    await upload(tree());
    const changed = file("f", "same", change);
    const { stats } = await upload(directory("root", [changed, file("g", "g"), link("l", "f")]));
    expect(changed.reads).toEqual([0]);
    expect(stats).toMatchObject({ cachedFiles: 2, nonCachedFiles: 1 });
  });

  it("a file in a link's place is read, and the reverse", async () => {
    await upload(directory("root", [file("a", "x", { mode: 0o777 }), link("b", "x")]));
    const now = file("b", "x", { mode: 0o777 });
    const { stats } = await upload(directory("root", [link("a", "x"), now]));
    expect(now.reads).toEqual([0]);
    expect(stats).toMatchObject({ cachedFiles: 0 });
  });

  it("a share of the unchanged files is read again when asked", async () => {
    const files = Array.from({ length: 200 }, (_, index) => file(`${index}`, "x"));
    await upload(directory("root", files));
    const all = await upload(directory("root", files), { forceHashPercent: 100 });
    expect(all.stats.cachedFiles).toBe(0);
    const half = await upload(directory("root", files), { forceHashPercent: 50 });
    expect(half.stats.cachedFiles).toBeGreaterThan(50);
    expect(half.stats.cachedFiles).toBeLessThan(150);
  });

  it("comes from the newest complete snapshot and incomplete ones since, or from those given", async () => {
    const given = await upload(tree(), { startedAtNs: 10n, endedAtNs: 11n });
    await upload(tree({ modifiedAtNs: 5n }), { startedAtNs: 20n, endedAtNs: 21n });
    expect((await upload(tree(), { startedAtNs: 1n })).stats.cachedFiles).toBe(2);
    expect((await upload(tree(), { previous: [given] })).stats.cachedFiles).toBe(3);
    expect((await upload(tree(), { previous: [] })).stats.cachedFiles).toBe(0);
  });

  it("what is damaged counts as not there", async () => {
    const first = await upload(tree());
    const lost = { ...first.rootEntry!, objectId: `k${"0".repeat(32)}` };
    const { rootEntry, stats } = await upload(tree(), {
      previous: [{ ...first, rootEntry: lost }],
    });
    expect(stats.cachedFiles).toBe(0);
    expect(rootEntry).toEqual(first.rootEntry);
  });

  it("an identical snapshot is not saved when the policy says so", async () => {
    await policy(source.path, { retention: { ignoreIdenticalSnapshots: true } });
    const first = await upload(tree());
    const second = await upload(tree());
    expect(second).toMatchObject({ id: "", rootEntry: first.rootEntry });
    expect(await listSnapshots(repository)).toEqual([first]);
    const third = await upload(tree({}, "other"));
    expect(await listSnapshots(repository)).toEqual([first, third]);
  });

  it("a whole file is saved though it was there before it was known to be whole", async () => {
    const { id, ...whole } = await upload(file("f", "same"));
    const previous = [{ ...whole, id, incompleteReason: "canceled" }];
    const again = await upload(file("f", "same"), { previous, ignoreIdentical: true });
    expect(again.id).not.toBe("");
  });
});

describe("policies", () => {
  it("choose compressor and splitter by path", async () => {
    await policy(source.path, { compression: { compressorName: "gzip" } });
    await policy(`${source.path}/raw`, { splitter: { algorithm: "FIXED-128K" } });
    await policy(`${source.path}/raw/one.bin`, { compression: { compressorName: "s2-default" } });
    const zeros = new Uint8Array(500_000);
    const root = directory("root", [
      file("a", zeros),
      directory("raw", [file("b", data(500_000)), file("one.bin", zeros.subarray(1))]),
    ]);
    const entries = await entriesOf(await upload(root));
    const compressorOf = async (path: string): Promise<number | undefined> => {
      for await (const id of repository.objectContents(entries.get(path)!.objectId))
        return (await repository.contentInfo(id))?.compressionHeaderId;
      return undefined;
    };
    expect(await compressorOf("a")).toBe(0x1000);
    expect(await compressorOf("raw/one.bin")).toBe(0x1200);
    const parts = await repository.objectParts(entries.get("raw/b")!.objectId);
    expect(parts.map(({ length }) => length)).toEqual([131_072, 131_072, 131_072, 106_784]);
    // A policy below the root inherits nothing, not even a compressor of directories.
    const raw = await repository.contentInfo(entries.get("raw")!.objectId as never);
    expect(raw?.compressionHeaderId).toBe(0);
  });
});

describe("what is left out", () => {
  it("by rules of policies and of files, by size, on other file systems; caches are empty", async () => {
    await policy(source.path, {
      files: { ignore: ["*.log"], ignoreDotFiles: [".kopiaignore"], maxFileSize: 40 },
    });
    await policy(`${source.path}/one`, { files: { oneFileSystem: true } });
    const signature = "Signature: 8a477f597d28d172789f06886806bc55";
    const tag = file("CACHEDIR.TAG", signature);
    const rules = file("rules", "secret\n");
    const linked = { ...link(".kopiaignore", "../rules"), follow: async () => rules };
    const root = directory("root", [
      file("a.log", "aaa"),
      file("large", data(41)),
      file(".kopiaignore", "# rules\nbuild/\n/top\n!keep.log\n"),
      file("top", "t"),
      directory("build", [file("x", "x")]),
      directory("sub", [file("top", "t"), file("keep.log", "k"), file("build", "b")]),
      directory("cache", [tag, file("junk", "j")]),
      directory(
        "one",
        [file("here", "h", { deviceId: 1n }), file("there", "t", { deviceId: 2n })],
        {
          deviceId: 1n,
        },
      ),
      directory("linked", [linked, file("secret", "s"), file("open", "o")]),
    ]);
    const snapshot = await upload(root);
    expect(await pathsOf(snapshot)).toEqual([
      ...[".kopiaignore", "cache", "linked", "linked/.kopiaignore", "linked/open", "one"],
      ...["one/here", "sub", "sub/build", "sub/keep.log", "sub/top"],
    ]);
    // What rules leave out is counted, what is too large or elsewhere is not: so Kopia has it.
    expect(snapshot.stats).toMatchObject({
      excludedFileCount: 3,
      excludedDirCount: 2,
      excludedTotalSize: 5,
    });
    const everything = await upload(root, { ignoreRules: false, previous: [] });
    expect(everything.rootEntry!.summary!.fileCount).toBe(14);
  });

  it("a directory whose rules cannot be read is missing, and so is what it holds", async () => {
    const unreadable = { failsAfter: { bytes: 0, error: error("EACCES", "open") } };
    const root = directory("root", [
      directory("a", [file(".kopiaignore", "x", unreadable), file("f", "f")]),
      directory("b", [file(".kopiaignore", "x".repeat(2 ** 20 + 1)), file("f", "f")]),
      directory("c", [file("f", "f")]),
    ]);
    const snapshot = await upload(root);
    expect(await pathsOf(snapshot)).toEqual(["c", "c/f"]);
    expect(snapshot.rootEntry!.summary!.failures.map(({ path }) => path)).toEqual(["a", "b"]);
  });
});

describe("what is kept beyond Kopia's metadata", () => {
  const attribute = (value: string) => ({
    attributes: [{ name: "user.a", value: new TextEncoder().encode(value) }],
  });
  const kept = (value: string, read = () => attribute(value)): SourceEntry => ({
    ...directory("root", [
      { ...file("f", "text"), readExtendedMetadata: read },
      { ...link("l", "f"), readExtendedMetadata: () => ({ attributes: [], linkId: "1" }) },
      { ...file("g", "plain"), readExtendedMetadata: () => ({ attributes: [] }) },
    ]),
    readExtendedMetadata: () => attribute("of the root"),
  });

  it("stands in members of its own, and is compared before a file counts as unchanged", async () => {
    const first = await upload(kept("one"));
    const entries = await entriesOf(first);
    expect(entries.get("f")!.unknownMembers).toEqual([["dm:xattrs", '{"user.a":"b25l"}']]);
    expect(entries.get("l")!.unknownMembers).toEqual([["dm:link", '"1"']]);
    expect(entries.get("g")!.unknownMembers).toBeUndefined();
    expect(first.rootEntry!.unknownMembers).toEqual(await rootMembers());
    expect((await upload(kept("one"))).stats.cachedFiles).toBe(3);
    const changed = await upload(kept("two"));
    expect(changed.stats.cachedFiles).toBe(2);
    expect((await entriesOf(changed)).get("f")!.unknownMembers).toEqual([
      ["dm:xattrs", '{"user.a":"dHdv"}'],
    ]);
    expect(changed.rootEntry!.objectId).not.toBe(first.rootEntry!.objectId);
  });

  it("does not count, and goes, when the source is not asked to keep it", async () => {
    await upload(kept("one"));
    const plain = directory("root", [file("f", "text"), link("l", "f"), file("g", "plain")]);
    const snapshot = await upload(plain);
    expect(snapshot.stats.cachedFiles).toBe(3);
    for (const entry of (await entriesOf(snapshot)).values())
      expect(entry.unknownMembers).toBeUndefined();
    const never = await upload(plain, { previous: [] });
    expect(snapshot.rootEntry).toEqual(never.rootEntry);
  });

  it("where it cannot be read the file is stored without, and the failure listed", async () => {
    const read = (): never => {
      throw error("EACCES", "getxattr");
    };
    const snapshot = await upload(kept("", read));
    expect((await entriesOf(snapshot)).get("f")).toMatchObject({ sizeBytes: 4 });
    expect(snapshot.rootEntry!.summary).toMatchObject({
      fileCount: 2,
      failedCount: 1,
      failures: [{ path: "f" }],
    });
  });

  const rootMembers = async () => {
    const [snapshot] = await listSnapshots(repository);
    return snapshot!.rootEntry!.unknownMembers;
  };
});

describe("retention", () => {
  it("deletes what the policy does not keep, unless it is pinned", async () => {
    await policy(source.path, { retention: { keepLatest: 2 }, noParent: true });
    const root = (text: string): SourceEntry => directory("root", [file("f", text)]);
    const made: Snapshot[] = [];
    for (const text of ["a", "b", "c", "d"])
      made.push(await upload(root(text), { pins: text === "a" ? ["keep"] : [] }));
    expect(await listSnapshots(repository)).toEqual([made[0], made[2], made[3]]);
    const fifth = await upload(root("e"), { expire: false });
    expect(await listSnapshots(repository)).toEqual([made[0], made[2], made[3], fifth]);
  });
});

describe("placeholders of a shallow restore", () => {
  it("are put into the snapshot again, unread", async () => {
    const first = await upload(
      directory("root", [file("f", "text"), directory("d", [file("x", "x")])]),
    );
    const stored = await (await repository.openObject(first.rootEntry!.objectId)).read();
    const { entries } = JSON.parse(new TextDecoder().decode(stored));
    const json = (name: string): string =>
      `${JSON.stringify(entries.find((entry: { name: string }) => entry.name === name))}\n`;
    const shallow = directory("root", [
      file("f.kopia-entry", json("f")),
      directory("d.kopia-entry", [file(".kopia-entry", json("d"))]),
    ]);
    const again = await upload(shallow);
    expect(again.rootEntry).toEqual(first.rootEntry);
  });

  it.each([
    ["text", "no JSON"],
    ["of an object that is not there", `{"name":"f","type":"f","obj":"${"0".repeat(32)}"}`],
  ])("a file of such a name is an error: %s", async (_what, text) => {
    const root = directory("root", [file("f.kopia-entry", text), file("g", "g")]);
    const snapshot = await upload(root);
    expect(snapshot.rootEntry!.summary).toMatchObject({ failedCount: 1, fileCount: 1 });
    const empty = directory("root", [directory("d.kopia-entry", [])]);
    expect((await upload(empty)).rootEntry!.summary).toMatchObject({ failedCount: 1 });
  });
});

describe("cutting off", () => {
  const bytes = data(12_000_000);

  it("at a number of bytes: the snapshot is incomplete, the next one goes on", async () => {
    const files = (): ReturnType<typeof file>[] => [
      file("a", bytes.subarray(0, 1_000_000)),
      file("b", bytes),
      file("c", bytes.subarray(5)),
    ];
    const first = await upload(directory("root", files()), {
      uploadLimitBytes: 9_000_000,
      parallel: 1,
    });
    expect(first.incompleteReason).toBe("limit reached");
    expect(first.rootEntry!.summary!.incompleteReason).toBe("limit reached");
    const [a, partial, ...rest] = await pathsOf(first).then((paths) => paths.reverse());
    expect(rest).toEqual([]);
    expect(a).toBe("a");
    expect(partial).toMatch(/^\.checkpointed\.b\.[0-9a-f-]{36}$/);
    const { sizeBytes } = (await entriesOf(first)).get(partial!)!;
    expect(sizeBytes).toBeGreaterThan(4_000_000);
    expect((await verifySnapshot(repository, first, { readFiles: "all" })).ok).toBe(true);

    const again = files();
    const second = await upload(directory("root", again));
    expect(again.map(({ reads }) => reads)).toEqual([[], [sizeBytes], [0]]);
    expect(second.incompleteReason).toBeUndefined();
    const entries = await entriesOf(second);
    expect([...entries.keys()].sort()).toEqual(["a", "b", "c"]);
    await expectBytes(entries.get("b"), bytes);
    const fresh = await upload(directory("root", files()), { previous: [] });
    expect(fresh.rootEntry).toEqual(second.rootEntry);
  });

  it("a half-written file that has changed since is read from its beginning", async () => {
    const root = (change = {}) => directory("root", [file("b", bytes, change)]);
    await upload(root(), { uploadLimitBytes: 9_000_000 });
    const changed = file("b", bytes, { modifiedAtNs: 1n });
    await upload(directory("root", [changed]));
    expect(changed.reads).toEqual([0]);
  });

  it("kopia's checkpoints record the size of the whole file: they are gone on from, too", async () => {
    const first = await upload(directory("root", [file("b", bytes)]), {
      uploadLimitBytes: 9_000_000,
    });
    const { entries, ...rest } = await readDirectory(repository, first.rootEntry!);
    const theirs = entries.map((entry) => ({ ...entry, sizeBytes: bytes.length }));
    await using session = await repository.openWriteSession();
    const stream = encodeDirectory({ ...rest, entries: theirs });
    const objectId = await session.writeObject(stream, { prefix: "k" });
    await session.commit();
    const b = file("b", bytes);
    const snapshot = await upload(directory("root", [b]), {
      previous: [{ ...first, rootEntry: { ...first.rootEntry!, objectId } }],
    });
    expect(b.reads).toEqual([entries[0]!.sizeBytes]);
    await expectBytes((await entriesOf(snapshot)).get("b"), bytes);
  });

  it("by abort: nothing is saved, or what is there, as the caller asks", async () => {
    const reason = new Error("enough");
    const cut = (): { root: SourceEntry; signal: AbortSignal } => {
      const controller = new AbortController();
      const onSlice = (from: number): void => {
        if (from > 9_000_000) controller.abort(reason);
      };
      const root = directory("root", [file("a", "a"), file("b", bytes, { onSlice })]);
      return { root, signal: controller.signal };
    };
    const first = cut();
    await expect(upload(first.root, first)).rejects.toBe(reason);
    expect(await listSnapshots(repository)).toEqual([]);
    const second = cut();
    const saved = await upload(second.root, { ...second, saveOnAbort: true });
    expect(saved.incompleteReason).toBe("canceled");
    expect(await listSnapshots(repository)).toEqual([saved]);
    const b = file("b", bytes);
    await upload(directory("root", [file("a", "a"), b]));
    expect(b.reads[0]).toBeGreaterThan(4_000_000);
    await expect(upload(first.root, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("by abort while the rules of the root are read: what is there is nothing", async () => {
    const controller = new AbortController();
    const onSlice = (): void => controller.abort(new Error("enough"));
    const root = directory("root", [file(".kopiaignore", "b", { onSlice }), file("a", "a")]);
    const saved = await upload(root, { signal: controller.signal, saveOnAbort: true });
    expect(saved.incompleteReason).toBe("canceled");
    expect(await pathsOf(saved)).toEqual([]);
  });

  it.each([
    ["a directory", directory("b", [])],
    ["a link", link("b", "x")],
  ])("by abort while the store does not take %s", async (_what, entry) => {
    const { repository: slow, store } = await newRepository();
    const controller = new AbortController();
    const reason = new Error("enough");
    store.put = (_blobId, _bytes, { signal } = {}) => {
      setTimeout(() => controller.abort(reason));
      return new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      });
    };
    await using session = await slow.openWriteSession({ maxUnflushedEntries: 1 });
    const root = directory("root", [directory("a", [link("l", "y")]), entry]);
    const { signal } = controller;
    await expect(uploadSnapshot(session, root, { source, signal })).rejects.toBe(reason);
  });

  it("by abort while the store does not take a checkpoint", async () => {
    const { repository: slow, store } = await newRepository();
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("enough");
    store.put = (_blobId, _bytes, call) => {
      setTimeout(() => controller.abort(reason));
      return new Promise((_resolve, reject) => {
        call?.signal?.addEventListener("abort", () => reject(call.signal!.reason));
      });
    };
    const onSlice = (): Promise<void> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(reason));
      });
    const root = directory("root", [file("a", "a", { onSlice })]);
    const options = { source, signal, checkpointIntervalMs: 20 };
    await expect(uploadSnapshot(slow, root, options)).rejects.toBe(reason);
  });

  it("by abort while the store does not answer for a previous directory", async () => {
    const root = directory("root", [directory("a", [file("b", "b")])]);
    const previous = [await upload(root)];
    const controller = new AbortController();
    const reason = new Error("enough");
    await using session = await repository.openWriteSession();
    const silent: typeof session.openObject = (_id, { signal } = {}) => {
      setTimeout(() => controller.abort(reason));
      return new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      });
    };
    session.openObject = silent;
    const options = { source, previous, signal: controller.signal };
    await expect(uploadSnapshot(session, root, options)).rejects.toBe(reason);
  });

  it("a single file that was cut off goes on, too", async () => {
    const cut = await upload(file("b", bytes), { uploadLimitBytes: 9_000_000 });
    expect(cut.incompleteReason).toBe("limit reached");
    const b = file("b", bytes);
    const whole = await upload(b);
    expect(b.reads).toEqual([cut.rootEntry!.sizeBytes]);
    await expectBytes(whole.rootEntry, bytes);
  });
});

describe("checkpoints", () => {
  const bytes = data(12_000_000);

  /** A clock whose `sleep` ends when told, and then waits until the next one begins. */
  function handClock(): { clock: Clock; strike: () => Promise<void> } {
    let wake = (): void => {};
    let asleep = (): void => {};
    let sleeping: Promise<void> = Promise.resolve();
    const clock: Clock = {
      nowNs: () => BigInt(Date.now()) * 1_000_000n,
      sleep: (_ms, { signal } = {}) =>
        new Promise((resolve, reject) => {
          wake = resolve;
          signal?.addEventListener("abort", () => reject(signal.reason));
          asleep();
        }),
    };
    const strike = async (): Promise<void> => {
      sleeping = new Promise((resolve) => {
        asleep = resolve;
      });
      wake();
      await sleeping;
    };
    return { clock, strike };
  }

  it("hold what is finished and the beginnings of files; the next run goes on there", async () => {
    const { clock, strike } = handClock();
    let seen: Snapshot[] = [];
    const onSlice = async (from: number): Promise<void> => {
      if (from !== 160 << 16) return;
      await strike();
      seen = await listSnapshots(repository);
      throw error("DIED");
    };
    const root = directory("root", [
      file("done", "done"),
      directory("sub", [file("b", bytes, { onSlice }), file("c", "c")]),
    ]);
    await upload(root, { clock, parallel: 2, checkpointTags: { who: "me" } });
    expect(seen).toHaveLength(1);
    const [checkpoint] = seen as [Snapshot];
    expect(checkpoint).toMatchObject({ incompleteReason: "checkpoint", tags: { who: "me" } });
    const paths = await pathsOf(checkpoint);
    expect(paths[0]).toBe("done");
    expect(paths.filter((path) => path.startsWith("sub/.checkpointed.b."))).toHaveLength(1);
    expect((await verifySnapshot(repository, checkpoint, { readFiles: "all" })).ok).toBe(true);
    await expectCanonical(checkpoint);

    const files = { done: file("done", "done"), b: file("b", bytes), c: file("c", "c") };
    const again = directory("root", [files.done, directory("sub", [files.b, files.c])]);
    const next = await upload(again, { previous: [checkpoint] });
    expect(files.done.reads).toEqual([]);
    expect(files.b.reads[0]).toBeGreaterThan(4_000_000);
    await expectBytes((await entriesOf(next)).get("sub/b"), bytes);
    const fresh = await upload(again, { previous: [] });
    expect(next.rootEntry).toEqual(fresh.rootEntry);
  });

  it("more than 45 minutes apart are refused", async () => {
    const root = directory("root", []);
    for (const checkpointIntervalMs of [0, -1, 45 * 60_000 + 1])
      await expect(upload(root, { checkpointIntervalMs })).rejects.toThrow(RangeError);
  });
});

it("progress counts what is read, taken over and missing", async () => {
  const told: UploadProgress[] = [];
  const root = (extra: SourceEntry[]): SourceEntry =>
    directory("root", [file("a", "12345"), link("l", "abc"), ...extra]);
  const onProgress = (progress: UploadProgress): void => {
    told.push(progress);
  };
  await upload(root([]), { onProgress });
  expect(told.at(-1)).toMatchObject({ hashedFiles: 2, hashedBytes: 8, cachedFiles: 0 });
  const bad = file("bad", "", { failsAfter: { bytes: 0, error: error("EIO") } });
  await upload(root([bad, directory("d", [])]), { onProgress });
  expect(told.at(-1)).toEqual({
    hashedFiles: 0,
    hashedBytes: 0,
    cachedFiles: 2,
    cachedBytes: 8,
    directories: 2,
    filesUnderWay: 0,
    failures: 1,
    ignoredFailures: 0,
    estimatedFiles: 2,
    estimatedBytes: 5,
    remainingMs: undefined,
  });
});

it("with a start or an end given, the other keeps its distance", async () => {
  const root = directory("root", []);
  const { endedAtNs, startedAtNs } = await upload(root, { startedAtNs: 1_000n });
  expect(startedAtNs).toBe(1_000n);
  expect(endedAtNs).toBeGreaterThan(1_000n);
  expect(await upload(root, { endedAtNs: 10n ** 18n })).toMatchObject({ endedAtNs: 10n ** 18n });
  expect(await upload(root, { startedAtNs: 5n, endedAtNs: 6n })).toMatchObject({
    startedAtNs: 5n,
    endedAtNs: 6n,
  });
});
