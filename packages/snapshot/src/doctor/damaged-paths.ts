/**
 * Where in a snapshot damaged objects lie: many snapshots have them in common, and each is to be told its own files.
 * Every directory is read once for all snapshots. Proof: test/doctor-repair.test.ts.
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

/** Answers the damage at and below an entry, in the order of the directories. `errors` are by object. */
export function damagedPaths(
  repository: Repository,
  errors: ReadonlyMap<string, DmError>,
  options: CallOptions,
): (entry: DirectoryEntry) => Promise<readonly DamagedPath[]> {
  const known = new Map<string, readonly DamagedPath[]>();
  const none: readonly DamagedPath[] = [];
  const pathsOf = async (entry: DirectoryEntry): Promise<readonly DamagedPath[]> => {
    const { objectId, type } = entry;
    const error = errors.get(objectId);
    if (error) return [{ path: "", error }];
    if (type !== "d") return none;
    const before = known.get(objectId);
    if (before) return before;
    // Also the answer for a directory that contains itself.
    known.set(objectId, none);
    const paths: DamagedPath[] = [];
    try {
      for (const child of (await readDirectory(repository, entry, options)).entries)
        for (const inner of await pathsOf(child))
          paths.push({
            path: inner.path === "" ? child.name : `${child.name}/${inner.path}`,
            error: inner.error,
          });
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      paths.push({ path: "", error: cause });
    }
    if (paths.length > 0) known.set(objectId, paths);
    return paths;
  };
  return pathsOf;
}
