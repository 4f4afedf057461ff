/**
 * What a snapshot would cost before it is made: what it includes, leaves out, reads and stores. Nothing is written.
 * Memory: the directories on the way to the current one, the names of as many files as are under way, and for `exact` the
 * ids of new contents. Proof: test/estimate.test.ts.
 * @module
 */
import { isDmError, mapConcurrent, silentLogger } from "@dm/core";
import type { Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import type { IgnoreContext } from "../policy/ignore-context.ts";
import { type PolicyTree, policyTree } from "../policy/policy-tree.ts";
import {
  compressorOf,
  ignoredErrorsOf,
  metadataCompressorOf,
  partBytesOf,
  splitterOf,
} from "../policy/upload-choices.ts";
import type { Snapshot, SnapshotSource } from "../snapshot-codec.ts";
import { listSnapshots } from "../snapshots.ts";
import type { SourceDirectory, SourceEntry, SourceFile } from "../source/source-entry.ts";
import type { DataPlane } from "../upload/data-plane.ts";
import { keptEntries } from "../upload/ignored-entries.ts";
import { inPlacePlane } from "../upload/in-place-plane.ts";
import { PreviousDirectories, previousSnapshots } from "../upload/previous.ts";
import { exactName } from "../upload/source-name.ts";
import { fileChooser } from "../verify/file-choice.ts";
import { DryRun } from "./dry-run.ts";
import { type FileGroup, FileSizes } from "./size-buckets.ts";

/** What is estimated, and how exactly. */
export interface EstimateSnapshotOptions extends CallOptions {
  /** Whose data it would be: decides about policies and previous snapshots. */
  readonly source: SnapshotSource;
  /** Those that the repository has for the source by default. */
  readonly policies?: PolicyTree | undefined;
  /** Snapshots whose files need not be read where nothing has changed; as `uploadSnapshot` chooses by default. */
  readonly previous?: readonly Snapshot[] | undefined;
  /**
   * How new data is found: `exact` reads everything that the snapshot would read, splits, hashes and compresses it; `fast` does
   * so with a share of the files and draws conclusions from it; `none` reads nothing. `none` by default.
   */
  readonly newData?: "exact" | "fast" | "none" | undefined;
  /** Share of the files that `fast` reads, 0 to 1; 0.1 by default. Which ones, the seed and their paths decide. */
  readonly sampleShare?: number | undefined;
  /** Bytes after which `fast` reads no more; 256 MiB by default. */
  readonly maxSampleBytes?: number | undefined;
  readonly seed?: string | undefined;
  /** Names in each group of sizes, and of directories that are left out; 10 by default. */
  readonly maxExamples?: number | undefined;
  /** Files under way at once; 4 by default. */
  readonly parallel?: number | undefined;
  /** Told of each directory before it is listed; the root is `.`. */
  readonly onDirectory?: ((path: string) => void) | undefined;
  /** Told of what cannot be looked at or read. */
  readonly onFailure?: ((path: string, error: unknown, isIgnored: boolean) => void) | undefined;
}

/** What a snapshot would include, leave out, read and store. */
export interface SnapshotEstimate {
  /** Files, not links. */
  readonly included: FileGroup;
  readonly directories: number;
  readonly links: number;
  /** Devices, pipes and sockets, which no snapshot holds. */
  readonly unknown: number;
  /** What rules leave out, links among it; not what lies in directories that they leave out. */
  readonly excluded: FileGroup;
  readonly excludedDirectories: { readonly count: number; readonly examples: readonly string[] };
  /** Entries that a policy says do not matter, and others. */
  readonly ignoredFailures: number;
  readonly failures: number;
  /** Files that a previous snapshot has, unchanged. */
  readonly unchanged: { readonly files: number; readonly bytes: number };
  /** The others: a snapshot would read them. */
  readonly toRead: { readonly files: number; readonly bytes: number };
  readonly newData: NewData | undefined;
}

/** What of that the repository does not have yet. */
export interface NewData {
  /** All that would be read was read; else a sample, and the numbers are drawn from it. */
  readonly isExact: boolean;
  /** Of files and links: what the repository does not have yet. */
  readonly bytes: number;
  /** The same in packs: compressed and encrypted. */
  readonly storedBytes: number;
  /** What was read to find out. */
  readonly readFiles: number;
  readonly readBytes: number;
}

/**
 * @throws whatever the listing of the root throws, and what the repository throws
 * @example
 * const { toRead, newData } = await estimateSnapshot(repository, root, { source, newData: "exact" });
 * console.log(toRead.bytes, newData?.storedBytes);
 */
export async function estimateSnapshot(
  repository: Repository,
  root: SourceDirectory,
  options: EstimateSnapshotOptions,
): Promise<SnapshotEstimate> {
  const { parallel = 4, signal, source } = options;
  const policies = options.policies ?? (await policyTree(repository, source, { signal }));
  const previous =
    options.previous ?? previousSnapshots(await listSnapshots(repository, { source, signal }));
  const run = new EstimateRun(repository, options);
  try {
    await mapConcurrent(run.walk(root, policies, previous), (read) => run.read(read), {
      concurrency: parallel,
      signal,
    });
    return run.result;
  } finally {
    await run.end();
  }
}

/** A directory that is still to come. */
interface Pending {
  readonly source: SourceDirectory;
  readonly path: string;
  readonly parent: IgnoreContext | undefined;
  readonly tree: PolicyTree;
  readonly previous: readonly DirectoryEntry[];
}

/** A file or link whose data is to be looked up. */
interface Reading {
  readonly entry: Exclude<SourceEntry, { type: "d" | "special" | "failure" }>;
  readonly path: string;
  readonly directory: PolicyTree;
}

class EstimateRun {
  readonly #repository: Repository;
  readonly #options: EstimateSnapshotOptions;
  readonly #dryRun: DryRun;
  readonly #plane: DataPlane;
  readonly #isSampled: (path: string) => boolean;
  readonly #included: FileSizes;
  readonly #excluded: FileSizes;
  readonly #excludedDirectories = { count: 0, examples: [] as string[] };
  readonly #counts = { directories: 0, links: 0, unknown: 0, failures: 0, ignoredFailures: 0 };
  readonly #unchanged = { files: 0, bytes: 0 };
  readonly #toRead = { files: 0, bytes: 0 };
  readonly #read = { files: 0, bytes: 0 };

  constructor(repository: Repository, options: EstimateSnapshotOptions) {
    const { maxExamples = 10, sampleShare = 0.1, seed = "" } = options;
    this.#repository = repository;
    this.#options = options;
    this.#dryRun = new DryRun(repository);
    this.#plane = inPlacePlane(this.#dryRun);
    this.#isSampled = fileChooser({ share: sampleShare, from: 0, seed });
    this.#included = new FileSizes(maxExamples);
    this.#excluded = new FileSizes(maxExamples);
  }

  async end(): Promise<void> {
    await this.#plane[Symbol.asyncDispose]();
  }

  /** Counts everything, depth first, and hands out what is to be read. */
  async *walk(
    root: SourceDirectory,
    tree: PolicyTree,
    previous: readonly Snapshot[],
  ): AsyncGenerator<Reading> {
    const roots = previous.flatMap(({ rootEntry }) => (rootEntry?.type === "d" ? [rootEntry] : []));
    const open: Pending[] = [{ source: root, path: ".", parent: undefined, tree, previous: roots }];
    for (let next = open.pop(); next; next = open.pop()) {
      const { path, tree: directory } = next;
      this.#options.signal?.throwIfAborted();
      this.#options.onDirectory?.(path);
      this.#counts.directories += 1;
      try {
        const inside: Pending[] = [];
        for (const reading of await this.#enter(next, inside)) yield reading;
        open.push(...inside.reverse());
      } catch (error) {
        if (path === "." || this.#options.signal?.aborted) throw error;
        this.#failed(path, error, ignoredErrorsOf(directory.policy).directories);
      }
    }
  }

  async #enter(directory: Pending, inside: Pending[]): Promise<Reading[]> {
    const { parent, path, source, tree } = directory;
    const { signal } = this.#options;
    const pathOf = (name: string): string => (path === "." ? name : `${path}/${name}`);
    const listed = await source.list({ signal });
    const { context, entries } = await keptEntries(source, listed, {
      name: source.name,
      parent,
      tree,
      signal,
      onIgnored: (entry) => this.#leftOut(entry === source ? path : pathOf(entry.name), entry),
    });
    const previous = await PreviousDirectories.read(
      this.#repository,
      directory.previous,
      silentLogger,
      { signal },
    );
    const readings: Reading[] = [];
    for (const entry of entries) {
      const name = exactName(entry);
      const below = pathOf(entry.name);
      if (entry.type === "d") {
        inside.push({
          source: entry,
          path: below,
          parent: context,
          tree: tree.child(name),
          previous: previous.directoriesCalled(name),
        });
      } else if (entry.type === "special") this.#counts.unknown += 1;
      else if (entry.type === "failure") {
        const { directories, files } = ignoredErrorsOf(tree.policy);
        this.#failed(below, entry.error, entry.isDirectory ? directories : files);
      } else if (this.#isToRead(entry, name, below, previous))
        readings.push({ entry, path: below, directory: tree });
    }
    return readings;
  }

  #leftOut(path: string, entry: SourceEntry): void {
    const { maxExamples = 10 } = this.#options;
    if (entry.type !== "d") {
      this.#excluded.add(path, entry.type === "failure" ? 0 : entry.sizeBytes);
      return;
    }
    const { examples } = this.#excludedDirectories;
    this.#excludedDirectories.count += 1;
    if (examples.length < maxExamples) examples.push(path);
  }

  #failed(path: string, error: unknown, isIgnored: boolean): void {
    if (isIgnored) this.#counts.ignoredFailures += 1;
    else this.#counts.failures += 1;
    this.#options.onFailure?.(path, error, isIgnored);
  }

  /** Counts an entry; tells whether its data is to be looked up. */
  #isToRead(
    entry: Reading["entry"],
    name: string,
    path: string,
    previous: PreviousDirectories,
  ): boolean {
    const { newData = "none" } = this.#options;
    const isFile = entry.type === "f";
    if (isFile) this.#included.add(path, entry.sizeBytes);
    else this.#counts.links += 1;
    const isStream = isFile && entry.isStream === true;
    const isUnchanged = !isStream && previous.unchanged(name, entry) !== undefined;
    if (isFile) {
      const group = isUnchanged ? this.#unchanged : this.#toRead;
      group.files += 1;
      group.bytes += entry.sizeBytes;
    }
    if (isUnchanged || newData === "none") return false;
    if (newData === "exact") return true;
    return isFile && this.#isSampled(path);
  }

  async read({ directory, entry, path }: Reading): Promise<void> {
    const { maxSampleBytes = 256 << 20, newData, signal } = this.#options;
    if (newData === "fast" && this.#read.bytes >= maxSampleBytes) return;
    const { policy } = directory.child(exactName(entry));
    try {
      if (entry.type === "s") {
        await this.#dryRun.writePart(await entry.readTarget({ signal }), { signal });
        return;
      }
      const { sizeBytes } = await this.#plane.store(entry as SourceFile, {
        signal,
        compressor: compressorOf(policy, entry.name, entry.sizeBytes),
        metadataCompressor: metadataCompressorOf(policy),
        splitter: splitterOf(policy),
        partBytes: partBytesOf(policy),
      }).done;
      this.#read.files += 1;
      this.#read.bytes += sizeBytes;
    } catch (error) {
      // The repository failed, and not the file.
      if (signal?.aborted || isDmError(error)) throw error;
      this.#failed(path, error, ignoredErrorsOf(directory.policy).files);
    }
  }

  get result(): SnapshotEstimate {
    return {
      included: this.#included.group,
      excluded: this.#excluded.group,
      excludedDirectories: this.#excludedDirectories,
      ...this.#counts,
      unchanged: this.#unchanged,
      toRead: this.#toRead,
      newData: this.#newData(),
    };
  }

  #newData(): NewData | undefined {
    const { newData = "none" } = this.#options;
    if (newData === "none") return undefined;
    const isExact = newData === "exact";
    const { bytes: readBytes, files: readFiles } = this.#read;
    const { newBytes, storedBytes } = this.#dryRun;
    // Nothing read: everything may be new.
    const [bytes, stored] =
      readBytes === 0 && !isExact
        ? [this.#toRead.bytes, this.#toRead.bytes]
        : [newBytes, storedBytes].map((sum) =>
            isExact ? sum : Math.round((sum / readBytes) * this.#toRead.bytes),
          );
    return { isExact, bytes: bytes!, storedBytes: stored!, readFiles, readBytes };
  }
}
