/**
 * All versions of one path over the snapshots that cover it: those of its own source and of every directory above it.
 * Directories that did not change between two snapshots are not read again. Proof: test/history.test.ts.
 * @module
 */
import type { DmError } from "@dm/core";
import { isDamage } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import type { Snapshot, SnapshotSource } from "./snapshot-codec.ts";
import { type ListSnapshotsOptions, listSnapshots, type ManifestSource } from "./snapshots.ts";
import { pathBelow } from "./source/source-path.ts";
import { type ObjectSource, partsOf, readDirectory } from "./tree.ts";

/** A snapshot in which a path may be found, and where. */
export interface CoveringSnapshot {
  readonly snapshot: Snapshot;
  /** Of the path that was asked for, below the root of the snapshot; empty for the root. */
  readonly path: string;
}

/** A path as consecutive snapshots have it. */
export interface PathVersion {
  /** Undefined while the path was not there. */
  readonly entry: DirectoryEntry | undefined;
  /** Consecutive snapshots that hold this version, oldest first; at least one. */
  readonly snapshots: readonly CoveringSnapshot[];
  /** Start of the first of them. */
  readonly firstSeenAtNs: bigint;
  /** Start of the last of them. */
  readonly lastSeenAtNs: bigint;
}

/** Which snapshots count, and what becomes of damaged ones. */
export interface PathHistoryOptions extends CallOptions {
  /** Also incomplete snapshots; off by default. */
  readonly includeIncomplete?: boolean | undefined;
  /** Told of snapshots in which the path cannot be looked at, which are then left out; by default the first is thrown. */
  readonly onDamaged?: ((snapshot: Snapshot, error: DmError) => void) | undefined;
  /** As of `listSnapshots`. */
  readonly onInvalid?: ListSnapshotsOptions["onInvalid"];
}

/**
 * Snapshots of a path, and of the directories above it on the same host by the same user, by start: oldest first.
 * @throws {FormatError} `DM_SNAPSHOT_INVALID` as `listSnapshots`
 */
export async function snapshotsCovering(
  repository: ManifestSource,
  source: SnapshotSource,
  options: Omit<ListSnapshotsOptions, "source"> = {},
): Promise<CoveringSnapshot[]> {
  const { host, path, userName } = source;
  const all = await listSnapshots(repository, { ...options, source: { host, userName } });
  return all.flatMap((snapshot) => {
    const below = pathBelow(snapshot.source.path, path);
    return below === undefined ? [] : [{ snapshot, path: below }];
  });
}

/**
 * The versions of a path, oldest first: consecutive snapshots with the same entry (object, size, times, mode, owner) are one
 * version. It begins with the first snapshot that has the path; later snapshots without it are a version without an entry.
 * @throws what reading of directories throws, when there is no `onDamaged`
 * @example
 * const source = { host: "node1", userName: "root", path: "/data/app/config" };
 * for (const { entry, lastSeenAtNs } of await pathHistory(repository, source)) console.log(entry?.objectId, lastSeenAtNs);
 */
export async function pathHistory(
  repository: ManifestSource & ObjectSource,
  source: SnapshotSource,
  options: PathHistoryOptions = {},
): Promise<PathVersion[]> {
  const { includeIncomplete = false, onDamaged, onInvalid, signal } = options;
  const finders = new Map<string, Finder>();
  const versions: { entry: DirectoryEntry | undefined; snapshots: CoveringSnapshot[] }[] = [];
  for (const covering of await snapshotsCovering(repository, source, { signal, onInvalid })) {
    const { path, snapshot } = covering;
    const { incompleteReason, rootEntry } = snapshot;
    if (!rootEntry || (incompleteReason !== undefined && !includeIncomplete)) continue;
    const finder = finders.get(path) ?? new Finder(repository, path);
    finders.set(path, finder);
    try {
      const entry = await finder.find(rootEntry, { signal });
      const last = versions.at(-1);
      if (last && isSameVersion(last.entry, entry)) last.snapshots.push(covering);
      else if (last || entry) versions.push({ entry, snapshots: [covering] });
    } catch (error) {
      if (!onDamaged || !isDamage(error)) throw error;
      onDamaged(snapshot, error);
    }
  }
  return versions.map(({ entry, snapshots }) => ({
    entry,
    snapshots,
    firstSeenAtNs: snapshots[0]!.snapshot.startedAtNs,
    lastSeenAtNs: snapshots.at(-1)!.snapshot.startedAtNs,
  }));
}

function isSameVersion(a: DirectoryEntry | undefined, b: DirectoryEntry | undefined): boolean {
  if (!a || !b) return a === b;
  return (
    a.objectId === b.objectId &&
    a.type === b.type &&
    a.mode === b.mode &&
    a.sizeBytes === b.sizeBytes &&
    a.modifiedAtNs === b.modifiedAtNs &&
    a.uid === b.uid &&
    a.gid === b.gid
  );
}

/** Finds one path in one root after the other, and remembers what it led to where the directory is the same. */
class Finder {
  readonly #repository: ObjectSource;
  readonly #parts: readonly string[];
  /** For each part of the path: in which directory it was last looked for, and what was there. */
  readonly #last: ({ objectId: string; child: DirectoryEntry | undefined } | undefined)[] = [];

  constructor(repository: ObjectSource, path: string) {
    this.#repository = repository;
    this.#parts = partsOf(path);
  }

  async find(root: DirectoryEntry, options: CallOptions): Promise<DirectoryEntry | undefined> {
    let entry: DirectoryEntry | undefined = root;
    for (const [index, name] of this.#parts.entries()) {
      if (entry?.type !== "d") return undefined;
      entry = await this.#child(index, entry, name, options);
    }
    return entry;
  }

  async #child(
    index: number,
    directory: DirectoryEntry,
    name: string,
    options: CallOptions,
  ): Promise<DirectoryEntry | undefined> {
    const { objectId } = directory;
    const last = this.#last[index];
    if (last?.objectId === objectId) return last.child;
    const { entries } = await readDirectory(this.#repository, directory, options);
    const child = entries.find((entry) => entry.name === name);
    this.#last[index] = { objectId, child };
    return child;
  }
}
