/**
 * The walk of an upload: directories depth first, files beside each other, both up to a bound; entries as Kopia makes
 * them. Held in memory are the directories on the way to what is under way, with their entries, and nothing else.
 * Format: docs/format/directories.md. Proof: test/upload.test.ts, test/upload.kopia.test.ts.
 * @module
 */
import { FormatError, isDmError, type Logger, silentLogger } from "@dm/core";
import { isDamage, type WriteSession } from "@dm/repo";
import { type Directory, directoryBytes, directoryText } from "../directory-codec.ts";
import type { DirectoryEntry } from "../directory-entry.ts";
import { encodeExtendedMetadata } from "../extended-metadata.ts";
import type { RawMember } from "../members.ts";
import type { Policy } from "../policy/policy.ts";
import type { PolicyTree } from "../policy/policy-tree.ts";
import {
  compressorOf,
  ignoredErrorsOf,
  metadataCompressorOf,
  partBytesOf,
  splitterOf,
} from "../policy/upload-choices.ts";
import { emptyStats, type SnapshotStats } from "../snapshot-codec.ts";
import type {
  SourceDirectory,
  SourceEntry,
  SourceFailure,
  SourceFile,
  SourceLink,
  SourceSpecial,
} from "../source/source-entry.ts";
import type { DataPlane } from "./data-plane.ts";
import { failureText } from "./failure-text.ts";
import { keptEntries } from "./ignored-entries.ts";
import { partsOf } from "./in-place-plane.ts";
import { OpenDirectory } from "./open-directory.ts";
import { placeholderSuffix, readPlaceholder } from "./placeholder.ts";
import { PreviousDirectories, partialName } from "./previous.ts";
import { Slots, TaskGroup } from "./slots.ts";
import { exactName } from "./source-name.ts";
import type { ProgressCounter } from "./upload-progress.ts";

export type IncompleteReason = "canceled" | "checkpoint" | "limit reached";

/** An entry that will be missing, and why. */
export interface UploadFailure {
  /** Relative to the root of the snapshot. */
  readonly path: string;
  /** What is recorded of it. */
  readonly text: string;
  readonly error: unknown;
  /** A policy says that it does not count. */
  readonly isIgnored: boolean;
}

export interface TreeUploadOptions {
  readonly session: WriteSession;
  readonly plane: DataPlane;
  readonly counter: ProgressCounter;
  readonly logger?: Logger | undefined;
  /** Files under way at once. */
  readonly parallel: number;
  /** Leaves out what policies and files of rules say. */
  readonly ignoreRules: boolean;
  readonly uploadLimitBytes?: number | undefined;
  readonly failFast: boolean;
  readonly forceHashPercent: number;
  readonly random: () => number;
  readonly onFailure?: ((failure: UploadFailure) => void) | undefined;
}

/**
 * Directories that are walked beside each other, so that small ones keep many files under way, and what previous snapshots
 * hold of one is read while another is worked on. The entries of all are in memory.
 */
const maxParallelDirectories = 16;

/** A subdirectory that is still to come. */
interface Pending {
  readonly source: SourceDirectory;
  readonly name: string;
  readonly previous: readonly DirectoryEntry[];
}

type Leaf = SourceFile | SourceLink | SourceSpecial | SourceFailure;
type Mutable<Type> = { -readonly [Member in keyof Type]: Type[Member] };

export class TreeUpload {
  readonly #options: TreeUploadOptions;
  readonly #logger: Logger;
  readonly #files: Slots;
  readonly #directories: Slots;
  /** Nothing more is read. */
  readonly #stop = new AbortController();
  /** Nothing more is written either: what has been cut off is still written as far as it is there. */
  readonly #failed = new AbortController();
  #incompleteReason: IncompleteReason | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #root: { readonly open: OpenDirectory; readonly isFile: boolean } | undefined;
  readonly stats: Mutable<SnapshotStats> = { ...emptyStats };

  constructor(options: TreeUploadOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#files = new Slots(options.parallel);
    this.#directories = new Slots(options.parallel > 1 ? maxParallelDirectories - 1 : 0);
  }

  /** Why the tree is not complete, once it has been cut off. */
  get incompleteReason(): IncompleteReason | undefined {
    return this.#incompleteReason;
  }

  /** Reads nothing more; what is there becomes an incomplete tree. */
  cutOff(reason: IncompleteReason): void {
    if (this.#stop.signal.aborted) return;
    this.#incompleteReason = reason;
    this.#stop.abort(new Error(`the upload was cut off: ${reason}`));
  }

  /** Ends everything; the upload fails with this reason. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#stop.abort(reason);
    this.#failed.abort(this.#failure.reason);
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** The whole tree. */
  async directory(
    source: SourceDirectory,
    tree: PolicyTree,
    previous: readonly DirectoryEntry[],
  ): Promise<DirectoryEntry> {
    const open = new OpenDirectory(source, ".", tree);
    this.#root = { open, isFile: false };
    try {
      return await this.#directory(open, undefined, source, exactName(source), previous);
    } finally {
      this.#root = undefined;
    }
  }

  /** A root that is a file. */
  async file(
    source: SourceFile,
    tree: PolicyTree,
    previous: PreviousDirectories,
  ): Promise<DirectoryEntry> {
    const open = new OpenDirectory(source, ".", tree);
    const name = exactName(source);
    let entry = this.#unchanged(name, source, previous);
    this.#root = { open, isFile: true };
    try {
      entry ??= await this.#storeFile(open, source, name, tree.policy, previous);
    } catch (error) {
      if (!this.#isStopped || !this.#incompleteReason) throw error;
      entry = open.entries[0];
      if (!entry) throw error;
    } finally {
      this.#root = undefined;
    }
    const { modifiedAtNs, sizeBytes } = entry;
    return {
      ...entry,
      summary: {
        totalBytes: sizeBytes,
        fileCount: 1,
        symlinkCount: 0,
        directoryCount: 0,
        maxModifiedAtNs: modifiedAtNs,
        failedCount: 0,
        ignoredErrorCount: 0,
        failures: [],
      },
    };
  }

  async #directory(
    open: OpenDirectory,
    parent: OpenDirectory | undefined,
    source: SourceDirectory,
    name: string,
    previous: readonly DirectoryEntry[],
  ): Promise<DirectoryEntry> {
    const { counter } = this.#options;
    this.stats.dirCount += 1;
    counter.directories += 1;
    const group = new TaskGroup();
    const pending = await this.#leaves(open, parent, source, previous, group);
    for (const next of pending) {
      if (this.#isStopped) break;
      const task = this.#directories.tryTake() ? this.#besides(open, next) : undefined;
      if (task) group.add(task);
      else await this.#subdirectory(open, next);
    }
    await group.idle();
    if (this.#failure) throw this.#failure.reason;
    // Before it is built: what cannot be read of it is one of its failures.
    const members = this.#membersOf(open, open.path, source);
    const entry = await this.#write(open, name, open.build(this.#incompleteReason));
    return members ? { ...entry, unknownMembers: members } : entry;
  }

  /** Members for what is kept of an entry beyond Kopia's metadata. Without them the entry is still worth having. */
  #membersOf(
    open: OpenDirectory,
    path: string,
    source: SourceDirectory | SourceFile | SourceLink,
  ): readonly RawMember[] | undefined {
    try {
      const members = extendedMembersOf(source);
      return members?.length ? members : undefined;
    } catch (error) {
      this.#noteFailure(open, path, source, error, ignoredErrorsOf(open.tree.policy).files);
      return undefined;
    }
  }

  #entry(
    open: OpenDirectory,
    source: SourceFile | SourceLink,
    name: string,
    objectId: string,
    sizeBytes: number,
  ): DirectoryEntry {
    const entry = entryOf(source, name, objectId, sizeBytes);
    const members = this.#membersOf(open, open.pathOf(source.name), source);
    return members ? { ...entry, unknownMembers: members } : entry;
  }

  async #besides(open: OpenDirectory, next: Pending): Promise<void> {
    try {
      await this.#subdirectory(open, next);
    } finally {
      this.#directories.give();
    }
  }

  /**
   * Everything in a directory but its subdirectories. Its own function, so that what was listed and read of previous
   * snapshots is gone when the walk goes down.
   */
  async #leaves(
    open: OpenDirectory,
    parent: OpenDirectory | undefined,
    source: SourceDirectory,
    previousEntries: readonly DirectoryEntry[],
    group: TaskGroup,
  ): Promise<Pending[]> {
    const { session } = this.#options;
    const { signal } = this.#stop;
    const listed = await this.#unlessStopped(source.list({ signal }));
    if (!listed) return [];
    const entries = await this.#unlessStopped(this.#kept(open, parent, source, listed));
    if (!entries) return [];
    const previous = await this.#unlessStopped(
      PreviousDirectories.read(session, previousEntries, this.#logger, { signal }),
    );
    if (!previous) return [];
    open.stored = previous.stored;
    const pending: Pending[] = [];
    for (const entry of entries) {
      if (this.#isStopped) break;
      const name = exactName(entry);
      if (entry.type === "d" && !name.endsWith(placeholderSuffix)) {
        pending.push({ source: entry, name, previous: previous.directoriesCalled(name) });
        continue;
      }
      const cached = previous.isEmpty ? undefined : this.#unchanged(name, entry, previous);
      if (cached) {
        open.entries.push(cached);
        continue;
      }
      await this.#files.take();
      group.add(this.#leaf(open, entry, name, previous));
    }
    return pending;
  }

  async #kept(
    open: OpenDirectory,
    parent: OpenDirectory | undefined,
    source: SourceDirectory,
    listed: readonly SourceEntry[],
  ): Promise<readonly SourceEntry[]> {
    if (!this.#options.ignoreRules) return listed;
    const { context, entries } = await keptEntries(source, listed, {
      name: source.name,
      parent: parent?.ignore,
      tree: open.tree,
      onIgnored: this.#excluded,
      signal: this.#stop.signal,
    });
    open.ignore = context;
    return entries;
  }

  readonly #excluded = (entry: SourceEntry): void => {
    if (entry.type === "d") this.stats.excludedDirCount += 1;
    else {
      this.stats.excludedFileCount += 1;
      if (entry.type !== "failure") this.stats.excludedTotalSize += entry.sizeBytes;
    }
  };

  /** The result of something that the stop signal ends; undefined when it did. */
  async #unlessStopped<Result>(work: Promise<Result>): Promise<Result | undefined> {
    try {
      return await work;
    } catch (error) {
      if (this.#isStopped && error === this.#stop.signal.reason) return undefined;
      throw error;
    }
  }

  async #subdirectory(parent: OpenDirectory, { name, previous, source }: Pending): Promise<void> {
    const path = parent.pathOf(source.name);
    const tree = parent.tree.child(name);
    const open = new OpenDirectory(source, path, tree);
    parent.directories.add(open);
    try {
      parent.entries.push(await this.#directory(open, parent, source, name, previous));
    } catch (error) {
      this.#noteFailure(parent, path, source, error, ignoredErrorsOf(tree.policy).directories);
    } finally {
      parent.directories.delete(open);
    }
  }

  /** The entry of a file or link that a previous snapshot has; nothing waits, for there may be a million of them. */
  #unchanged(
    name: string,
    source: SourceEntry,
    previous: PreviousDirectories,
  ): DirectoryEntry | undefined {
    if (source.type !== "f" && source.type !== "s") return undefined;
    if (source.isChanged || (source.type === "f" && source.isStream)) return undefined;
    if (name.endsWith(placeholderSuffix)) return undefined;
    let members: readonly RawMember[] | undefined;
    try {
      members = extendedMembersOf(source);
    } catch {
      // It is reported with the entry, which is read then.
      return undefined;
    }
    const found = previous.unchanged(name, source, members);
    if (!found) return undefined;
    const { counter, forceHashPercent, random } = this.#options;
    if (forceHashPercent > 0 && random() * 100 < forceHashPercent) return undefined;
    this.stats.cachedFiles += 1;
    this.stats.totalSize += found.sizeBytes;
    counter.cachedFiles += 1;
    counter.cachedBytes += found.sizeBytes;
    counter.changed();
    if (!found.unknownMembers && !found.summary && !members?.length) return found;
    const { summary: _, unknownMembers: __, ...entry } = found;
    return members?.length ? { ...entry, unknownMembers: members } : entry;
  }

  /** Gives the place for a file back. */
  async #leaf(
    open: OpenDirectory,
    source: Leaf | SourceDirectory,
    name: string,
    previous: PreviousDirectories,
  ): Promise<void> {
    const { counter } = this.#options;
    const path = open.pathOf(source.name);
    counter.filesUnderWay += 1;
    try {
      const entry = await this.#entryOf(open, source, name, previous);
      if (entry) open.entries.push(entry);
    } catch (error) {
      this.#noteFailure(open, path, source, error, this.#isIgnored(open, source, name));
    } finally {
      counter.filesUnderWay -= 1;
      counter.changed();
      this.#files.give();
    }
  }

  #isIgnored(open: OpenDirectory, source: Leaf | SourceDirectory, name: string): boolean {
    if (source.type === "special") return false;
    if (source.type !== "failure") return ignoredErrorsOf(open.tree.policy).files;
    const { directories, files } = ignoredErrorsOf(open.tree.child(name).policy);
    return source.isDirectory ? directories : files;
  }

  async #entryOf(
    open: OpenDirectory,
    source: Leaf | SourceDirectory,
    name: string,
    previous: PreviousDirectories,
  ): Promise<DirectoryEntry | undefined> {
    if (source.type === "failure") throw source.error;
    const { policy } = open.tree.child(name);
    if (source.type === "special") {
      if (ignoredErrorsOf(policy).unknownTypes) return undefined;
      throw new Error("unknown or unsupported entry type");
    }
    if (source.type === "s") return this.#storeLink(open, source, name, policy);
    if (name.endsWith(placeholderSuffix)) return this.#storePlaceholder(source);
    if (source.type === "d") throw new TypeError("a directory is no leaf");
    return this.#storeFile(open, source, name, policy, previous);
  }

  async #storePlaceholder(source: SourceFile | SourceDirectory): Promise<DirectoryEntry> {
    const { session } = this.#options;
    const entry = await readPlaceholder(source, { signal: this.#stop.signal });
    try {
      await session.openObject(entry.objectId);
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      throw new FormatError(
        "DM_PLACEHOLDER_INVALID",
        `invalid placeholder: the repository has no object ${entry.objectId}`,
        { objectId: entry.objectId },
        { cause },
      );
    }
    return entry;
  }

  async #storeLink(
    open: OpenDirectory,
    source: SourceLink,
    name: string,
    policy: Policy,
  ): Promise<DirectoryEntry> {
    const { counter, session } = this.#options;
    const { signal } = this.#stop;
    const target = await source.readTarget({ signal });
    const objectId = await session.writeObject(target, {
      metadataCompressor: metadataCompressorOf(policy),
      signal,
    });
    counter.hashedFiles += 1;
    this.#read(target.length);
    return this.#entry(open, source, name, objectId, target.length);
  }

  async #storeFile(
    open: OpenDirectory,
    source: SourceFile,
    name: string,
    policy: Policy,
    previous: PreviousDirectories,
  ): Promise<DirectoryEntry> {
    const { counter, plane } = this.#options;
    this.stats.nonCachedFiles += 1;
    const partBytes = partBytesOf(policy);
    const beginning = source.isStream ? undefined : previous.beginningsOf(name, source)[0];
    const task = plane.store(source, {
      signal: this.#stop.signal,
      compressor: compressorOf(policy, source.name, source.sizeBytes),
      metadataCompressor: metadataCompressorOf(policy),
      splitter: splitterOf(policy),
      partBytes,
      resumeFrom: beginning?.objectId,
      onBytes: this.#read,
    });
    open.files.set(source, task);
    try {
      const { objectId, sizeBytes } = await task.done;
      this.stats.fileCount += partsOf(source, partBytes).count;
      this.stats.totalSize += sizeBytes;
      counter.hashedFiles += 1;
      return this.#entry(open, source, name, objectId, sizeBytes);
    } catch (error) {
      // A large file that was cut off goes on here the next time.
      const partial = this.#incompleteReason && (await task.checkpoint());
      if (partial)
        open.entries.push(entryOf(source, partialName(name), partial.objectId, partial.sizeBytes));
      throw error;
    } finally {
      open.files.delete(source);
    }
  }

  readonly #read = (count: number): void => {
    const { counter, uploadLimitBytes } = this.#options;
    counter.hashedBytes += count;
    counter.changed();
    if (uploadLimitBytes && counter.hashedBytes > uploadLimitBytes) this.cutOff("limit reached");
  };

  /** Notes an entry that will be missing. An error of the repository is not one of an entry: it ends the upload. */
  #noteFailure(
    open: OpenDirectory,
    path: string,
    source: SourceEntry,
    error: unknown,
    isIgnored: boolean,
  ): void {
    const { counter, failFast, onFailure } = this.#options;
    if (this.#isStopped && error === this.#stop.signal.reason) return;
    if (this.#failure) return;
    if (isOfRepository(error)) {
      this.fail(error);
      return;
    }
    if (isIgnored) {
      this.stats.ignoredErrorCount += 1;
      counter.ignoredFailures += 1;
    } else {
      this.stats.errorCount += 1;
      counter.failures += 1;
    }
    const text = failureText(source, error, this.#options.ignoreRules);
    open.addFailure(path, text, isIgnored);
    onFailure?.({ path, text, error, isIgnored });
    if (failFast && !isIgnored) this.cutOff("canceled");
  }

  async #write(open: OpenDirectory, name: string, directory: Directory): Promise<DirectoryEntry> {
    const text = directoryText(directory);
    const stored = open.stored.find((previous) => previous.text === text);
    const objectId = stored?.objectId ?? (await this.#store(open, text));
    return { ...entryOf(open.source, name, objectId, 0), summary: directory.summary };
  }

  #store(open: OpenDirectory, text: string): Promise<string> {
    const metadataCompressor = metadataCompressorOf(open.tree.policy);
    return this.#options.session.writeObject(directoryBytes(text), {
      prefix: "k",
      compressor: metadataCompressor ?? undefined,
      metadataCompressor,
      signal: this.#failed.signal,
    });
  }

  /** The tree as far as it is stored; undefined before the beginning, and when that is nothing. */
  async checkpoint(): Promise<DirectoryEntry | undefined> {
    if (!this.#root) return undefined;
    const { isFile, open } = this.#root;
    if (isFile) return (await this.#partials(open))[0];
    return this.#checkpointDirectory(open, exactName(open.source));
  }

  async #checkpointDirectory(open: OpenDirectory, name: string): Promise<DirectoryEntry> {
    // At one moment, or an entry that is finished meanwhile would be there twice or not at all.
    const entries = open.entries.slice();
    const directories = [...open.directories];
    const files = this.#partials(open);
    for (const child of directories)
      entries.push(await this.#checkpointDirectory(child, exactName(child.source)));
    entries.push(...(await files));
    return this.#write(open, name, open.build("checkpoint", entries));
  }

  async #partials(open: OpenDirectory): Promise<DirectoryEntry[]> {
    const partials: DirectoryEntry[] = [];
    for (const [source, task] of [...open.files]) {
      const stored = await task.checkpoint();
      if (!stored) continue;
      const name = partialName(exactName(source));
      partials.push(entryOf(source, name, stored.objectId, stored.sizeBytes));
    }
    return partials;
  }
}

function entryOf(
  source: SourceDirectory | SourceFile | SourceLink,
  name: string,
  objectId: string,
  sizeBytes: number,
): DirectoryEntry {
  const { gid, mode, modifiedAtNs, type, uid } = source;
  return { name, type, mode, sizeBytes, modifiedAtNs, uid, gid, objectId };
}

/** Undefined when the source was not asked to keep any. */
function extendedMembersOf(
  source: SourceDirectory | SourceFile | SourceLink,
): readonly RawMember[] | undefined {
  const extended = source.readExtendedMetadata?.();
  return extended && encodeExtendedMetadata(extended);
}

/** Whether the repository failed and not the source: then nothing that follows can succeed either. */
function isOfRepository(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  return isDmError(error) && !sourceCodes.has(error.code);
}

/** What is wrong with an entry, although we say so. */
const sourceCodes: ReadonlySet<string> = new Set([
  "DM_IGNORE_FILE_TOO_LARGE",
  "DM_IGNORE_RULE_INVALID",
  "DM_PLACEHOLDER_INVALID",
  "DM_SOURCE_DAMAGED",
]);
