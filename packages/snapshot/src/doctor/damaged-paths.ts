/**
 * Where in a snapshot damaged objects lie: many snapshots have them in common, and each is to be told its own files.
 * Every directory is read once for all snapshots. Memory: up to 1,000 paths for each directory with damage. Proof: test/doctor-repair.test.ts.
 * @module
 */
import type { DmError } from "@dm/core";
import { isDamage, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import { readDirectory } from "../tree.ts";

/** A damaged file or directory. */
export interface DamagedPath {
  /** From the entry that was asked for, which has the empty path. */
  readonly path: string;
  readonly error: DmError;
}

/** The damage at and below an entry, in the order of the directories. */
export interface DamagedPaths {
  /** The first of them, at most {@link maxPathsEach}. */
  readonly first: readonly DamagedPath[];
  /** Of all. */
  readonly count: number;
}

/** Paths that are kept for one directory: whoever has lost more looks at the directory, not at a list. */
export const maxPathsEach = 1000;

const none: DamagedPaths = { first: [], count: 0 };

/** Answers the damage at and below an entry. `errors` are by object. */
export function damagedPaths(
  repository: Repository,
  errors: ReadonlyMap<string, DmError>,
  options: CallOptions,
): (entry: DirectoryEntry) => Promise<DamagedPaths> {
  const known = new Map<string, DamagedPaths>();
  const pathsOf = async (entry: DirectoryEntry): Promise<DamagedPaths> => {
    const { objectId, type } = entry;
    const error = errors.get(objectId);
    if (error) return { first: [{ path: "", error }], count: 1 };
    if (type !== "d") return none;
    const before = known.get(objectId);
    if (before) return before;
    // Also the answer for a directory that contains itself.
    known.set(objectId, none);
    const first: DamagedPath[] = [];
    let count = 0;
    try {
      for (const child of (await readDirectory(repository, entry, options)).entries) {
        const below = await pathsOf(child);
        count += below.count;
        for (const { error, path } of below.first.slice(0, maxPathsEach - first.length))
          first.push({ path: path === "" ? child.name : `${child.name}/${path}`, error });
      }
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      return { first: [{ path: "", error: cause }], count: 1 };
    }
    const paths = count > 0 ? { first, count } : none;
    known.set(objectId, paths);
    return paths;
  };
  return pathsOf;
}
