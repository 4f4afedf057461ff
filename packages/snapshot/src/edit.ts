/**
 * Changes to the manifests of snapshots: put, replace by an edited one, delete. All of them become visible with the next
 * flush of the session. A manifest never changes: an edited snapshot has a new id.
 * Format: docs/format/snapshots.md. Proof: test/edit.test.ts.
 * @module
 */
import { compareUtf8, type WriteSession } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { encodeSnapshotManifest, type Snapshot } from "./snapshot-codec.ts";
import { snapshotLabels } from "./snapshots.ts";

/** What is needed of a write session to change manifests. */
export type ManifestWriter = Pick<WriteSession, "deleteManifest" | "putManifest">;

/**
 * Adds a snapshot; whatever `id` it carries does not count.
 * @returns the snapshot with the id of its manifest
 * @throws {RangeError} when a part of its source is empty, or a tag is called like a label of its own
 * @example
 * const { id } = putSnapshot(session, snapshot);
 */
export function putSnapshot<S extends Snapshot>(
  session: Pick<WriteSession, "putManifest">,
  snapshot: S,
): S {
  const labels = snapshotLabels(snapshot.source, snapshot.tags);
  const rawData = encodeSnapshotManifest(snapshot);
  return { ...snapshot, id: session.putManifest(labels, undefined, { rawData }) };
}

/**
 * Puts an edited snapshot (pins, tags, description, root) in the place of the one with its id, as Kopia does.
 * @returns the snapshot with its new id
 * @throws {RangeError} as {@link putSnapshot}
 * @example
 * await updateSnapshot(session, { ...snapshot, pins: [...snapshot.pins, "legal"] });
 */
export async function updateSnapshot(
  session: ManifestWriter,
  snapshot: Snapshot,
  options: CallOptions = {},
): Promise<Snapshot> {
  const updated = putSnapshot(session, snapshot);
  if (snapshot.id !== "") await session.deleteManifest(snapshot.id, options);
  return updated;
}

/**
 * Adds and removes pins; of a pin that is in both lists the removal counts. A pinned snapshot does not expire.
 * @returns the snapshot with its new id, or the very same when nothing changes
 * @example
 * const { id } = await pinSnapshot(session, snapshot, { add: ["legal"] });
 */
export async function pinSnapshot(
  session: ManifestWriter,
  snapshot: Snapshot,
  options: CallOptions & {
    readonly add?: readonly string[] | undefined;
    readonly remove?: readonly string[] | undefined;
  },
): Promise<Snapshot> {
  const { add = [], remove = [], signal } = options;
  const before = new Set(snapshot.pins);
  const after = new Set([...before, ...add]);
  for (const pin of remove) after.delete(pin);
  if (after.size === before.size && [...after].every((pin) => before.has(pin))) return snapshot;
  return updateSnapshot(session, { ...snapshot, pins: [...after].sort(compareUtf8) }, { signal });
}

/** Deletes snapshots. What only they refer to goes with the garbage that maintenance collects. */
export async function deleteSnapshots(
  session: ManifestWriter,
  snapshots: Iterable<Pick<Snapshot, "id">>,
  options: CallOptions = {},
): Promise<void> {
  for (const { id } of snapshots) await session.deleteManifest(id, options);
}
