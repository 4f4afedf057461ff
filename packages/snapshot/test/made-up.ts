/** Trees made up for tests: entries with defaults, and objects that exist only in a map. */
import { NotFoundError, utf8Encode } from "@dm/core";
import type { ObjectReader } from "@dm/repo";
import {
  type DirectoryEntry,
  encodeDirectory,
  type ObjectSource,
  summarizeDirectory,
} from "../src/index.ts";

export const entryOf = (entry: Partial<DirectoryEntry>): DirectoryEntry => ({
  name: "a",
  type: "f",
  mode: 0o644,
  sizeBytes: 0,
  modifiedAtNs: 1_700_000_000_000_000_001n,
  uid: 0,
  gid: 0,
  objectId: "",
  ...entry,
});

export const directoryBytes = (entries: readonly DirectoryEntry[]): Uint8Array =>
  encodeDirectory({ entries, summary: summarizeDirectory(entries, 0n) });

/** Objects by ids that are no hashes: what a repository with honest hashes can never hold. */
export function objectsOf(objects: Readonly<Record<string, Uint8Array | string>>): ObjectSource {
  return {
    async openObject(id) {
      const found = objects[id];
      if (found === undefined)
        throw new NotFoundError("DM_CONTENT_NOT_FOUND", `content ${id} is in no index`);
      const bytes = typeof found === "string" ? utf8Encode(found) : found;
      const reader: ObjectReader = {
        id,
        length: bytes.length,
        read: async () => bytes,
        async *stream() {
          yield bytes;
        },
      };
      return reader;
    },
  };
}
