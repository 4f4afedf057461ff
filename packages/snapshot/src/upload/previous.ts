/**
 * What previous snapshots hold at the place that is being uploaded: where an unchanged file is taken from, and where a large
 * file goes on that a run has left half done.
 * Format: docs/format/snapshots.md. Proof: test/upload.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import { isDamage } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { type Directory, storedDirectoryText } from "../directory-codec.ts";
import type { DirectoryEntry } from "../directory-entry.ts";
import { hasExtendedMetadata } from "../extended-metadata.ts";
import type { RawMember } from "../members.ts";
import type { Snapshot } from "../snapshot-codec.ts";
import type { SourceFile, SourceLink } from "../source/source-entry.ts";
import { type ObjectSource, readDirectory } from "../tree.ts";

const partialPrefix = ".checkpointed.";
/** A dot and a UUID. */
const partialSuffixLength = 37;

/** The name of a half-written file in a checkpoint; no other run finds it as the file itself. */
export const partialName = (name: string): string =>
  `${partialPrefix}${name}.${crypto.randomUUID()}`;

/** The name of the file that lies half written under this name in a checkpoint; undefined for a file of its own. */
export const fileOfPartial = (name: string): string | undefined =>
  name.startsWith(partialPrefix)
    ? name.slice(partialPrefix.length, -partialSuffixLength)
    : undefined;

/**
 * The snapshots that an upload may take from, by Kopia's rule: the newest complete one, and every incomplete one that was
 * started later. The complete one comes first.
 */
export function previousSnapshots(snapshots: readonly Snapshot[]): Snapshot[] {
  let complete: Snapshot | undefined;
  for (const snapshot of snapshots) {
    if (snapshot.incompleteReason) continue;
    if (!complete || snapshot.startedAtNs > complete.startedAtNs) complete = snapshot;
  }
  const later = snapshots.filter(
    ({ incompleteReason, startedAtNs }) =>
      incompleteReason && (!complete || startedAtNs > complete.startedAtNs),
  );
  return complete ? [complete, ...later] : later;
}

/** A directory as it was stored. */
export interface StoredDirectory {
  readonly objectId: string;
  readonly text: string;
}

/** The directories of previous snapshots at one place. */
export class PreviousDirectories {
  readonly #directories: readonly ReadonlyMap<string, DirectoryEntry>[];
  readonly #partials: ReadonlyMap<string, readonly DirectoryEntry[]>;
  /** Those of which the text is known. */
  readonly stored: readonly StoredDirectory[];

  private constructor(
    directories: readonly ReadonlyMap<string, DirectoryEntry>[],
    partials: ReadonlyMap<string, readonly DirectoryEntry[]>,
    stored: readonly StoredDirectory[] = [],
  ) {
    this.#directories = directories;
    this.#partials = partials;
    this.stored = stored;
  }

  static readonly none = new PreviousDirectories([], new Map());

  /** Snapshots of single files, as if their roots lay in one directory. */
  static ofFiles(snapshots: readonly Snapshot[]): PreviousDirectories {
    const maps: Map<string, DirectoryEntry>[] = [];
    const partials = new Map<string, DirectoryEntry[]>();
    for (const { incompleteReason, rootEntry } of snapshots)
      if (rootEntry?.type === "f") sortInto(maps, partials, [rootEntry], incompleteReason);
    return new PreviousDirectories(maps, partials);
  }

  /** Reads them. What is damaged counts as not there: then files are read. */
  static async read(
    repository: ObjectSource,
    entries: readonly DirectoryEntry[],
    logger: Logger,
    options: CallOptions,
  ): Promise<PreviousDirectories> {
    if (entries.length === 0) return PreviousDirectories.none;
    const maps: Map<string, DirectoryEntry>[] = [];
    const partials = new Map<string, DirectoryEntry[]>();
    const stored: StoredDirectory[] = [];
    for (const entry of entries) {
      const directory = await readUndamaged(repository, entry, logger, options);
      if (!directory) continue;
      sortInto(maps, partials, directory.entries, directory.summary.incompleteReason);
      const text = storedDirectoryText(directory);
      if (text !== undefined) stored.push({ objectId: entry.objectId, text });
    }
    return new PreviousDirectories(maps, partials, stored);
  }

  get isEmpty(): boolean {
    return this.#directories.length === 0;
  }

  /**
   * The entry of an unchanged file or link, by its exact name.
   * @param members what is kept beyond Kopia's metadata; undefined when that does not count
   */
  unchanged(
    name: string,
    source: SourceFile | SourceLink,
    members?: readonly RawMember[] | undefined,
  ): DirectoryEntry | undefined {
    for (const directory of this.#directories) {
      const entry = directory.get(name);
      if (!entry || entry.sizeBytes !== source.sizeBytes || !isSame(entry, source)) continue;
      if (!members || hasExtendedMetadata(entry.unknownMembers, members)) return entry;
    }
    return undefined;
  }

  /** Objects with the beginning of this very file, from runs that were cut off; the longest first. */
  beginningsOf(name: string, source: SourceFile): readonly DirectoryEntry[] {
    const found = this.#partials.get(name) ?? [];
    return found
      .filter((entry) => entry.sizeBytes <= source.sizeBytes && isSame(entry, source))
      .sort((a, b) => b.sizeBytes - a.sizeBytes);
  }

  /** The directories of this name; of those with equal objects one. */
  directoriesCalled(name: string): DirectoryEntry[] {
    const found: DirectoryEntry[] = [];
    for (const directory of this.#directories) {
      const entry = directory.get(name);
      if (entry?.type !== "d") continue;
      if (!found.some(({ objectId }) => objectId === entry.objectId)) found.push(entry);
    }
    return found;
  }
}

function sortInto(
  maps: Map<string, DirectoryEntry>[],
  partials: Map<string, DirectoryEntry[]>,
  entries: readonly DirectoryEntry[],
  incompleteReason: string | undefined,
): void {
  const map = new Map<string, DirectoryEntry>();
  for (const entry of entries) {
    const name = incompleteReason === undefined ? undefined : fileOfPartial(entry.name);
    if (name === undefined) map.set(entry.name, entry);
    else partials.set(name, [...(partials.get(name) ?? []), entry]);
  }
  maps.push(map);
}

/** Everything that Kopia compares but the size. */
function isSame(entry: DirectoryEntry, source: SourceFile | SourceLink): boolean {
  return (
    entry.modifiedAtNs === source.modifiedAtNs &&
    entry.type === source.type &&
    entry.mode === source.mode &&
    entry.uid === source.uid &&
    entry.gid === source.gid &&
    entry.objectId !== ""
  );
}

async function readUndamaged(
  repository: ObjectSource,
  entry: DirectoryEntry,
  logger: Logger,
  options: CallOptions,
): Promise<Directory | undefined> {
  try {
    return await readDirectory(repository, entry, options);
  } catch (error) {
    if (!isDamage(error)) throw error;
    logger.warn("Left out directory of previous snapshot", {
      objectId: entry.objectId,
      code: error.code,
    });
    return undefined;
  }
}
