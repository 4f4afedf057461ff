/**
 * What snapshots take up in a repository: how much of each is new, after deduplication and compression, and the running
 * total. Memory: the ids of all objects and contents seen. Proof: test/storage-stats.test.ts.
 * @module
 */
import type { Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import type { Snapshot } from "./snapshot-codec.ts";
import { walkTree } from "./tree.ts";
import { contentOfObject } from "./verify/check-object.ts";

/** Sums over different objects and contents. */
export interface StorageUsage {
  /** Bytes of the files and links, as their entries say. */
  readonly objectBytes: number;
  /** Bytes of their contents before compression. */
  readonly originalContentBytes: number;
  /** Bytes of their contents in packs. */
  readonly packedContentBytes: number;
  readonly fileObjects: number;
  readonly dirObjects: number;
  /** Contents of files and directories. */
  readonly contents: number;
}

/** The member `storageStats` of a listed snapshot, named as Kopia names it. */
export interface StorageStats {
  readonly newData: StorageUsage;
  readonly runningTotal: StorageUsage;
}

type Sums = { -readonly [Name in keyof StorageUsage]: number };

const nothing: StorageUsage = {
  objectBytes: 0,
  originalContentBytes: 0,
  packedContentBytes: 0,
  fileObjects: 0,
  dirObjects: 0,
  contents: 0,
};

/**
 * For each snapshot, in the given order: what no snapshot before it has, and the total so far. Reads directories only.
 * @throws {NotFoundError} `DM_CONTENT_NOT_FOUND`, and what reading of directories throws
 */
export async function* storageStats(
  repository: Repository,
  snapshots: Iterable<Snapshot>,
  options: CallOptions = {},
): AsyncGenerator<StorageStats & { readonly snapshot: Snapshot }> {
  const objects = new Set<string>();
  const contents = new Set<string>();
  const total: Sums = { ...nothing };
  for (const snapshot of snapshots) {
    const before = { ...total };
    if (snapshot.rootEntry) {
      const isNew = new Set<DirectoryEntry>();
      const walk = walkTree(repository, snapshot.rootEntry, {
        ...options,
        descend: ({ entry }) => isNew.delete(entry),
      });
      for await (const { entry } of walk) {
        if (objects.has(entry.objectId)) continue;
        objects.add(entry.objectId);
        if (entry.type === "d") isNew.add(entry);
        await addObject(repository, entry, total, contents, options);
      }
    }
    yield { snapshot, newData: difference(total, before), runningTotal: { ...total } };
  }
}

async function addObject(
  repository: Repository,
  { objectId, sizeBytes, type }: DirectoryEntry,
  total: Sums,
  contents: Set<string>,
  options: CallOptions,
): Promise<void> {
  const isDirectory = type === "d";
  if (isDirectory) total.dirObjects += 1;
  else {
    total.fileObjects += 1;
    total.objectBytes += sizeBytes;
  }
  for await (const id of repository.objectContents(objectId, options)) {
    if (contents.has(id)) continue;
    contents.add(id);
    total.contents += 1;
    if (isDirectory) continue;
    const info = await contentOfObject(repository, id, objectId, options);
    total.originalContentBytes += info.originalLength;
    total.packedContentBytes += info.packedLength;
  }
}

const difference = (after: StorageUsage, before: StorageUsage): StorageUsage => ({
  objectBytes: after.objectBytes - before.objectBytes,
  originalContentBytes: after.originalContentBytes - before.originalContentBytes,
  packedContentBytes: after.packedContentBytes - before.packedContentBytes,
  fileObjects: after.fileObjects - before.fileObjects,
  dirObjects: after.dirObjects - before.dirObjects,
  contents: after.contents - before.contents,
});
