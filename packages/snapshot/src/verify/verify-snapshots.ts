/**
 * Verification of snapshots: their whole trees are read; of every file all contents must be in the index, and in packs that
 * are long enough; as many files as asked for are read, decrypted and measured. Each object is looked at once.
 * Memory: the directories on the way to the current entry, the lengths of all packs, and the ids of the objects seen.
 * Proof: test/corrupt.test.ts, test/verify.test.ts.
 * @module
 */
import { type DmError, FormatError, mapConcurrent, toHex } from "@dm/core";
import { type ContentId, compareUtf8, isDamage, lengthsOfPacks, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import type { Snapshot } from "../snapshot-codec.ts";
import { readDirectory, type TreeItem, walkTree } from "../tree.ts";
import { checkContents, checkLength, readWhole } from "./check-object.ts";
import { type FileChoice, fileChooser } from "./file-choice.ts";
import type { ReadProofs } from "./read-proofs.ts";

/** How much is read, and what earlier runs have proven. */
export interface VerifySnapshotOptions extends CallOptions {
  /** Share of the files whose data is read, 0 to 1, or `"all"`. `"all"` by default. */
  readonly readFiles?: "all" | number | undefined;
  /** Chooses, with the id of its object, whether a file is in the share. That of the proofs, or a new one by default. */
  readonly seed?: string | undefined;
  /** Where the share begins, from 0 to below 1: see `nextFrom`. Where that of the proofs ended by default, or 0. */
  readonly from?: number | undefined;
  /** Files under way at once; 4 by default. */
  readonly parallel?: number | undefined;
  /** Told after each entry; keep it cheap. */
  readonly onProgress?: ((progress: VerifySnapshotProgress) => void) | undefined;
  /** What earlier runs have read: it is not read again. Objects that are read now are added. */
  readonly proofs?: ReadProofs | undefined;
  /** Age from which on a proof does not count; any age counts by default. */
  readonly maxProofAgeMs?: number | undefined;
  /** Contents that are known to be damaged, as of a caller that has read all packs: a file with one is a finding. */
  readonly damagedContents?: ReadonlyMap<ContentId, DmError> | undefined;
  /** Findings after which it ends; none by default. */
  readonly maxErrors?: number | undefined;
}

/** What is done so far. */
export interface VerifySnapshotProgress {
  /** Entries looked at; those of directories that were known already do not count. */
  readonly entriesDone: number;
  /** Bytes of the files among them, by their entries. */
  readonly bytesDone: number;
  /** Different objects among them, directories included. */
  readonly objectsDone: number;
  /** Of these, files and links. */
  readonly filesDone: number;
  /** Their bytes, by the first entry of each. */
  readonly objectBytesDone: number;
  /** Files and links whose data was read now. */
  readonly filesRead: number;
  readonly bytesRead: number;
  /** Files and links whose data was read by an earlier run, so that it was not read again. */
  readonly filesProven: number;
  readonly bytesProven: number;
  /** Of all snapshots, by their summaries; undefined when there is none. */
  readonly totalFiles: number | undefined;
  readonly totalBytes: number | undefined;
}

/** One thing that is missing or wrong. */
export interface SnapshotFinding {
  readonly snapshotId: string;
  /** Relative to the root of the snapshot, which has the empty path. */
  readonly path: string;
  readonly objectId: string;
  readonly error: DmError;
}

/** What was looked at, what was found, and what is proven. */
export interface VerifySnapshotReport extends VerifySnapshotProgress {
  readonly findings: readonly SnapshotFinding[];
  /** Ids of the snapshots in which something is damaged, also where the finding is listed at another one. */
  readonly damagedSnapshots: ReadonlySet<string>;
  /** No findings. */
  readonly ok: boolean;
  /** It ended before the last entry, at `maxErrors`. */
  readonly isCutOff: boolean;
  /** Which files were to be read. */
  readonly choice: FileChoice;
  /** When the data of the files was read that has been read, by this run or an earlier one: the oldest and the newest. */
  readonly oldestProofNs: bigint | undefined;
  readonly newestProofNs: bigint | undefined;
  /** Objects of the files and links that were looked at. */
  readonly fileObjects: ReadonlySet<string>;
}

/** What is verified: a snapshot, or any other tree under a name of its own. */
export type VerifiedTree = Pick<Snapshot, "id" | "rootEntry">;

/**
 * One snapshot. As {@link verifySnapshots}.
 * @example
 * const { findings } = await verifySnapshot(repository, snapshot, { readFiles: 0.1 });
 * for (const { path, error } of findings) console.log(path, error.message);
 */
export async function verifySnapshot(
  repository: Repository,
  snapshot: VerifiedTree,
  options: VerifySnapshotOptions = {},
): Promise<VerifySnapshotReport> {
  return verifySnapshots(repository, [snapshot], options);
}

/**
 * Reads everything it can; damage is collected, not thrown. What several snapshots have in common is looked at once.
 * @throws what makes reading impossible as a whole: storage that fails, a damaged index blob
 * @throws {RangeError} when `readFiles` is no share
 */
export async function verifySnapshots(
  repository: Repository,
  snapshots: readonly VerifiedTree[],
  options: VerifySnapshotOptions = {},
): Promise<VerifySnapshotReport> {
  const { maxErrors = Number.POSITIVE_INFINITY, parallel = 4, signal } = options;
  const run = new Run(repository, snapshots, options);
  // A damaged index blob is thrown here, and not found again in every directory.
  await repository.refresh({ signal });
  const packLengths = await lengthsOfPacks(repository.store, { signal });
  const visit = async (item: Item): Promise<void> => {
    if (run.findings.length >= maxErrors) return;
    await run.visit(item, packLengths);
  };
  await mapConcurrent(run.items(maxErrors), visit, { concurrency: parallel, signal });
  return run.report(maxErrors);
}

interface Item extends TreeItem {
  readonly snapshotId: string;
}

class Run {
  readonly findings: SnapshotFinding[] = [];
  readonly progress: {
    -readonly [Name in keyof VerifySnapshotProgress]: VerifySnapshotProgress[Name];
  };
  readonly #repository: Repository;
  readonly #snapshots: readonly VerifiedTree[];
  readonly #options: VerifySnapshotOptions;
  readonly #choice: FileChoice;
  readonly #isChosen: (objectId: string) => boolean;
  readonly #seen = new Set<string>();
  readonly #fileObjects = new Set<string>();
  readonly #once = outcomes();
  #oldestProofNs: bigint | undefined;
  #newestProofNs: bigint | undefined;

  constructor(
    repository: Repository,
    snapshots: readonly VerifiedTree[],
    options: VerifySnapshotOptions,
  ) {
    const { proofs, readFiles = "all" } = options;
    this.#repository = repository;
    this.#snapshots = snapshots;
    this.#options = options;
    this.#choice = {
      share: readFiles === "all" ? 1 : readFiles,
      from: options.from ?? proofs?.nextFrom ?? 0,
      seed: options.seed ?? proofs?.seed ?? toHex(repository.randomBytes(8)),
    };
    this.#isChosen = fileChooser(this.#choice);
    this.progress = {
      entriesDone: 0,
      bytesDone: 0,
      objectsDone: 0,
      filesDone: 0,
      objectBytesDone: 0,
      filesRead: 0,
      bytesRead: 0,
      filesProven: 0,
      bytesProven: 0,
      totalFiles: totalOf(snapshots, "fileCount"),
      totalBytes: totalOf(snapshots, "totalBytes"),
    };
  }

  /** Everything to look at, one snapshot after the other, without directories that were seen. */
  async *items(maxErrors: number): AsyncGenerator<Item> {
    const { signal } = this.#options;
    for (const { id: snapshotId, rootEntry } of this.#snapshots) {
      if (!rootEntry) {
        this.findings.push(withoutRoot(snapshotId));
        continue;
      }
      const walk = walkTree(this.#repository, rootEntry, {
        signal,
        descend: this.#firstVisits(),
        onDamaged: (item, error) => this.#found({ ...item, snapshotId }, error),
      });
      for await (const { depth, entry, path } of walk) {
        if (this.findings.length >= maxErrors) return;
        yield { depth, entry, path, snapshotId };
      }
    }
  }

  /** Says yes to each directory once; and to one that contains itself, which the walk then refuses. */
  #firstVisits(): (item: TreeItem) => boolean {
    const above: string[] = [];
    return ({ depth, entry: { objectId } }) => {
      above.length = depth;
      const isCycle = above.includes(objectId);
      above.push(objectId);
      if (this.#seen.has(objectId)) return isCycle;
      this.#seen.add(objectId);
      this.progress.objectsDone += 1;
      return true;
    };
  }

  async visit(item: Item, packLengths: ReadonlyMap<string, number>): Promise<void> {
    const { entry } = item;
    const { progress } = this;
    if (entry.type !== "d") {
      if (!this.#fileObjects.has(entry.objectId)) {
        this.#fileObjects.add(entry.objectId);
        progress.objectsDone += 1;
        progress.filesDone += 1;
        progress.objectBytesDone += entry.sizeBytes;
      }
      // Two entries of one object may disagree about its size.
      const key = `${entry.objectId} ${entry.sizeBytes}`;
      const error = await this.#once(key, () => this.#check(entry, packLengths));
      if (error) this.#found(item, error);
    }
    progress.entriesDone += 1;
    if (entry.type === "f") progress.bytesDone += entry.sizeBytes;
    this.#options.onProgress?.({ ...progress });
  }

  async #check(
    entry: DirectoryEntry,
    packLengths: ReadonlyMap<string, number>,
  ): Promise<DmError | undefined> {
    const { damagedContents, signal } = this.#options;
    const options = { damagedContents, signal };
    try {
      checkLength(entry, await checkContents(this.#repository, entry, packLengths, options));
      await this.#read(entry);
      return undefined;
    } catch (error) {
      if (isDamage(error)) return error;
      throw error;
    }
  }

  async #read(entry: DirectoryEntry): Promise<void> {
    const { maxProofAgeMs = Number.POSITIVE_INFINITY, proofs, signal } = this.#options;
    const { objectId } = entry;
    const nowNs = this.#repository.clock.nowNs();
    const readAtNs = proofs?.readAtNs(objectId);
    if (readAtNs !== undefined && Number(nowNs - readAtNs) / 1e6 < maxProofAgeMs) {
      this.progress.filesProven += 1;
      this.progress.bytesProven += entry.sizeBytes;
      this.#proven(readAtNs);
      return;
    }
    if (!this.#isChosen(objectId)) return;
    const length = await readWhole(this.#repository, entry, { signal });
    this.progress.bytesRead += length;
    this.progress.filesRead += 1;
    checkLength(entry, length);
    this.#proven(nowNs);
    proofs?.add(objectId, nowNs);
  }

  #proven(atNs: bigint): void {
    if (this.#oldestProofNs === undefined || atNs < this.#oldestProofNs) this.#oldestProofNs = atNs;
    if (this.#newestProofNs === undefined || atNs > this.#newestProofNs) this.#newestProofNs = atNs;
  }

  #found({ entry, path, snapshotId }: Item, error: DmError): void {
    this.findings.push({ snapshotId, path, objectId: entry.objectId, error });
  }

  async report(maxErrors: number): Promise<VerifySnapshotReport> {
    const { findings } = this;
    const order = new Map(this.#snapshots.map(({ id }, index) => [id, index]));
    const place = ({ snapshotId }: SnapshotFinding): number => order.get(snapshotId)!;
    findings.sort((a, b) => place(a) - place(b) || compareUtf8(a.path, b.path));
    return {
      ...this.progress,
      findings,
      damagedSnapshots: await this.#damagedSnapshots(),
      ok: findings.length === 0,
      isCutOff: findings.length >= maxErrors,
      choice: this.#choice,
      oldestProofNs: this.#oldestProofNs,
      newestProofNs: this.#newestProofNs,
      fileObjects: this.#fileObjects,
    };
  }

  /** Walks the trees again, only when something was found: most of a tree lies in many snapshots. */
  async #damagedSnapshots(): Promise<ReadonlySet<string>> {
    const damaged = new Set(this.findings.map(({ snapshotId }) => snapshotId));
    if (damaged.size === 0) return damaged;
    const bad = new Set(this.findings.map(({ objectId }) => objectId));
    const known = new Map<string, boolean>();
    const holdsDamage = async (entry: DirectoryEntry): Promise<boolean> => {
      const { objectId, type } = entry;
      if (bad.has(objectId)) return true;
      if (type !== "d") return false;
      const before = known.get(objectId);
      if (before !== undefined) return before;
      // Also the answer for a directory that contains itself.
      known.set(objectId, false);
      try {
        const { entries } = await readDirectory(this.#repository, entry, this.#options);
        for (const child of entries) {
          if (!(await holdsDamage(child))) continue;
          known.set(objectId, true);
          return true;
        }
      } catch (error) {
        // A run that was cut off has not looked at every directory.
        if (!isDamage(error)) throw error;
        known.set(objectId, true);
        return true;
      }
      return false;
    };
    for (const { id, rootEntry } of this.#snapshots)
      if (rootEntry && !damaged.has(id) && (await holdsDamage(rootEntry))) damaged.add(id);
    return damaged;
  }
}

function totalOf(
  snapshots: readonly VerifiedTree[],
  count: "fileCount" | "totalBytes",
): number | undefined {
  let total: number | undefined;
  for (const { rootEntry } of snapshots)
    if (rootEntry?.summary) total = (total ?? 0) + rootEntry.summary[count];
  return total;
}

/** Runs a check once for each key; who asks while it runs waits for the same. Sound keys cost no more than their text. */
function outcomes(): (
  key: string,
  check: () => Promise<DmError | undefined>,
) => Promise<DmError | undefined> {
  const sound = new Set<string>();
  const others = new Map<string, Promise<DmError | undefined>>();
  return async (key, check) => {
    if (sound.has(key)) return undefined;
    const known = others.get(key);
    if (known) return known;
    const running = check();
    others.set(key, running);
    const error = await running;
    if (!error) {
      sound.add(key);
      others.delete(key);
    }
    return error;
  };
}

function withoutRoot(snapshotId: string): SnapshotFinding {
  const error = new FormatError(
    "DM_SNAPSHOT_INVALID",
    `snapshot manifest ${snapshotId}: rootEntry: there is none`,
    { manifestId: snapshotId, where: "rootEntry" },
  );
  return { snapshotId, path: "", objectId: "", error };
}
