/**
 * Reading of trees: directories, paths, files, links, and a walk over everything. Nothing is held but the directories on
 * the way to the current entry. Proof: test/golden.test.ts, test/tree.test.ts.
 * @module
 */
import { type DmError, FormatError, NotFoundError, utf8Decode } from "@dm/core";
import { isDamage, isDirectoryObject, type ObjectReader, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { type Directory, decodeDirectory, maxDirectoryBytes } from "./directory-codec.ts";
import type { DirectoryEntry } from "./directory-entry.ts";

/** What is needed of a repository to read trees. */
export type ObjectSource = Pick<Repository, "openObject">;

/** One step of a walk. */
export interface TreeItem {
  /** Relative to the root, which has the empty path; parts are separated by slashes. */
  readonly path: string;
  readonly entry: DirectoryEntry;
  /** How many directories lie above: 0 for the root. */
  readonly depth: number;
}

/** How far a walk goes, and what becomes of damage. */
export interface WalkOptions extends CallOptions {
  /** Directories within each other; 1,024 by default. The deepest path of a Linux system call has 2,048 parts. */
  readonly maxDepth?: number | undefined;
  /** Whether to read what is in a directory; all by default. */
  readonly descend?: ((item: TreeItem) => boolean) | undefined;
  /** Told of directories that cannot be read, after which the walk goes on; by default the first one is thrown. */
  readonly onDamaged?: ((item: TreeItem, error: DmError) => void) | undefined;
}

/** Directories within each other; more are a sign of damage. */
export const defaultMaxDepth = 1024;

/**
 * An entry for an object of which nothing else is known, as Kopia shows it: a directory of mode 0555 when the object is
 * one, else a file of mode 0644.
 */
export function entryOfObject(objectId: string): DirectoryEntry {
  const isDirectory = isDirectoryObject(objectId);
  return {
    name: "",
    type: isDirectory ? "d" : "f",
    mode: isDirectory ? 0o555 : 0o644,
    sizeBytes: 0,
    modifiedAtNs: 0n,
    uid: 0,
    gid: 0,
    objectId,
  };
}

/**
 * An entry of a directory as Kopia shows it: a directory has the size and the newest time of what is in it. Roots of
 * snapshots are shown as they are.
 */
export function shownEntry(entry: DirectoryEntry): DirectoryEntry {
  const { summary, type } = entry;
  if (type !== "d" || !summary) return entry;
  return { ...entry, sizeBytes: summary.totalBytes, modifiedAtNs: summary.maxModifiedAtNs };
}

/**
 * The entries of a directory and its summary. Of entries with equal names only the last is there, as for Kopia.
 * @throws {TypeError} when the entry is no directory
 * @throws {FormatError} `DM_DIRECTORY_INVALID`, and what reading of objects throws
 */
export async function readDirectory(
  repository: ObjectSource,
  entry: DirectoryEntry,
  options: CallOptions = {},
): Promise<Directory> {
  if (entry.type !== "d") throw new TypeError(`${JSON.stringify(entry.name)} is no directory`);
  const object = await repository.openObject(entry.objectId, options);
  if (object.length > maxDirectoryBytes) {
    throw new FormatError(
      "DM_DIRECTORY_INVALID",
      `directory ${entry.objectId} has ${object.length} bytes, more than ${maxDirectoryBytes}`,
      { objectId: entry.objectId, length: object.length },
    );
  }
  const directory = decodeDirectory(await object.read(options), entry.objectId);
  const byName = new Map(directory.entries.map((child) => [child.name, child]));
  if (byName.size === directory.entries.length) return directory;
  return { ...directory, entries: [...byName.values()] };
}

/**
 * Everything below an entry, itself first, each directory before what is in it; the next directory is read when the walk
 * comes to it. A directory that contains itself is refused.
 * @throws {FormatError} `DM_DIRECTORY_CYCLE`, `DM_TREE_TOO_DEEP`, `DM_DIRECTORY_INVALID`, and what reading of objects throws
 * @example
 * for await (const { path, entry } of walkTree(repository, snapshot.rootEntry)) console.log(path, entry.sizeBytes);
 */
export async function* walkTree(
  repository: ObjectSource,
  root: DirectoryEntry,
  options: WalkOptions = {},
): AsyncGenerator<TreeItem> {
  const { descend, maxDepth = defaultMaxDepth, onDamaged, signal } = options;
  /** Directories from the root to the current one, and what of them is still to come. */
  const open: Array<{ objectId: string; path: string; rest: Iterator<DirectoryEntry> }> = [];
  const openIds = new Set<string>();
  let item: TreeItem | undefined = { path: "", entry: root, depth: 0 };
  while (item) {
    signal?.throwIfAborted();
    yield item;
    const { entry, path } = item;
    if (entry.type === "d" && (descend?.(item) ?? true)) {
      try {
        checkNesting(item, openIds, maxDepth);
        const { entries } = await readDirectory(repository, entry, { signal });
        open.push({ objectId: entry.objectId, path, rest: entries.values() });
        openIds.add(entry.objectId);
      } catch (error) {
        if (!onDamaged || !isDamage(error)) throw error;
        onDamaged(item, error);
      }
    }
    item = undefined;
    for (let inner = open.at(-1); inner && !item; inner = open.at(-1)) {
      const next = inner.rest.next();
      if (next.done) {
        open.pop();
        openIds.delete(inner.objectId);
      } else {
        const { name } = next.value;
        const childPath = inner.path === "" ? name : `${inner.path}/${name}`;
        item = { path: childPath, entry: next.value, depth: open.length };
      }
    }
  }
}

/** @throws {FormatError} `DM_DIRECTORY_CYCLE`, `DM_TREE_TOO_DEEP` */
export function checkNesting(
  { depth, entry, path }: TreeItem,
  open: ReadonlySet<string>,
  maxDepth: number,
): void {
  const { objectId } = entry;
  if (open.has(objectId)) {
    throw new FormatError(
      "DM_DIRECTORY_CYCLE",
      `directory ${objectId} at ${JSON.stringify(path)} contains itself`,
      { objectId, path },
    );
  }
  if (depth >= maxDepth) {
    throw new FormatError(
      "DM_TREE_TOO_DEEP",
      `more than ${maxDepth} directories within each other, the last is ${objectId}`,
      { objectId, depth },
    );
  }
}

/**
 * The entry at a path below a directory; the empty path is the entry itself. Slashes at the ends and doubled ones do not
 * count. A name that has slashes of its own, as the device in a volume's snapshot, is found by its parts.
 * @throws {NotFoundError} `DM_ENTRY_NOT_FOUND`
 */
export async function findEntry(
  repository: ObjectSource,
  root: DirectoryEntry,
  path: string,
  options: CallOptions = {},
): Promise<DirectoryEntry> {
  const parts = partsOf(path);
  let entry = root;
  let at = 0;
  while (at < parts.length) {
    const rest = parts.slice(at);
    const { entries } =
      entry.type === "d" ? await readDirectory(repository, entry, options) : { entries: [] };
    const found =
      entries.find(({ name }) => name === rest[0]) ?? entries.find((e) => isAhead(e.name, rest));
    if (!found) {
      const place = parts.slice(0, at).join("/");
      throw new NotFoundError(
        "DM_ENTRY_NOT_FOUND",
        `there is no ${JSON.stringify(rest[0])} ${place === "" ? "at the top" : `in ${JSON.stringify(place)}`}`,
        { path, objectId: entry.objectId },
      );
    }
    at += found.name === rest[0] ? 1 : partsOf(found.name).length;
    entry = found;
  }
  return entry;
}

export const partsOf = (path: string): string[] => path.split("/").filter((part) => part !== "");

/** Whether a name with slashes in it is what the path goes on with. */
function isAhead(name: string, rest: readonly string[]): boolean {
  if (!name.includes("/")) return false;
  const parts = partsOf(name);
  return parts.length > 0 && parts.every((part, index) => part === rest[index]);
}

/**
 * The data of a file, or the text of a link as bytes.
 * @throws {TypeError} when the entry is a directory
 */
export async function openFile(
  repository: ObjectSource,
  entry: DirectoryEntry,
  options: CallOptions = {},
): Promise<ObjectReader> {
  if (entry.type === "d") throw new TypeError(`${JSON.stringify(entry.name)} is a directory`);
  return repository.openObject(entry.objectId, options);
}

/**
 * Where a symbolic link leads, as it was stored: never resolved. Bytes that are not UTF-8 become U+FFFD.
 * @throws {TypeError} when the entry is no link
 */
export async function readLink(
  repository: ObjectSource,
  entry: DirectoryEntry,
  options: CallOptions = {},
): Promise<string> {
  if (entry.type !== "s") throw new TypeError(`${JSON.stringify(entry.name)} is no symbolic link`);
  const object = await repository.openObject(entry.objectId, options);
  return utf8Decode(await object.read(options));
}
