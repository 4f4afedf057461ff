/**
 * What differs between two trees, entry by entry. Equal object ids end the descent: what both have in common is not read.
 * Held are the directories on the way to the current entry. Proof: test/diff.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import { type ObjectSource, readDirectory } from "./tree.ts";

/** What of an entry differs besides its data. */
export type ChangedAttribute = "mode" | "size" | "modified" | "uid" | "gid";

export interface Difference {
  /** Relative to the roots, which have the empty path. */
  readonly path: string;
  /** Undefined when it was added. */
  readonly before?: DirectoryEntry | undefined;
  /** Undefined when it was removed. */
  readonly after?: DirectoryEntry | undefined;
  /** Both lead to the same object; only attributes differ. */
  readonly isSameObject: boolean;
  /** Of a directory with a summary, size and time are those of everything in it, as Kopia shows them. */
  readonly changed: readonly ChangedAttribute[];
}

/** An entry with the size and the time that count when two are compared. */
interface Compared {
  readonly entry: DirectoryEntry;
  readonly sizeBytes: number;
  readonly modifiedAtNs: bigint;
}

/**
 * Entries that were added, removed or changed, each directory before what is in it. A directory that became something else,
 * or the reverse, is one difference. What was removed or added is listed to its last file.
 * @throws {FormatError} `DM_TREE_TOO_DEEP`, and what reading of directories throws
 * @example
 * for await (const { path, before, after } of diffTrees(repository, old.rootEntry, new.rootEntry)) console.log(path);
 */
export async function* diffTrees(
  repository: ObjectSource,
  before: DirectoryEntry,
  after: DirectoryEntry,
  options: CallOptions = {},
): AsyncGenerator<Difference> {
  // Roots have their own time and no size, in Kopia's view.
  const roots = { path: "", before: asItIs(before), after: asItIs(after) };
  const open: Iterator<Pair>[] = [[roots].values()];
  for (let inner = open.at(-1); inner; inner = open.at(-1)) {
    options.signal?.throwIfAborted();
    const next = inner.next();
    if (next.done) {
      open.pop();
      continue;
    }
    const pair = next.value;
    const difference = compare(pair);
    if (difference) yield difference;
    if (difference?.isSameObject === false && isPairOfDirectories(pair)) {
      if (open.length > maxDepth) throw tooDeep(pair);
      open.push((await childrenOf(repository, pair, options)).values());
    }
  }
}

/** The deepest path of a Linux system call has 2,048 parts. */
const maxDepth = 1024;

function tooDeep({ path }: Pair): FormatError {
  return new FormatError(
    "DM_TREE_TOO_DEEP",
    `more than ${maxDepth} directories within each other`,
    {
      path,
    },
  );
}

interface Pair {
  readonly path: string;
  readonly before: Compared | undefined;
  readonly after: Compared | undefined;
}

const asItIs = (entry: DirectoryEntry): Compared => ({
  entry,
  sizeBytes: entry.sizeBytes,
  modifiedAtNs: entry.modifiedAtNs,
});

function asShown(entry: DirectoryEntry): Compared {
  const { summary, type } = entry;
  if (type !== "d" || !summary) return asItIs(entry);
  return { entry, sizeBytes: summary.totalBytes, modifiedAtNs: summary.maxModifiedAtNs };
}

function compare({ after, before, path }: Pair): Difference | undefined {
  const isSameObject = before?.entry.objectId === after?.entry.objectId;
  const changed = before && after ? changedAttributes(before, after) : [];
  if (isSameObject && changed.length === 0) return undefined;
  return { path, before: before?.entry, after: after?.entry, isSameObject, changed };
}

/** Two directories, or one and nothing. */
const isPairOfDirectories = ({ after, before }: Pair): boolean =>
  (before ?? after)?.entry.type === "d" && (after ?? before)?.entry.type === "d";

/** What is in the second, each beside its namesake in the first; then what only the first has. */
async function childrenOf(
  repository: ObjectSource,
  { after, before, path }: Pair,
  options: CallOptions,
): Promise<Pair[]> {
  const pathOf = (name: string): string => (path === "" ? name : `${path}/${name}`);
  const entriesOf = async (side: Compared | undefined): Promise<readonly DirectoryEntry[]> =>
    side ? (await readDirectory(repository, side.entry, options)).entries : [];
  const [olds, news] = await Promise.all([entriesOf(before), entriesOf(after)]);
  const old = new Map(olds.map((entry) => [entry.name, entry]));
  const pairs: Pair[] = [];
  for (const entry of news) {
    const was = old.get(entry.name);
    old.delete(entry.name);
    pairs.push({ path: pathOf(entry.name), before: was && asShown(was), after: asShown(entry) });
  }
  for (const entry of old.values())
    pairs.push({ path: pathOf(entry.name), before: asShown(entry), after: undefined });
  return pairs;
}

function changedAttributes(before: Compared, after: Compared): ChangedAttribute[] {
  const [a, b] = [before.entry, after.entry];
  const changed: ChangedAttribute[] = [];
  if (a.mode !== b.mode || a.type !== b.type) changed.push("mode");
  if (before.sizeBytes !== after.sizeBytes) changed.push("size");
  if (before.modifiedAtNs !== after.modifiedAtNs) changed.push("modified");
  if (a.uid !== b.uid) changed.push("uid");
  if (a.gid !== b.gid) changed.push("gid");
  return changed;
}

/** Differences of one kind of entry, as Kopia counts them. */
export interface DifferenceCounts {
  added: number;
  removed: number;
  /** Kopia counts a file twice when both its attributes and its data differ. */
  modified: number;
  sameContentButDifferentMetadata: number;
  sameContentButDifferentMode: number;
  sameContentButDifferentModificationTime: number;
  sameContentButDifferentUserOwner: number;
  sameContentButDifferentGroupOwner: number;
}

const noDifferences: DifferenceCounts = {
  added: 0,
  removed: 0,
  modified: 0,
  sameContentButDifferentMetadata: 0,
  sameContentButDifferentMode: 0,
  sameContentButDifferentModificationTime: 0,
  sameContentButDifferentUserOwner: 0,
  sameContentButDifferentGroupOwner: 0,
};

/** Counts differences the way `kopia diff` sums them up; its JSON form is Kopia's. */
export class DifferenceStatistics {
  readonly fileEntries: DifferenceCounts = { ...noDifferences };
  readonly directoryEntries: DifferenceCounts = { ...noDifferences };

  add({ after, before, changed, isSameObject }: Difference): void {
    const isDirectory = (entry: DirectoryEntry | undefined): boolean => entry?.type === "d";
    const of = (isOne: boolean): DifferenceCounts =>
      isOne ? this.directoryEntries : this.fileEntries;
    if (!before) of(isDirectory(after)).added += 1;
    else if (!after) of(isDirectory(before)).removed += 1;
    else if (isSameObject) addSameObject(of(isDirectory(before)), changed);
    else {
      if (changed.length > 0) of(isDirectory(before) && isDirectory(after)).modified += 1;
      if (before.type === "f" && after.type === "f") this.fileEntries.modified += 1;
    }
  }
}

/** A size that differs, though the object is the same, is not counted by itself. */
function addSameObject(counts: DifferenceCounts, changed: readonly ChangedAttribute[]): void {
  const counted = changed.filter((attribute) => attribute !== "size");
  if (counted.length > 0) counts.sameContentButDifferentMetadata += 1;
  if (changed.includes("mode")) counts.sameContentButDifferentMode += 1;
  if (changed.includes("modified")) counts.sameContentButDifferentModificationTime += 1;
  if (changed.includes("uid")) counts.sameContentButDifferentUserOwner += 1;
  if (changed.includes("gid")) counts.sameContentButDifferentGroupOwner += 1;
}
