/**
 * Places in snapshots as people write them: the id of a snapshot, of its root or of any object, and a path behind a slash.
 * Proof: test/place.test.ts.
 * @module
 */
import { isDmError, NotFoundError } from "@dm/core";
import { isDirectoryObject, objectId, parseObjectId, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import type { Snapshot } from "./snapshot-codec.ts";
import { findSnapshots, type ManifestSource } from "./snapshots.ts";
import { entryOfObject, findEntry, type ObjectSource } from "./tree.ts";

/** What is needed of a repository to find places. */
export type PlaceSource = ManifestSource & ObjectSource & Pick<Repository, "contentInfo">;

/** What the text `<id>/<path>` leads to. */
export interface SnapshotPlace {
  readonly entry: DirectoryEntry;
  /** Below the root; empty for the root itself. */
  readonly path: string;
  /** The snapshot that it lies in; of several with one root the newest. Undefined below an object that is no root. */
  readonly snapshot?: Snapshot | undefined;
}

/**
 * The entry at `<id>` or `<id>/<path>`. Of an object of which no snapshot tells more, mode and times are made up.
 * @throws {NotFoundError} `DM_SNAPSHOT_NOT_FOUND`, `DM_ENTRY_NOT_FOUND`
 * @throws {FormatError} `DM_OBJECT_ID_INVALID` when the text begins with no id, and what reading of directories throws
 * @example
 * const { entry } = await openPlace(repository, "kcc99bc7c98a586fe77db52552b898743/logs");
 */
export async function openPlace(
  repository: PlaceSource,
  place: string,
  options: CallOptions = {},
): Promise<SnapshotPlace> {
  const slash = place.indexOf("/");
  const id = slash < 0 ? place : place.slice(0, slash);
  const path = slash < 0 ? "" : place.slice(slash).replace(/^\/+|\/+$/g, "");
  const snapshot = await newestSnapshot(repository, id, options);
  const root = snapshot?.rootEntry ?? (await objectEntry(repository, id, options));
  return { entry: await findEntry(repository, root, path, options), path, snapshot };
}

async function newestSnapshot(
  repository: ManifestSource,
  id: string,
  options: CallOptions,
): Promise<Snapshot | undefined> {
  try {
    return (await findSnapshots(repository, id, options)).at(-1);
  } catch (error) {
    if (isDmError(error, "DM_SNAPSHOT_NOT_FOUND")) return undefined;
    throw error;
  }
}

async function objectEntry(
  repository: PlaceSource,
  text: string,
  options: CallOptions,
): Promise<DirectoryEntry> {
  const id = objectId(text);
  const { contentId } = parseObjectId(id);
  // Ids of snapshots look like those of objects: "no such content" would leave people at a loss.
  if (!contentId || !(await repository.contentInfo(contentId, options))) {
    throw new NotFoundError(
      "DM_SNAPSHOT_NOT_FOUND",
      `there is neither a snapshot nor an object ${text}`,
      { id: text },
    );
  }
  const entry = entryOfObject(id);
  if (isDirectoryObject(id)) return entry;
  return { ...entry, sizeBytes: (await repository.openObject(id, options)).length };
}
