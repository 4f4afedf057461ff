/**
 * What leaves files and directories out, by name or object, while snapshots are written again.
 * Proof: test/name-pattern.test.ts, test/rewrite-snapshots.test.ts, test/rewrite-snapshots.kopia.test.ts.
 * @module
 */
import { compileNamePattern } from "./name-pattern.ts";
import type { RewriteEntry } from "./rewrite-tree.ts";

export interface RemovedFiles {
  /** Patterns of base names: see `compileNamePattern`. */
  readonly names?: readonly string[] | undefined;
  readonly objectIds?: readonly string[] | undefined;
}

/**
 * A `rewrite` for `rewriteSnapshots`. Directories go with all that is in them; a root that matches is an invalid one, for
 * a snapshot must have a root.
 * @throws {RangeError} when a name is no pattern
 * @example const rewrite = withoutFiles({ names: ["*.iso", "secrets.txt"] });
 */
export function withoutFiles({ names = [], objectIds = [] }: RemovedFiles): RewriteEntry {
  const patterns = names.map(compileNamePattern);
  const removed = new Set(objectIds);
  return async (entry) =>
    removed.has(entry.objectId) || patterns.some((matches) => matches(entry.name))
      ? undefined
      : entry;
}
