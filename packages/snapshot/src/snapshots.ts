/**
 * The snapshots of a repository: manifests of the type `snapshot`.
 * Format: docs/format/snapshots.md. Proof: test/golden.test.ts, test/snapshots.test.ts.
 * @module
 */
import { type DmError, isDmError, NotFoundError } from "@dm/core";
import { type ManifestEntry, objectId, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { decodeSnapshotManifest, type Snapshot, type SnapshotSource } from "./snapshot-codec.ts";

/** What is needed of a repository to find snapshots. */
export type ManifestSource = Pick<Repository, "findManifests" | "readManifest">;

/** Which snapshots are listed. */
export interface ListSnapshotsOptions extends CallOptions {
  /** Only those of this host, user or path; all by default. */
  readonly source?: Partial<SnapshotSource> | undefined;
  /** Only those that carry all these tags. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** Told of manifests that cannot be read, which are then left out; by default the first one is thrown. */
  readonly onInvalid?: ((manifestId: string, error: DmError) => void) | undefined;
}

const manifestType = "snapshot";
const sourceLabels = { host: "hostname", userName: "username", path: "path" } as const;
const reservedLabels: ReadonlySet<string> = new Set(["type", ...Object.values(sourceLabels)]);

/**
 * Labels under which the manifest of a snapshot is stored and found.
 * @throws {RangeError} when a part of the source is empty, or a tag is called like one of the four labels
 */
export function snapshotLabels(
  source: SnapshotSource,
  tags: Readonly<Record<string, string>> = {},
): Record<string, string> {
  for (const tag of Object.keys(tags)) {
    if (reservedLabels.has(tag)) throw new RangeError(`a tag cannot be called ${tag}`);
  }
  const labels: Record<string, string> = { ...tags, type: manifestType };
  for (const part of ["host", "userName", "path"] as const) {
    if (source[part] === "") throw new RangeError(`the source of a snapshot has no ${part}`);
    labels[sourceLabels[part]] = source[part];
  }
  return labels;
}

/**
 * Snapshots, complete or not, by start: oldest first. Reads manifests only.
 * @throws {FormatError} `DM_SNAPSHOT_INVALID` when a manifest cannot be read and there is no `onInvalid`
 * @example
 * for (const { id, source } of await listSnapshots(repository)) console.log(id, source.path);
 */
export async function listSnapshots(
  repository: Pick<ManifestSource, "findManifests">,
  options: ListSnapshotsOptions = {},
): Promise<Snapshot[]> {
  const { onInvalid, signal, source = {}, tags = {} } = options;
  const labels: Record<string, string> = { ...tags, type: manifestType };
  for (const part of ["host", "userName", "path"] as const) {
    const value = source[part];
    if (value !== undefined) labels[sourceLabels[part]] = value;
  }
  const snapshots: Snapshot[] = [];
  for (const { data, id } of await repository.findManifests(labels, { signal })) {
    try {
      snapshots.push(decodeSnapshotManifest(data, id));
    } catch (error) {
      if (!onInvalid || !isDmError(error)) throw error;
      onInvalid(id, error);
    }
  }
  return snapshots.sort(compareByStart);
}

function compareByStart(a: Snapshot, b: Snapshot): number {
  if (a.startedAtNs !== b.startedAtNs) return a.startedAtNs < b.startedAtNs ? -1 : 1;
  if (a.endedAtNs !== b.endedAtNs) return a.endedAtNs < b.endedAtNs ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

/**
 * One snapshot by the id of its manifest.
 * @throws {NotFoundError} `DM_SNAPSHOT_NOT_FOUND`, also when the manifest is something else
 * @throws {FormatError} `DM_SNAPSHOT_INVALID`
 */
export async function openSnapshot(
  repository: ManifestSource,
  id: string,
  options: CallOptions = {},
): Promise<Snapshot> {
  let manifest: ManifestEntry | undefined;
  try {
    manifest = await repository.readManifest(id, options);
  } catch (error) {
    if (!isDmError(error, "DM_MANIFEST_NOT_FOUND")) throw error;
  }
  if (manifest?.labels["type"] !== manifestType) {
    throw new NotFoundError(
      "DM_SNAPSHOT_NOT_FOUND",
      `snapshot ${id} does not exist: it was deleted, has expired, or has a new id since it was edited or pinned`,
      { manifestId: id },
    );
  }
  return decodeSnapshotManifest(manifest.data, id);
}

/**
 * Snapshots as people name them: the one with this id, or all with this root object, oldest first.
 * @throws {NotFoundError} `DM_SNAPSHOT_NOT_FOUND` when there is none
 */
export async function findSnapshots(
  repository: ManifestSource,
  idOrRoot: string,
  options: CallOptions = {},
): Promise<Snapshot[]> {
  try {
    return [await openSnapshot(repository, idOrRoot, options)];
  } catch (error) {
    if (!isDmError(error, "DM_SNAPSHOT_NOT_FOUND")) throw error;
    const found = await snapshotsOfRoot(repository, idOrRoot, options);
    if (found.length === 0) throw error;
    return found;
  }
}

async function snapshotsOfRoot(
  repository: ManifestSource,
  root: string,
  { signal }: CallOptions,
): Promise<Snapshot[]> {
  const rootId = canonical(root);
  if (!rootId) return [];
  // One damaged manifest must not stand in the way of the others.
  const all = await listSnapshots(repository, { signal, onInvalid: () => {} });
  return all.filter(({ rootEntry }) => rootEntry && canonical(rootEntry.objectId) === rootId);
}

function canonical(text: string): string | undefined {
  try {
    return objectId(text);
  } catch {
    return undefined;
  }
}

/** `user@host:path`, for people. */
export const sourceText = ({ host, path, userName }: SnapshotSource): string =>
  `${userName}@${host}:${path}`;

/** A text that no other source has. */
export const sourceKey = ({ host, path, userName }: SnapshotSource): string =>
  `${userName}\0${host}\0${path}`;

/** The snapshots of each source, in the order given. */
export const bySource = (snapshots: readonly Snapshot[]): Snapshot[][] => [
  ...Map.groupBy(snapshots, ({ source }) => sourceKey(source)).values(),
];
