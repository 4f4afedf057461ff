/**
 * What differs between two trees, entry by entry. Equal object ids end the descent: what both have in common is not read.
 * Held are the directories on the way to the current entry. Proof: test/diff.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import { defaultMaxDepth, type ObjectSource, readDirectory, shownEntry } from "./tree.ts";

/** What of an entry differs besides its data. */
export type ChangedAttribute = "mode" | "size" | "modified" | "uid" | "gid";

/** One path that two trees do not have alike. */
export interface Difference {
  /** Relative to the roots, which have the empty path. */
  readonly path: string;
  /** Undefined when it was added. Below the roots, as `shownEntry` shows it: directories with what is in them. */
  readonly before?: DirectoryEntry | undefined;
  /** Undefined when it was removed. */
  readonly after?: DirectoryEntry | undefined;
  /** Both lead to the same object; only attributes differ. */
  readonly isSameObject: boolean;
  readonly changed: readonly ChangedAttribute[];
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
  const roots = { path: "", before, after };
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
      if (open.length > defaultMaxDepth) throw tooDeep(pair);
      open.push((await childrenOf(repository, pair, options)).values());
    }
  }
}

function tooDeep({ path }: Pair): FormatError {
  return new FormatError(
    "DM_TREE_TOO_DEEP",
    `more than ${defaultMaxDepth} directories within each other`,
    {
      path,
    },
  );
}

interface Pair {
  readonly path: string;
  readonly before: DirectoryEntry | undefined;
  readonly after: DirectoryEntry | undefined;
}

function compare({ after, before, path }: Pair): Difference | undefined {
  const isSameObject = before?.objectId === after?.objectId;
  const changed = before && after ? changedAttributes(before, after) : [];
  if (isSameObject && changed.length === 0) return undefined;
  return { path, before, after, isSameObject, changed };
}

/** Two directories, or one and nothing. */
const isPairOfDirectories = ({ after, before }: Pair): boolean =>
  (before ?? after)?.type === "d" && (after ?? before)?.type === "d";

/** What is in the second, each beside its namesake in the first; then what only the first has. */
async function childrenOf(
  repository: ObjectSource,
  { after, before, path }: Pair,
  options: CallOptions,
): Promise<Pair[]> {
  const pathOf = (name: string): string => (path === "" ? name : `${path}/${name}`);
  const entriesOf = async (side: DirectoryEntry | undefined): Promise<readonly DirectoryEntry[]> =>
    side ? (await readDirectory(repository, side, options)).entries : [];
  const [olds, news] = await Promise.all([entriesOf(before), entriesOf(after)]);
  const old = new Map(olds.map((entry) => [entry.name, entry]));
  const pairs: Pair[] = [];
  for (const entry of news) {
    const was = old.get(entry.name);
    old.delete(entry.name);
    pairs.push({
      path: pathOf(entry.name),
      before: was && shownEntry(was),
      after: shownEntry(entry),
    });
  }
  for (const entry of old.values())
    pairs.push({ path: pathOf(entry.name), before: shownEntry(entry), after: undefined });
  return pairs;
}

function changedAttributes(before: DirectoryEntry, after: DirectoryEntry): ChangedAttribute[] {
  const changed: ChangedAttribute[] = [];
  if (before.mode !== after.mode || before.type !== after.type) changed.push("mode");
  if (before.sizeBytes !== after.sizeBytes) changed.push("size");
  if (before.modifiedAtNs !== after.modifiedAtNs) changed.push("modified");
  if (before.uid !== after.uid) changed.push("uid");
  if (before.gid !== after.gid) changed.push("gid");
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
