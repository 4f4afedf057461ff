/**
 * Places in snapshots as people write them: the id of a snapshot or of an object, and a path behind a slash.
 * @module
 */
import type { Repository } from "@dm/repo";
import { type DirectoryEntry, openPlace } from "@dm/snapshot";

/** Errors as `openPlace`. */
export async function entryAt(
  repository: Repository,
  objectPath: string,
  signal: AbortSignal,
): Promise<DirectoryEntry> {
  return (await openPlace(repository, objectPath, { signal })).entry;
}
