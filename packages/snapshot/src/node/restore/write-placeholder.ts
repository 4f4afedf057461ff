/**
 * Writes placeholders of a shallow restore: `NAME.kopia-entry` in the place of a file, which holds its entry, and a directory of
 * that name with a file `.kopia-entry` in the place of a directory. A backup takes the entry up again, unread.
 * Format: docs/format/snapshots.md. Proof: test/shallow-restore.test.ts, test/shallow-restore.kopia.test.ts.
 * @module
 */
import { closeSync } from "node:fs";
import { utf8Encode } from "@dm/core";
import { type DirectoryEntry, encodeEntry } from "../../directory-entry.ts";
import { placeholderSuffix } from "../../upload/placeholder.ts";
import type { Posix } from "../posix/posix.ts";
import {
  abandonFile,
  createFile,
  type EntryOutcome,
  type EntryWork,
  finishFile,
  isLeft,
  type WorkSettings,
} from "./file-work.ts";
import { writeAll } from "./sparse-write.ts";
import { enterDirectory, type OpenDirectory } from "./target-directory.ts";

/** As what it stands for, but read-only and nothing that runs as somebody else. Errors are those of the file system. */
export function writePlaceholder(
  parent: OpenDirectory,
  entry: DirectoryEntry,
  settings: WorkSettings,
  posix: Posix,
): EntryOutcome {
  const name = entry.name + placeholderSuffix;
  if (entry.type !== "d") return writeEntry(parent, name, entry, settings, posix);
  const directory = enterDirectory(parent, name, true);
  try {
    return writeEntry(directory, placeholderSuffix, entry, settings, posix);
  } finally {
    closeSync(directory.fd);
  }
}

function writeEntry(
  directory: OpenDirectory,
  name: string,
  entry: DirectoryEntry,
  settings: WorkSettings,
  posix: Posix,
): EntryOutcome {
  const bytes = utf8Encode(`${encodeEntry(entry)}\n`);
  const { gid, mode, modifiedAtNs, uid } = entry;
  const work: EntryWork = {
    directory,
    name,
    type: "f",
    sizeBytes: bytes.length,
    pieces: [],
    mode: mode & 0o555,
    gid,
    modifiedAtNs,
    uid,
  };
  if (isLeft(work, settings, posix)) return { status: "skipped" };
  const file = createFile(work, settings, posix);
  try {
    writeAll(file.fd, bytes, 0);
    return finishFile(file, work, settings, posix);
  } catch (error) {
    abandonFile(file);
    throw error;
  }
}
