/**
 * The directories of a restore, each open until everything in it is done; then it gets its attributes and is looked at.
 * Proof: test/restore-tree.test.ts, test/restore-hostile.test.ts.
 * @module
 */
import { closeSync, fsyncSync, mkdirSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { ConflictError, StorageError } from "@dm/core";
import type { DirectoryEntry } from "../../directory-entry.ts";
import type { RestoreLedger } from "../../restore/ledger.ts";
import type { RestoreOptions } from "../../restore/restore-types.ts";
import type { Posix } from "../posix/posix.ts";
import { attributesOf, setAttributes } from "./attributes.ts";
import { failureOf, systemCode } from "./failures.ts";
import type { WorkSettings } from "./file-work.ts";
import {
  enterDirectory,
  type OpenDirectory,
  openDirectory,
  removeEntry,
  removeLeftovers,
} from "./target-directory.ts";

/** A directory that is being restored, until the last of its entries is done. */
export interface DirectoryInProgress {
  readonly open: OpenDirectory;
  /** Undefined for a directory that only holds the target: its attributes are not ours. */
  readonly entry: DirectoryEntry | undefined;
  readonly path: string;
  /** The walk through it, and entries that are under way. */
  pending: number;
  /** Entries that were restored into it. */
  count: number;
}

export interface DirectoriesParts {
  readonly options: RestoreOptions;
  readonly settings: WorkSettings;
  readonly posix: Posix;
  readonly ledger: RestoreLedger;
}

export class Directories {
  readonly #parts: DirectoriesParts;
  readonly #open = new Set<DirectoryInProgress>();

  constructor(parts: DirectoriesParts) {
    this.#parts = parts;
  }

  /**
   * The directory at the target, made if it is missing.
   * @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT`
   * @throws {StorageError} `DM_RESTORE_FAILED`, `DM_RESTORE_NO_SPACE`
   */
  openTarget(path: string, entry: DirectoryEntry | undefined): DirectoryInProgress {
    let open: OpenDirectory;
    try {
      open = openDirectory(path, makeTarget(path));
    } catch (error) {
      throw targetError(error, path);
    }
    const { overwriteDirectories = true } = this.#parts.options;
    if (entry && !overwriteDirectories && readdirSync(open.prefix).length > 0) {
      closeSync(open.fd);
      throw new ConflictError(
        "DM_RESTORE_TARGET_CONFLICT",
        `${path} is not empty, and is not to be overwritten`,
        { path },
      );
    }
    return this.#begin({ open, entry, path: "", pending: 1, count: 0 });
  }

  /** A directory in another; undefined when it cannot be, which is a loss. */
  enter(
    parent: DirectoryInProgress,
    entry: DirectoryEntry,
    path: string,
  ): DirectoryInProgress | undefined {
    const { ledger, options } = this.#parts;
    const { overwriteDirectories = true } = options;
    try {
      const open = enterDirectory(parent.open, entry.name, overwriteDirectories);
      parent.count += 1;
      return this.#begin({ open, entry, path, pending: 1, count: 0 });
    } catch (error) {
      const { code, reason } = failureOf(error, parent.open.prefix);
      ledger.lose(path, code, `${reason}; nothing in it was restored`);
      return undefined;
    }
  }

  #begin(directory: DirectoryInProgress): DirectoryInProgress {
    this.#open.add(directory);
    if (!directory.open.isFresh) removeLeftovers(directory.open);
    return directory;
  }

  /** One of the things that kept a directory open is done; after the last it gets its attributes. */
  leave(directory: DirectoryInProgress): void {
    directory.pending -= 1;
    if (directory.pending > 0) return;
    const { entry, open, path } = directory;
    try {
      if (entry) this.#finish(directory, entry);
    } catch (error) {
      const { code, reason } = failureOf(error, open.prefix);
      this.#parts.ledger.lose(path, code, reason);
    }
    this.#open.delete(directory);
    closeSync(open.fd);
  }

  #finish({ count, open, path }: DirectoryInProgress, entry: DirectoryEntry): void {
    const { ledger, options, posix, settings } = this.#parts;
    const { directoryTimes } = options;
    const { summary } = entry;
    const modifiedAtNs =
      directoryTimes === "newest" && path !== "" && summary
        ? summary.maxModifiedAtNs
        : entry.modifiedAtNs;
    const wanted = { ...attributesOf(entry), modifiedAtNs };
    const done = setAttributes(open.fd, `${open.prefix}.`, wanted, settings, posix);
    if (settings.flush) fsyncSync(open.fd);
    if (done.isOwnerLost) ledger.loseOwner();
    if (done.differences.length > 0)
      ledger.lose(path, "DM_RESTORE_DIFFERS", done.differences.join("; "));
    ledger.directories += 1;
    if (!open.isFresh) return;
    // Where capitals do not count, the last of several files has taken the place of the others.
    const found = readdirSync(open.prefix).length;
    if (found < count) {
      const reason = `${count} entries were restored into it and ${found} are there: this file system takes some of their names for the same`;
      ledger.lose(path, "DM_RESTORE_DIFFERS", reason);
    }
  }

  /** Removes what a directory of the snapshot does not hold, or holds as another type. */
  deleteExtra({ open, path }: DirectoryInProgress, entries: readonly DirectoryEntry[]): void {
    const { ledger } = this.#parts;
    const isDirectoryByName = new Map(entries.map(({ name, type }) => [name, type === "d"]));
    for (const found of readdirSync(open.prefix, { withFileTypes: true })) {
      if (isDirectoryByName.get(found.name) === found.isDirectory()) continue;
      try {
        removeEntry(open, found.name, ledger.deleted);
      } catch (error) {
        const { code, reason } = failureOf(error, open.prefix);
        const extraPath = path === "" ? found.name : `${path}/${found.name}`;
        ledger.lose(extraPath, code, `cannot be deleted: ${reason}`);
      }
    }
  }

  /** Lets go of all directories, without their attributes. */
  close(): void {
    for (const { open } of this.#open) closeSync(open.fd);
    this.#open.clear();
  }
}

/** Answers whether it was made. */
function makeTarget(path: string): boolean {
  mkdirSync(dirname(path), { recursive: true });
  try {
    mkdirSync(path, 0o700);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}

function targetError(error: unknown, path: string): unknown {
  if (["ENOTDIR", "EEXIST"].includes(systemCode(error))) {
    return new ConflictError(
      "DM_RESTORE_TARGET_CONFLICT",
      `cannot restore to ${path}: it is no directory`,
      { path },
      { cause: error },
    );
  }
  const { code, reason } = failureOf(error, dirname(path));
  const text = `cannot restore to ${path}: ${reason}`;
  return new StorageError(code, text, { path }, { cause: error });
}
