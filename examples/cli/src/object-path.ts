/**
 * Places in snapshots as people write them: the id of a snapshot or of a directory object, and a path behind a slash.
 * @module
 */

import { isDmError } from "@dm/core";
import type { Repository } from "@dm/repo";
import { type DirectoryEntry, entryOfObject, findEntry, openSnapshot } from "@dm/snapshot";

/** @throws {NotFoundError} `DM_ENTRY_NOT_FOUND`, and what reading of directories throws */
export async function entryAt(
  repository: Repository,
  objectPath: string,
  signal: AbortSignal,
): Promise<DirectoryEntry> {
  const slash = objectPath.indexOf("/");
  const id = slash < 0 ? objectPath : objectPath.slice(0, slash);
  const path = slash < 0 ? "" : objectPath.slice(slash);
  const root = (await rootOf(repository, id, signal)) ?? entryOfObject(id);
  return findEntry(repository, root, path, { signal });
}

/** The root of the snapshot with this id; an id of an object may look the same. */
async function rootOf(
  repository: Repository,
  id: string,
  signal: AbortSignal,
): Promise<DirectoryEntry | undefined> {
  try {
    return (await openSnapshot(repository, id, { signal })).rootEntry;
  } catch (error) {
    if (isDmError(error, "DM_SNAPSHOT_NOT_FOUND")) return undefined;
    throw error;
  }
}
