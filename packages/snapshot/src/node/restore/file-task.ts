/**
 * A file or link on its way to the disk.
 * @module
 */

import type { DirectoryEntry } from "../../directory-entry.ts";
import { decodeExtendedMetadata } from "../../extended-metadata.ts";
import { attributesOf } from "./attributes.ts";
import type { DirectoryInProgress } from "./directories.ts";
import type { EntryWork } from "./file-work.ts";

export interface Task {
  readonly directory: DirectoryInProgress;
  readonly entry: DirectoryEntry;
  readonly path: string;
}

/** What an executor is told of it; the pieces are added when they are known. */
export function workOf({ directory, entry }: Task): EntryWork {
  const { name, sizeBytes } = entry;
  const type = entry.type === "s" ? "s" : "f";
  return { ...attributesOf(entry), directory: directory.open, name, type, sizeBytes, pieces: [] };
}

/** Of a file that has other names in the snapshot, as far as that was kept. */
export function linkIdOf({ type, unknownMembers }: DirectoryEntry): string | undefined {
  if (type !== "f" || unknownMembers === undefined) return undefined;
  return decodeExtendedMetadata(unknownMembers).linkId;
}
