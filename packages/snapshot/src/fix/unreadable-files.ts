/**
 * What finds files that cannot be read while snapshots are written again.
 * Proof: test/rewrite-snapshots.test.ts, test/rewrite-snapshots.kopia.test.ts.
 * @module
 */
import { toHex } from "@dm/core";
import { lengthsOfPacks, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { checkContents, readWhole } from "../verify/check-object.ts";
import { fileChooser } from "../verify/file-choice.ts";
import type { RewriteEntry } from "./rewrite-tree.ts";

export interface UnreadableFilesOptions extends CallOptions {
  /** Share of the files whose data is read, 0 to 1; 0 by default: only index and packs are looked at. */
  readonly readFiles?: number | undefined;
  /** Chooses, with the id of its object, whether a file is in the share; a new one by default. */
  readonly seed?: string | undefined;
}

/**
 * A `rewrite` for `rewriteSnapshots` that leaves every entry as it is and throws the damage of files and links: contents
 * that no index names, packs that are gone or too short, data that does not authenticate. Directories are checked by
 * the rewriting itself. Each object is looked at once. Memory: the lengths of all packs, and the ids of the objects seen.
 * @throws {RangeError} when `readFiles` is no share
 * @example
 * const rewrite = await unreadableFiles(repository, { readFiles: 1 });
 * await rewriteSnapshots(repository, snapshots, { rewrite, invalidFiles: "remove", commit: true });
 */
export async function unreadableFiles(
  repository: Repository,
  options: UnreadableFilesOptions = {},
): Promise<RewriteEntry> {
  const { readFiles = 0, seed = toHex(repository.randomBytes(8)), signal } = options;
  const isChosen = fileChooser({ share: readFiles, from: 0, seed });
  await repository.refresh({ signal });
  const packLengths = await lengthsOfPacks(repository.store, { signal });
  const sound = new Set<string>();
  return async (entry) => {
    const { objectId, type } = entry;
    if (type === "d" || sound.has(objectId)) return entry;
    await checkContents(repository, entry, packLengths, { signal });
    if (isChosen(objectId)) await readWhole(repository, entry, { signal });
    sound.add(objectId);
    return entry;
  };
}
