// Every golden repository of the real kopia: snapshots and trees are what kopia listed, member by member; every file has
// the recorded hash; and every directory stream and snapshot manifest that is read and written again has the same bytes.
import { utf8Decode } from "@dm/core";
import { goldenRepositories, type Json, sha256Hex } from "@dm/fixtures";
import { isDirectoryObject, parseTime, type Repository } from "@dm/repo";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  decodeDirectory,
  decodeSnapshotManifest,
  encodeDirectory,
  encodeSnapshotManifest,
  findEntry,
  goModeFromPosix,
  listSnapshots,
  openFile,
  openSnapshot,
  readLink,
  type Snapshot,
  snapshotLabels,
  summarizeDirectory,
  type TreeItem,
  verifySnapshot,
  walkTree,
} from "../src/index.ts";
import { openGolden } from "./open-golden.ts";

async function itemsOf(repository: Repository, root: DirectoryEntry): Promise<TreeItem[]> {
  const items: TreeItem[] = [];
  for await (const item of walkTree(repository, root)) items.push(item);
  return items;
}

/** Kopia's listing shows paths without slashes in front, and the newest time inside a directory as its time. */
const listedPath = (path: string): string => (path === "" ? "." : path.replace(/^\/+/, ""));
const listedTime = ({ depth, entry }: TreeItem): bigint =>
  depth > 0 && entry.summary ? entry.summary.maxModifiedAtNs : entry.modifiedAtNs;

const summaryOf = (json: Json): object => ({
  totalBytes: json.size,
  fileCount: json.files,
  symlinkCount: json.symlinks,
  directoryCount: json.dirs,
  maxModifiedAtNs: parseTime(json.maxTime),
  failedCount: json.numFailed,
  ignoredErrorCount: json.numIgnoredErrors ?? 0,
  failures: json.errors ?? [],
});

const byPath = (a: { path: string }, b: { path: string }): number => (a.path < b.path ? -1 : 1);

describe.each(goldenRepositories())("%s", (name) => {
  let repository: Repository;
  let expected: Json;
  let snapshots: Snapshot[];

  beforeAll(async () => {
    const opened = await openGolden(name);
    repository = opened.repository;
    expected = opened.golden.expected;
    snapshots = await listSnapshots(repository);
  });

  it("lists the same snapshots, by start", () => {
    const found = snapshots.map((snapshot) => ({
      id: snapshot.id,
      source: snapshot.source,
      startedAtNs: snapshot.startedAtNs,
      endedAtNs: snapshot.endedAtNs,
      description: snapshot.description,
      incompleteReason: snapshot.incompleteReason,
      pins: snapshot.pins,
      tags: snapshot.tags,
      rootName: snapshot.rootEntry?.name,
      rootType: snapshot.rootEntry?.type,
      rootObjectID: snapshot.rootEntry?.objectId,
    }));
    const listed = expected.snapshots.map((json: Json) => ({
      id: json.id,
      source: json.source,
      startedAtNs: parseTime(json.startTime),
      endedAtNs: parseTime(json.endTime),
      description: json.description ?? "",
      incompleteReason: json.incomplete ?? json.incompleteReason,
      pins: json.pins ?? [],
      tags: json.tags ?? {},
      rootName: json.rootName,
      rootType: json.rootType,
      rootObjectID: json.rootObjectID,
    }));
    const byStart = (a: Json, b: Json): number => Number(a.startedAtNs - b.startedAtNs);
    expect(found).toEqual(listed.sort(byStart));
  });

  it("stores them under the labels that we would give", async () => {
    for (const { id, source, tags } of snapshots)
      expect((await repository.readManifest(id)).labels).toEqual(snapshotLabels(source, tags));
  });

  it("shows the same trees, member by member", async () => {
    for (const snapshot of snapshots) {
      const items = await itemsOf(repository, snapshot.rootEntry!);
      const found = items.map((item) => ({
        path: listedPath(item.path),
        type: item.entry.type,
        mode: `0${goModeFromPosix(item.entry.mode).toString(8)}`,
        modifiedAtNs: listedTime(item),
        uid: item.entry.uid,
        gid: item.entry.gid,
        objectId: item.entry.objectId,
        size: item.entry.type === "d" ? 0 : item.entry.sizeBytes,
        summary: item.entry.summary && { ...item.entry.summary },
      }));
      const tree: Json[] = expected.trees[snapshot.rootEntry!.objectId];
      const listed = tree.map((json) => ({
        path: json.path,
        type: json.type,
        mode: json.mode,
        modifiedAtNs: parseTime(json.mtime),
        uid: json.uid,
        gid: json.gid,
        objectId: json.objectID,
        size: json.size ?? 0,
        summary: json.summary && summaryOf(json.summary),
      }));
      expect(found.sort(byPath)).toEqual(listed.sort(byPath));
    }
  });

  it("has the data of every file and the target of every link", async () => {
    const seen = new Set<string>();
    for (const { rootEntry } of snapshots) {
      const tree: Json[] = expected.trees[rootEntry!.objectId];
      const recorded = new Map(tree.map((json) => [json.path, json]));
      for (const { entry, path } of await itemsOf(repository, rootEntry!)) {
        if (entry.type === "d" || seen.has(entry.objectId)) continue;
        seen.add(entry.objectId);
        const { sha256, target } = recorded.get(listedPath(path));
        if (entry.type === "s") expect(await readLink(repository, entry)).toBe(target);
        else {
          const object = await openFile(repository, entry);
          expect(object.length).toBe(entry.sizeBytes);
          expect(sha256Hex(await object.read()), path).toBe(sha256);
        }
      }
    }
  });

  it("finds every entry again by its path", async () => {
    for (const { rootEntry } of snapshots.slice(0, 1)) {
      const items = await itemsOf(repository, rootEntry!);
      const sample = items.filter((_, index) => index % Math.ceil(items.length / 100) === 0);
      for (const { entry, path } of sample)
        expect(
          await findEntry(repository, rootEntry!, listedPath(path).replace(/^\.$/, "")),
        ).toEqual(entry);
    }
  });

  it("writes every directory with the same bytes, and sums it up the same", async () => {
    const seen = new Set<string>();
    for (const { rootEntry } of snapshots) {
      for (const { entry } of await itemsOf(repository, rootEntry!)) {
        if (entry.type !== "d" || seen.has(entry.objectId)) continue;
        seen.add(entry.objectId);
        expect(isDirectoryObject(entry.objectId)).toBe(true);
        const stored = await (await repository.openObject(entry.objectId)).read();
        const directory = decodeDirectory(stored, entry.objectId);
        expect(utf8Decode(encodeDirectory(directory))).toBe(utf8Decode(stored));
        const shuffled = { ...directory, entries: directory.entries.toReversed() };
        expect(encodeDirectory(shuffled)).toEqual(stored);
        expect(entry.summary).toEqual(directory.summary);
        expect(summarizeDirectory(directory.entries, entry.modifiedAtNs)).toEqual(
          directory.summary,
        );
      }
    }
    expect(seen.size > 0).toBe(snapshots.length > 0);
  });

  it("writes every snapshot manifest with the same bytes", async () => {
    for (const { id } of snapshots) {
      const { data } = await repository.readManifest(id);
      expect(encodeSnapshotManifest(decodeSnapshotManifest(data, id))).toBe(data);
      expect(await openSnapshot(repository, id)).toEqual(snapshots.find((s) => s.id === id));
    }
  });

  it("verifies, all data read", async () => {
    for (const snapshot of snapshots) {
      const report = await verifySnapshot(repository, snapshot);
      expect(report.findings.map(({ error, path }) => `${path}: ${error.message}`)).toEqual([]);
    }
  });
});
