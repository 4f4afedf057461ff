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
import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { ConflictError, isDmError, mapConcurrent } from "@dm/core";
import { isDamage, type Repository } from "@dm/repo";
import { isNearby } from "@dm/storage";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { refusedName } from "../../restore/entry-name.ts";
import { RestoreLedger } from "../../restore/ledger.ts";
import type { RestoreOptions, RestoreReport } from "../../restore/restore-types.ts";
import { readDirectory, walkTree } from "../../tree.ts";
import { loadPosix } from "../posix/load-posix.ts";
import type { Posix } from "../posix/posix.ts";
import { Directories, type DirectoryInProgress } from "./directories.ts";
import { type Executor, inPlaceExecutor } from "./executor.ts";
import { failureOf } from "./failures.ts";
import { linkIdOf, type Task, workOf } from "./file-task.ts";
import { type EntryOutcome, type EntryWork, isLeft, type WorkSettings } from "./file-work.ts";
import { HardLinks } from "./hard-links.ts";
import { loadContents, numberPieces, piecesOfEntry } from "./load-contents.ts";
import { restoreLongFile } from "./long-file.ts";
import { WorkQueue } from "./work-queue.ts";
import { workerExecutor } from "./worker-executor.ts";
import { writePlaceholder } from "./write-placeholder.ts";

/** Entries of one group: few enough that a thread is soon done, and many enough that handing them over costs nothing. */
const groupEntries = 256;
/** Bytes of the files of one group; longer files go by themselves. */
const groupBytes = 8 << 20;
/** Files that are tried again after a file system was full; each keeps its directory open. */
const maxRetried = 256;
/** Files of one group whose indexes are read at once. */
const indexesAtOnce = 8;

/**
 * Restores `entry` as `target`: a directory's entries into that directory, a file or link under that path.
 * What concerns one entry is a loss in the report, and the rest goes on.
 * @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT` when something else than a directory is at the target, or a device or a
 * pipe where a file is to be
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
  if (entry.type !== "d") refuseSpecial(resolve(target));
  const posix = await loadPosix();
  const settings = settingsOf(options);
  const known = await withSummary(repository, entry, options);
  await using executor = executorFor(repository, known, settings, posix, options);
  const restore = new TreeRestore({ repository, options, settings, executor, posix, entry: known });
  await restore.run(resolve(target));
  return restore.ledger.report();
}

/** Across a network more is under way, so that waiting for answers does not decide how long a restore takes. */
const inFlight = {
  nearby: { maxInFlightBytes: 32 << 20, parallel: 4 },
  remote: { maxInFlightBytes: 64 << 20, parallel: 16 },
} as const;

/** A link to a device or a pipe, as `/dev/stdout` is one, must not be replaced by a file. */
function refuseSpecial(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there === undefined || there.isFile() || there.isDirectory()) return;
  throw new ConflictError(
    "DM_RESTORE_TARGET_CONFLICT",
    `cannot restore to ${path}: it is a device or a pipe, no file`,
    { path },
  );
}

/** What is to come is told by a directory's own stream, where its entry does not. */
async function withSummary(
  repository: Repository,
  entry: DirectoryEntry,
  { signal }: RestoreOptions,
): Promise<DirectoryEntry> {
  if (entry.type !== "d" || entry.summary) return entry;
  try {
    const { summary } = await readDirectory(repository, entry, { signal });
    return { ...entry, summary };
  } catch (error) {
    // The walk meets the same damage.
    if (isDamage(error)) return entry;
    throw error;
  }
}

/** Threads cost a tenth of a second: a restore that is known to be small goes without. */
const smallBytes = 16 << 20;
const smallFiles = 500;
/** More than that write faster than one thread reads. */
const defaultMaxWorkers = 4;

function executorFor(
  repository: Repository,
  { sizeBytes, summary, type }: DirectoryEntry,
  settings: WorkSettings,
  posix: Posix,
  options: RestoreOptions,
): Executor {
  const isSmall =
    type === "d"
      ? summary !== undefined &&
        summary.totalBytes <= smallBytes &&
        summary.fileCount + summary.symlinkCount <= smallFiles
      : sizeBytes <= smallBytes;
  const { workers = isSmall ? 0 : Math.min(availableParallelism(), defaultMaxWorkers) } = options;
  if (!Number.isInteger(workers) || workers < 0)
    throw new RangeError(`workers must be a number of threads, not ${workers}`);
  return workers === 0
    ? inPlaceExecutor(settings, repository.contentReader, posix)
    : workerExecutor(repository.format, settings, workers);
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
  readonly #queue: WorkQueue;
  readonly #directories: Directories;
  readonly #hardLinks = new HardLinks();
  #root!: DirectoryInProgress;
  #group: Task[] = [];
  #groupBytes = 0;
  /** Names that wait for the first of their file, each with its directory open. */
  #waiting = 0;
  /** Restored at the end: names that could not become links, and what found no room while something longer failed. */
  #later: Task[] = [];
  readonly #retried = new Set<Task>();

  constructor(parts: Parts) {
    const { entry, options, posix, settings } = parts;
    this.#parts = parts;
    this.ledger = new RestoreLedger(entry.summary, options.onProgress);
    for (const loss of posix.losses) this.ledger.notice(loss);
    const defaults = inFlight[isNearby(parts.repository.store) ? "nearby" : "remote"];
    const { signal } = options;
    const { maxInFlightBytes = defaults.maxInFlightBytes, parallel = defaults.parallel } = options;
    this.#queue = new WorkQueue({ maxInFlightBytes, parallel, signal });
    this.#directories = new Directories({ options, settings, posix, ledger: this.ledger });
  }

  async run(target: string): Promise<void> {
    const { entry } = this.#parts;
    const isTree = entry.type === "d";
    this.#root = this.#directories.openTarget(
      isTree ? target : dirname(target),
      isTree ? entry : undefined,
    );
    try {
      // Until the end: names of one file are found from here.
      this.#root.pending += 1;
      if (isTree) await this.#walk(entry);
      else {
        const file = { ...entry, name: basename(target) };
        await this.#add({ directory: this.#root, entry: file, path: "" });
        this.#directories.leave(this.#root);
      }
      await this.#settleAll();
      while (this.#later.length > 0) await this.#restoreLater();
      this.#queue.signal.throwIfAborted();
      this.#directories.leave(this.#root);
    } finally {
      this.#queue.fail(undefined);
      await this.#queue.settle();
      this.#directories.close();
    }
  }

  /** The shortest first, and long ones each alone: what fits must not wait for room that a longer one takes in vain. */
  async #restoreLater(): Promise<void> {
    const tasks = this.#later.splice(0).sort((a, b) => a.entry.sizeBytes - b.entry.sizeBytes);
    for (const task of tasks) {
      if (task.entry.sizeBytes > groupBytes) await this.#settleAll();
      await this.#restore(task);
    }
    await this.#settleAll();
  }

  async #settleAll(): Promise<void> {
    await this.#dispatch();
    await this.#queue.settle();
    this.#waiting = 0;
  }

  async #walk(root: DirectoryEntry): Promise<void> {
    const { signal } = this.#queue;
    const above: DirectoryInProgress[] = [];
    let isEntered = true;
    const walk = walkTree(this.#parts.repository, root, {
      signal,
      descend: () => isEntered,
      onDamaged: ({ path }, { code, message }) => this.ledger.lose(path, code, message),
    });
    for await (const { depth, entry, path } of walk) {
      while (above.length > depth) this.#directories.leave(above.pop()!);
      const parent = above.at(-1);
      const refused = parent && refusedName(entry.name);
      isEntered = false;
      if (refused !== undefined) this.ledger.lose(path, "DM_RESTORE_NAME_REFUSED", refused);
      else if (parent && this.#isDeferred(entry, depth)) this.#defer(parent, entry, path);
      else if (!parent || entry.type === "d") {
        const directory = parent ? this.#directories.enter(parent, entry, path) : this.#root;
        if (!directory) continue;
        above.push(directory);
        isEntered = true;
        await this.#deleteExtra(directory, entry);
      } else if (entry.type === "f" || entry.type === "s") {
        await this.#add({ directory: parent, entry, path });
      } else {
        const reason = `entries of type ${JSON.stringify(entry.type)} are not known here`;
        this.ledger.lose(path, "DM_RESTORE_TYPE_UNKNOWN", reason);
      }
    }
    while (above.length > 0) this.#directories.leave(above.pop()!);
  }

  /** Whether a placeholder is to stand for it. */
  #isDeferred({ sizeBytes, type }: DirectoryEntry, depth: number): boolean {
    const { shallowDepth = Number.POSITIVE_INFINITY, shallowMinBytes = 0 } = this.#parts.options;
    if (depth <= shallowDepth) return false;
    return type === "d" || (type === "f" && sizeBytes >= shallowMinBytes);
  }

  #defer(directory: DirectoryInProgress, entry: DirectoryEntry, path: string): void {
    const { posix, settings } = this.#parts;
    const { ledger } = this;
    let outcome: EntryOutcome;
    try {
      outcome = writePlaceholder(directory.open, entry, settings, posix);
    } catch (error) {
      outcome = { status: "failed", failure: failureOf(error, directory.open.prefix) };
    }
    if (outcome.status === "skipped") ledger.skipped += 1;
    else if (outcome.failure) ledger.lose(path, outcome.failure.code, outcome.failure.reason);
    if (outcome.status === "restored") {
      ledger.placeholders += 1;
      if (outcome.isOwnerLost) ledger.loseOwner();
    }
    if (outcome.status !== "failed") directory.count += 1;
  }

  async #deleteExtra(directory: DirectoryInProgress, entry: DirectoryEntry): Promise<void> {
    const { options, repository } = this.#parts;
    if (!options.deleteExtra || directory.open.isFresh) return;
    try {
      const { entries } = await readDirectory(repository, entry, { signal: this.#queue.signal });
      this.#directories.deleteExtra(directory, entries);
    } catch (error) {
      // The walk meets the same damage, and lists it; what belongs in here is not known.
      if (!isDamage(error)) throw error;
    }
  }

  /** A file or link, or one more name of a file. */
  async #add(task: Task): Promise<void> {
    task.directory.pending += 1;
    const linkId = this.#linkIdOf(task);
    if (linkId === undefined || this.#hardLinks.isFirst(linkId, task)) await this.#restore(task);
    else if (this.#hardLinks.wait(linkId, task)) this.#link(linkId, task);
    else if (++this.#waiting >= groupEntries) await this.#settleAll();
  }

  /** What is no valid mark is the executor's to complain about, with the attributes. */
  #linkIdOf({ entry }: Task): string | undefined {
    try {
      return linkIdOf(entry);
    } catch (error) {
      if (isDmError(error)) return undefined;
      throw error;
    }
  }

  #link(linkId: string, task: Task): void {
    const { posix, settings } = this.#parts;
    const work = workOf(task);
    try {
      if (isLeft(work, settings, posix)) this.#settle(task, { status: "skipped" });
      else if (this.#hardLinks.link(linkId, task, this.#root.open))
        this.#settle(task, { status: "restored", isOwnerLost: false });
      else this.#later.push(task);
    } catch (error) {
      const failure = failureOf(error, work.directory.prefix);
      this.#settle(task, { status: "failed", failure });
    }
  }

  async #restore(task: Task): Promise<void> {
    const { sizeBytes } = task.entry;
    if (sizeBytes > groupBytes) {
      const parts = { ...this.#parts, queue: this.#queue };
      await restoreLongFile(parts, task, (outcome) => {
        this.#settle(task, outcome);
        this.ledger.tell();
      });
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
    if (tasks.length === 0) return;
    await this.#queue.start(bytes, async () => {
      await this.#restoreGroup(tasks);
      this.ledger.tell();
    });
  }

  async #restoreGroup(tasks: readonly Task[]): Promise<void> {
    const { executor, repository } = this.#parts;
    const { signal } = this.#queue;
    // Nothing is read for what is there already.
    const wanted = tasks.filter((task) => this.#isWanted(task));
    const pieces = await mapConcurrent(
      wanted,
      (task) => piecesOfEntry(repository, task.entry, { signal }),
      {
        concurrency: indexesAtOnce,
        signal,
      },
    );
    const { ids, numbered } = numberPieces(pieces.map((found) => ("code" in found ? [] : found)));
    const loaded = await loadContents(repository, ids, { signal });
    const works = wanted.map((task, index): EntryWork => {
      const found = pieces[index]!;
      const failure = "code" in found ? found : undefined;
      return { ...workOf(task), pieces: numbered[index]!, failure };
    });
    const outcomes = await executor.restoreEntries(works, loaded);
    for (const [index, task] of wanted.entries()) this.#settle(task, outcomes[index]!);
  }

  /** A file that fits may have met a longer one that did not, and was removed. */
  #isWorthAnotherTry(task: Task, outcome: EntryOutcome): boolean {
    const isFull = outcome.status === "failed" && outcome.failure.code === "DM_RESTORE_NO_SPACE";
    if (!isFull || this.#retried.has(task) || this.#retried.size >= maxRetried) return false;
    this.#retried.add(task);
    this.#later.push(task);
    return true;
  }

  #isWanted(task: Task): boolean {
    if (task.directory.open.isFresh) return true;
    const { posix, settings } = this.#parts;
    const work = workOf(task);
    try {
      if (!isLeft(work, settings, posix)) return true;
      this.#settle(task, { status: "skipped" });
    } catch (error) {
      this.#settle(task, {
        status: "failed",
        failure: failureOf(error, work.directory.prefix),
      });
    }
    return false;
  }

  #settle(task: Task, outcome: EntryOutcome): void {
    const { directory, entry, path } = task;
    if (this.#isWorthAnotherTry(task, outcome)) return;
    const { ledger } = this;
    const { status } = outcome;
    if (status === "skipped") {
      ledger.skipped += 1;
      if (entry.type === "f") ledger.skippedBytes += entry.sizeBytes;
    } else if (status === "restored") {
      if (entry.type === "s") ledger.symlinks += 1;
      else {
        ledger.files += 1;
        ledger.bytes += entry.sizeBytes;
      }
      if (outcome.isOwnerLost) ledger.loseOwner();
    }
    if (status !== "failed") directory.count += 1;
    if (status !== "skipped" && outcome.failure)
      ledger.lose(path, outcome.failure.code, outcome.failure.reason);
    const linkId = this.#linkIdOf(task);
    if (linkId !== undefined) {
      for (const other of this.#hardLinks.settle(linkId, task, status !== "failed"))
        this.#link(linkId, other);
    }
    this.#directories.leave(directory);
  }
}
