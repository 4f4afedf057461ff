/**
 * Restores an entry of a snapshot and everything below it to a file system, and proves it: every file, link and directory is
 * looked at after it was written, and what is not as the snapshot says is a loss with its path and reason.
 *
 * The tree is walked in order; files go in groups to an executor, each group with few ranged reads of packs. A directory gets
 * its attributes when everything in it is done. Memory: the directories on the way to the current entry, at most
 * `maxInFlightBytes` of stored bytes, and in each thread one content. Why so: docs/decisions/0009-restore.md.
 * Proof: test/restore-golden.test.ts, test/restore-tree.test.ts, test/restore-hostile.test.ts.
 * @module
 */
import { closeSync, fsyncSync, mkdirSync, readdirSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { ConflictError, FormatError, mapConcurrent, Semaphore, StorageError } from "@dm/core";
import type { Repository } from "@dm/repo";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { refusedName } from "../../restore/entry-name.ts";
import { RestoreLedger } from "../../restore/ledger.ts";
import type { RestoreOptions, RestoreReport } from "../../restore/restore-types.ts";
import { isDamage, readDirectory, walkTree } from "../../tree.ts";
import { loadPosix } from "../posix/load-posix.ts";
import type { Posix } from "../posix/posix.ts";
import { setAttributes } from "./attributes.ts";
import { ByteBudget } from "./byte-budget.ts";
import { type Executor, inPlaceExecutor } from "./executor.ts";
import { type Failure, failureOf, systemCode } from "./failures.ts";
import {
  abandonFile,
  createFile,
  type EntryOutcome,
  type EntryWork,
  type FileInProgress,
  finishFile,
  isLeft,
  type WorkSettings,
} from "./file-work.ts";
import { loadContents, type NamedPiece, numberPieces, piecesOf } from "./load-contents.ts";
import {
  enterDirectory,
  type OpenDirectory,
  openDirectory,
  removeEntry,
  removeLeftovers,
} from "./target-directory.ts";

/** Entries of one group: few enough that a thread is soon done, and many enough that handing them over costs nothing. */
const groupEntries = 256;
/** Bytes of the files of one group, and of the pieces of a longer file that go together. */
const groupBytes = 8 << 20;
/** Files of one group whose indexes are read at once. */
const indexesAtOnce = 8;

/** A directory that is being restored, until the last of its entries is done. */
interface DirectoryInProgress {
  readonly open: OpenDirectory;
  /** Undefined for a directory that only holds the target: its attributes are not ours. */
  readonly entry: DirectoryEntry | undefined;
  readonly path: string;
  /** The walk through it, and entries that are under way. */
  pending: number;
}

/** A file or link to be restored. */
interface Task {
  readonly directory: DirectoryInProgress;
  readonly entry: DirectoryEntry;
  readonly path: string;
}

/**
 * Restores `entry` as `target`: a directory's entries into that directory, a file or link under that path.
 * What concerns one entry is a loss in the report, and the rest goes on.
 * @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT` when something else than a directory is at the target
 * @throws {StorageError} `DM_RESTORE_FAILED` when the target cannot be made or opened; and what reading throws when the
 * repository fails as a whole. What was restored by then stays, each file whole.
 * @example
 * const report = await restoreTree(repository, snapshot.rootEntry, "/restored");
 * for (const { path, reason } of report.losses) console.error(path, reason);
 */
export async function restoreTree(
  repository: Repository,
  entry: DirectoryEntry,
  target: string,
  options: RestoreOptions = {},
): Promise<RestoreReport> {
  const posix = await loadPosix();
  const settings = settingsOf(options);
  await using executor = inPlaceExecutor(settings, repository.contentReader, posix);
  const restore = new TreeRestore({ repository, options, settings, executor, posix, entry });
  await restore.run(resolve(target));
  return restore.ledger.report();
}

function settingsOf(options: RestoreOptions): WorkSettings {
  return {
    overwriteFiles: options.overwriteFiles ?? true,
    overwriteSymlinks: options.overwriteSymlinks ?? true,
    skipExisting: options.skipExisting ?? false,
    resume: options.resume ?? false,
    skipOwners: options.skipOwners ?? process.geteuid === undefined,
    skipPermissions: options.skipPermissions ?? false,
    skipTimes: options.skipTimes ?? false,
    ignorePermissionErrors: options.ignorePermissionErrors ?? true,
    sparse: options.sparse ?? true,
    flush: options.flush ?? false,
    verifyContent: options.verifyContent ?? false,
  };
}

interface Parts {
  readonly repository: Repository;
  readonly options: RestoreOptions;
  readonly settings: WorkSettings;
  readonly executor: Executor;
  readonly posix: Posix;
  readonly entry: DirectoryEntry;
}

class TreeRestore {
  readonly ledger: RestoreLedger;
  readonly #parts: Parts;
  readonly #budget: ByteBudget;
  readonly #groups: Semaphore;
  /** Aborted by the caller, or by the first failure that concerns everything. */
  readonly #signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #openDirectories = new Set<DirectoryInProgress>();
  #group: Task[] = [];
  #groupBytes = 0;

  constructor(parts: Parts) {
    const { entry, options } = parts;
    this.#parts = parts;
    this.ledger = new RestoreLedger(entry.summary, options.onProgress);
    this.#budget = new ByteBudget(options.maxInFlightBytes ?? 64 << 20);
    this.#groups = new Semaphore(options.parallel ?? 4);
    const own = this.#failed.signal;
    this.#signal = options.signal ? AbortSignal.any([options.signal, own]) : own;
    for (const loss of parts.posix.losses) this.ledger.notice(loss);
  }

  async run(target: string): Promise<void> {
    const { entry } = this.#parts;
    try {
      if (entry.type === "d") await this.#walk(entry, this.#openTarget(target, entry));
      else {
        const directory = this.#openTarget(dirname(target), undefined);
        await this.#add({ directory, entry: { ...entry, name: basename(target) }, path: "" });
        await this.#dispatch();
        this.#leave(directory);
      }
      while (this.#running.size > 0) await Promise.all(this.#running);
      this.#signal.throwIfAborted();
    } finally {
      this.#failed.abort();
      await Promise.allSettled(this.#running);
      for (const { open } of this.#openDirectories) closeSync(open.fd);
    }
  }

  #openTarget(path: string, entry: DirectoryEntry | undefined): DirectoryInProgress {
    let open: OpenDirectory;
    try {
      open = openDirectory(path, makeTarget(path));
    } catch (error) {
      const { code, reason } = failureOf(error, dirname(path));
      const text = `cannot restore to ${path}: ${reason}`;
      if (["ENOTDIR", "EEXIST"].includes(systemCode(error))) {
        throw new ConflictError(
          "DM_RESTORE_TARGET_CONFLICT",
          `cannot restore to ${path}: it is no directory`,
          { path },
          { cause: error },
        );
      }
      throw new StorageError(code, text, { path }, { cause: error });
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
    return this.#begin({ open, entry, path: "", pending: 1 });
  }

  #begin(directory: DirectoryInProgress): DirectoryInProgress {
    this.#openDirectories.add(directory);
    if (!directory.open.isFresh) removeLeftovers(directory.open);
    return directory;
  }

  async #walk(root: DirectoryEntry, target: DirectoryInProgress): Promise<void> {
    const { repository } = this.#parts;
    const above: DirectoryInProgress[] = [];
    let isEntered = true;
    const walk = walkTree(repository, root, {
      signal: this.#signal,
      descend: () => isEntered,
      onDamaged: ({ path }, { code, message }) => this.ledger.lose(path, code, message),
    });
    for await (const { depth, entry, path } of walk) {
      while (above.length > depth) this.#leave(above.pop()!);
      const parent = above.at(-1);
      if (!parent) {
        above.push(target);
        await this.#deleteExtra(target);
        continue;
      }
      const refused = refusedName(entry.name);
      isEntered = false;
      if (refused !== undefined) this.ledger.lose(path, "DM_RESTORE_NAME_REFUSED", refused);
      else if (entry.type === "d") {
        const directory = this.#enter(parent, entry, path);
        if (directory) {
          above.push(directory);
          isEntered = true;
          await this.#deleteExtra(directory);
        }
      } else if (entry.type === "f" || entry.type === "s") {
        await this.#add({ directory: parent, entry, path });
      } else {
        const reason = `entries of type ${JSON.stringify(entry.type)} are not known here`;
        this.ledger.lose(path, "DM_RESTORE_TYPE_UNKNOWN", reason);
      }
    }
    while (above.length > 0) this.#leave(above.pop()!);
    await this.#dispatch();
  }

  #enter(
    parent: DirectoryInProgress,
    entry: DirectoryEntry,
    path: string,
  ): DirectoryInProgress | undefined {
    const { overwriteDirectories = true } = this.#parts.options;
    try {
      const open = enterDirectory(parent.open, entry.name, overwriteDirectories);
      return this.#begin({ open, entry, path, pending: 1 });
    } catch (error) {
      const { code, reason } = failureOf(error, parent.open.prefix);
      this.ledger.lose(path, code, `${reason}; nothing in it was restored`);
      return undefined;
    }
  }

  /** One of the things that kept a directory open is done; after the last it gets its attributes. */
  #leave(directory: DirectoryInProgress): void {
    directory.pending -= 1;
    if (directory.pending > 0) return;
    const { entry, open, path } = directory;
    const { options, posix, settings } = this.#parts;
    try {
      if (entry) {
        const isNewest = options.directoryTimes === "newest" && path !== "" && entry.summary;
        const wanted = isNewest ? { ...entry, modifiedAtNs: isNewest.maxModifiedAtNs } : entry;
        const done = setAttributes(open.fd, `${open.prefix}.`, wanted, settings, posix);
        if (settings.flush) fsyncSync(open.fd);
        if (done.isOwnerLost) this.ledger.loseOwner();
        if (done.differences.length > 0)
          this.ledger.lose(path, "DM_RESTORE_DIFFERS", done.differences.join("; "));
        this.ledger.directories += 1;
      }
    } catch (error) {
      const { code, reason } = failureOf(error, open.prefix);
      this.ledger.lose(path, code, reason);
    }
    this.#openDirectories.delete(directory);
    closeSync(open.fd);
  }

  async #deleteExtra({ entry, open, path }: DirectoryInProgress): Promise<void> {
    const { options, repository } = this.#parts;
    if (!options.deleteExtra || !entry || open.isFresh) return;
    let isDirectoryByName: Map<string, boolean>;
    try {
      const { entries } = await readDirectory(repository, entry, { signal: this.#signal });
      isDirectoryByName = new Map(entries.map(({ name, type }) => [name, type === "d"]));
    } catch (error) {
      // The walk meets the same damage, and lists it; what belongs in here is not known.
      if (isDamage(error)) return;
      throw error;
    }
    for (const found of readdirSync(open.prefix, { withFileTypes: true })) {
      if (isDirectoryByName.get(found.name) === found.isDirectory()) continue;
      try {
        removeEntry(open, found.name, this.ledger.deleted);
      } catch (error) {
        const { code, reason } = failureOf(error, open.prefix);
        const extraPath = path === "" ? found.name : `${path}/${found.name}`;
        this.ledger.lose(extraPath, code, `cannot be deleted: ${reason}`);
      }
    }
  }

  async #add(task: Task): Promise<void> {
    task.directory.pending += 1;
    const { sizeBytes } = task.entry;
    if (sizeBytes > groupBytes) {
      await this.#streamFile(task);
      return;
    }
    if (this.#groupBytes + sizeBytes > groupBytes) await this.#dispatch();
    this.#group.push(task);
    this.#groupBytes += sizeBytes;
    if (this.#group.length >= groupEntries) await this.#dispatch();
  }

  /** Hands the current group over, once there is room for it. */
  async #dispatch(): Promise<void> {
    const tasks = this.#group;
    const bytes = this.#groupBytes;
    this.#group = [];
    this.#groupBytes = 0;
    if (tasks.length > 0) await this.#start(bytes, () => this.#restoreGroup(tasks));
  }

  /** Begins work, once there is room for its bytes; `ended` is told whatever became of it, also when it never began. */
  async #start(bytes: number, work: () => Promise<void>, ended?: () => void): Promise<void> {
    let releaseGroup: () => void;
    try {
      releaseGroup = await this.#groups.acquire({ signal: this.#signal });
    } catch (error) {
      ended?.();
      throw error;
    }
    const releaseBytes = await this.#budget.take(bytes);
    const running = (async () => {
      try {
        this.#signal.throwIfAborted();
        await work();
      } catch (error) {
        this.#failed.abort(error);
      }
      releaseBytes();
      releaseGroup();
      ended?.();
      this.ledger.tell();
    })();
    this.#running.add(running);
    running.finally(() => this.#running.delete(running));
  }

  async #restoreGroup(tasks: readonly Task[]): Promise<void> {
    const { executor, settings } = this.#parts;
    const wanted = tasks.filter((task) => {
      const settled = attempt(
        () => isLeft(workOf(task), settings),
        (error) => failureOf(error, task.directory.open.prefix),
      );
      if (settled === false) return true;
      this.#settle(
        task,
        settled === true ? { status: "skipped" } : { status: "failed", failure: settled },
      );
      return false;
    });
    const pieces = await mapConcurrent(wanted, (task) => this.#piecesOf(task), {
      concurrency: indexesAtOnce,
      signal: this.#signal,
    });
    const { ids, numbered } = numberPieces(pieces.map((found) => ("code" in found ? [] : found)));
    const loaded = await loadContents(this.#parts.repository, ids, { signal: this.#signal });
    const works = wanted.map((task, index): EntryWork => {
      const found = pieces[index]!;
      const failure = "code" in found ? found : undefined;
      return { ...workOf(task), pieces: numbered[index]!, failure };
    });
    const outcomes = await executor.restoreEntries(works, loaded);
    for (const [index, task] of wanted.entries()) this.#settle(task, outcomes[index]!);
  }

  /** The pieces of a file or link that goes with a group, or why there are none. */
  async #piecesOf({ entry }: Task): Promise<readonly NamedPiece[] | Failure> {
    const { repository } = this.#parts;
    const length = entry.type === "s" ? undefined : entry.sizeBytes;
    try {
      const pieces: NamedPiece[] = [];
      for await (const piece of piecesOf(repository, entry.objectId, length, {
        signal: this.#signal,
      }))
        pieces.push(piece);
      if (length !== undefined) checkLength(entry, pieces.at(-1));
      return pieces;
    } catch (error) {
      if (isDamage(error)) return { code: error.code, reason: error.message };
      throw error;
    }
  }

  /** A file that is too long for a group: its pieces go in groups of their own, in any order. */
  async #streamFile(task: Task): Promise<void> {
    const { executor, posix, repository, settings } = this.#parts;
    const { entry } = task;
    const work = workOf(task);
    const { prefix } = work.directory;
    const opened = attempt(
      () => (isLeft(work, settings) ? undefined : createFile(work, settings, posix)),
      (error) => failureOf(error, prefix, entry.sizeBytes),
    );
    if (opened === undefined || "code" in opened) {
      this.#settle(task, opened ? { status: "failed", failure: opened } : { status: "skipped" });
      return;
    }
    const file = new StreamedFile(opened, work);
    const send = async (pieces: readonly NamedPiece[], bytes: number): Promise<void> => {
      file.pending += 1;
      const write = async (): Promise<void> => {
        if (file.failure) return;
        const { ids, numbered } = numberPieces([pieces]);
        const loaded = await loadContents(repository, ids, { signal: this.#signal });
        const part = { fd: opened.fd, pieces: numbered[0]!, directory: prefix };
        const failure = await executor.writePieces({ ...part, sizeBytes: entry.sizeBytes }, loaded);
        file.failure ??= failure;
      };
      await this.#start(bytes, write, () => this.#endPiece(task, file));
    };
    try {
      let pieces: NamedPiece[] = [];
      let bytes = 0;
      let last: NamedPiece | undefined;
      const signal = this.#signal;
      for await (const piece of piecesOf(repository, entry.objectId, entry.sizeBytes, { signal })) {
        if (file.failure) break;
        last = piece;
        const length = piece.length ?? 0;
        if (pieces.length > 0 && bytes + length > groupBytes) {
          await send(pieces, bytes);
          pieces = [];
          bytes = 0;
        }
        pieces.push(piece);
        bytes += length;
      }
      if (!file.failure) {
        checkLength(entry, last);
        await send(pieces, bytes);
      }
    } catch (error) {
      if (!isDamage(error)) {
        this.#failed.abort(error);
        throw error;
      }
      file.failure ??= { code: error.code, reason: error.message };
    } finally {
      this.#endPiece(task, file);
    }
  }

  /** After the last of its pieces a long file is finished, or removed. */
  #endPiece(task: Task, file: StreamedFile): void {
    file.pending -= 1;
    if (file.pending > 0) return;
    const { posix, settings } = this.#parts;
    const { opened, work } = file;
    const isStopped = this.#signal.aborted;
    if (isStopped || file.failure) abandonFile(opened);
    if (isStopped) return;
    if (file.failure) {
      this.#settle(task, { status: "failed", failure: file.failure });
      return;
    }
    const outcome = attempt(
      () => finishFile(opened, work, settings, posix),
      (error): EntryOutcome => {
        abandonFile(opened);
        const failure = failureOf(error, work.directory.prefix, work.sizeBytes);
        return { status: "failed", failure };
      },
    );
    this.#settle(task, outcome);
  }

  #settle({ directory, entry, path }: Task, outcome: EntryOutcome): void {
    const { ledger } = this;
    if (outcome.status === "skipped") {
      ledger.skipped += 1;
      if (entry.type === "f") ledger.skippedBytes += entry.sizeBytes;
    } else if (outcome.status === "restored") {
      if (entry.type === "s") ledger.symlinks += 1;
      else {
        ledger.files += 1;
        ledger.bytes += entry.sizeBytes;
      }
      if (outcome.isOwnerLost) ledger.loseOwner();
    }
    if (outcome.status !== "skipped" && outcome.failure)
      ledger.lose(path, outcome.failure.code, outcome.failure.reason);
    this.#leave(directory);
  }
}

/** A long file while its pieces are under way. */
class StreamedFile {
  readonly opened: FileInProgress;
  readonly work: EntryWork;
  /** Groups of pieces under way, and the reading of its index. */
  pending = 1;
  failure: Failure | undefined;

  constructor(opened: FileInProgress, work: EntryWork) {
    this.opened = opened;
    this.work = work;
  }
}

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

function workOf({ directory, entry }: Task): EntryWork {
  const { gid, mode, modifiedAtNs, name, sizeBytes, uid } = entry;
  const type = entry.type === "s" ? "s" : "f";
  return {
    directory: directory.open,
    name,
    type,
    mode,
    modifiedAtNs,
    sizeBytes,
    uid,
    gid,
    pieces: [],
  };
}

/** @throws {FormatError} `DM_ENTRY_SIZE_MISMATCH` when an object ends elsewhere than its entry says */
function checkLength({ objectId, sizeBytes }: DirectoryEntry, last: NamedPiece | undefined): void {
  const length = last ? last.start + (last.length ?? 0) : 0;
  if (length === sizeBytes) return;
  throw new FormatError(
    "DM_ENTRY_SIZE_MISMATCH",
    `object ${objectId} has ${length} bytes, its entry says ${sizeBytes}`,
    { objectId, length, expected: sizeBytes },
  );
}

function attempt<Result, Other>(
  run: () => Result,
  failed: (error: unknown) => Other,
): Result | Other {
  try {
    return run();
  } catch (error) {
    return failed(error);
  }
}
