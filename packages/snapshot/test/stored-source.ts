/** A tree of a snapshot as a source of the next one: what the tree was made of, as far as a snapshot tells. */
import type { Repository } from "@dm/repo";
import {
  type DirectoryEntry,
  openFile,
  readDirectory,
  type SourceDirectory,
  type SourceEntry,
  type SourceFile,
} from "../src/index.ts";

export function storedSource(repository: Repository, entry: DirectoryEntry): SourceEntry {
  const { gid, mode, modifiedAtNs, name, sizeBytes, type, uid } = entry;
  const metadata = { name, mode, sizeBytes, modifiedAtNs, uid, gid };
  if (type === "d") {
    return {
      ...metadata,
      type: "d",
      list: async (options) => {
        const { entries } = await readDirectory(repository, entry, options);
        return entries.map((child) => storedSource(repository, child));
      },
    } satisfies SourceDirectory;
  }
  if (type === "s") {
    return {
      ...metadata,
      type: "s",
      readTarget: async (options) => (await openFile(repository, entry, options)).read(options),
    };
  }
  return {
    ...metadata,
    type: "f",
    async *read({ from = 0, signal } = {}) {
      const object = await openFile(repository, entry, { signal });
      if (from > 0) yield await object.read({ offset: from, signal });
      else yield* object.stream({ signal });
    },
  } satisfies SourceFile;
}
