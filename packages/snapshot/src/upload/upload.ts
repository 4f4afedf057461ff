/**
 * Backs up a tree or a file: walks it, stores what no previous snapshot has, checkpoints on the way, and saves the manifest.
 * Format: docs/format/snapshots.md. Proof: test/upload.test.ts, test/upload.kopia.test.ts.
 * @module
 */
import { type Clock, type Logger, systemClock, UnsupportedError } from "@dm/core";
import { isDamage, type Repository, type WriteSession } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import { putSnapshot } from "../edit.ts";
import { expireSnapshots } from "../policy/expire.ts";
import { type PolicyTree, policyTree } from "../policy/policy-tree.ts";
import { parallelFileReadsOf } from "../policy/upload-choices.ts";
import { emptyStats, type Snapshot, type SnapshotSource } from "../snapshot-codec.ts";
import { listSnapshots } from "../snapshots.ts";
import type { SourceEntry } from "../source/source-entry.ts";
import type { DataPlane } from "./data-plane.ts";
import { inPlacePlane } from "./in-place-plane.ts";
import { PreviousDirectories, previousSnapshots } from "./previous.ts";
import { TreeUpload, type UploadFailure } from "./tree-upload.ts";
import { ProgressCounter, type ProgressListener } from "./upload-progress.ts";

/** Longest and default time between checkpoints: garbage collection spares what nothing refers to for a day. */
export const maxCheckpointIntervalMs = 45 * 60_000;

/** What the snapshot is called, what it takes over, and when it ends. */
export interface UploadSnapshotOptions extends CallOptions {
  /** Whose data it is, and what it is called: under these names its snapshots are found. */
  readonly source: SnapshotSource;
  /** Those that the repository has for the source by default. */
  readonly policies?: PolicyTree | undefined;
  /** Leave out what policies and files of rules (`.kopiaignore`) say; on by default. */
  readonly ignoreRules?: boolean | undefined;
  /** Stores the files' data, into this very session; a plane in this thread by default. The caller disposes of it. */
  readonly dataPlane?: DataPlane | undefined;
  /**
   * Snapshots whose files are taken over where nothing has changed; by default, as Kopia has it, the newest complete one of
   * this source, and every incomplete one since.
   */
  readonly previous?: readonly Snapshot[] | undefined;
  readonly description?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** Any pin keeps the snapshot from expiring. */
  readonly pins?: readonly string[] | undefined;
  /** In the place of when it really began; the end moves along unless it is given, too. */
  readonly startedAtNs?: bigint | undefined;
  /** In the place of when it really ended; the start moves along unless it is given, too. */
  readonly endedAtNs?: bigint | undefined;
  /** Files under way at once; what the policy says, or what keeps the data plane busy, by default. */
  readonly parallel?: number | undefined;
  /** Time between checkpoints; 45 minutes by default and at most. */
  readonly checkpointIntervalMs?: number | undefined;
  /** Tags of checkpoints; none by default. */
  readonly checkpointTags?: Readonly<Record<string, string>> | undefined;
  /** Bytes read after which the upload is cut off; the snapshot is incomplete then. No limit by default. */
  readonly uploadLimitBytes?: number | undefined;
  /** The first failure that no policy ignores cuts the upload off; off by default. */
  readonly failFast?: boolean | undefined;
  /** Share of the unchanged files that is read all the same, 0 (default) to 100. */
  readonly forceHashPercent?: number | undefined;
  /** On abort save what is there as an incomplete snapshot, and return it; by default the abort reason is thrown. */
  readonly saveOnAbort?: boolean | undefined;
  /** Cuts the upload off: what is there is saved as a checkpoint, from which another upload goes on, and returned. */
  readonly stopSignal?: AbortSignal | undefined;
  /** Do not save a snapshot whose root is the previous one's; what the policy says by default. */
  readonly ignoreIdentical?: boolean | undefined;
  /** What there is in total, for the progress; by default what the newest complete snapshot of `previous` holds. */
  readonly expected?: Promise<{ readonly files: number; readonly bytes: number }> | undefined;
  /** Told at most five times a second, and at the end. */
  readonly onProgress?: ProgressListener | undefined;
  /** Told of each entry that will be missing. */
  readonly onFailure?: ((failure: UploadFailure) => void) | undefined;
  /** The system's by default. Its `sleep` must really wait. */
  readonly clock?: Clock | undefined;
  /** Silent by default. */
  readonly logger?: Logger | undefined;
  /** Delete what the policy does not keep any more, with each checkpoint and at the end; on by default. */
  readonly expire?: boolean | undefined;
}

/** A snapshot that was just made: it has a root. */
export interface UploadedSnapshot extends Snapshot {
  readonly rootEntry: DirectoryEntry;
}

/**
 * Makes a snapshot. When the promise settles, it and all its data are durable; before that nobody sees it. Entries that could
 * not be read are missing: `rootEntry.summary` counts and lists them. Its id is empty when `ignoreIdentical` kept it from
 * being saved.
 * @param target a repository, for which a write session is opened; or a session, which is flushed and stays open
 * @throws {UnsupportedError} `DM_SOURCE_UNSUPPORTED` when the source is neither a directory nor a file
 * @throws whatever the listing of a root directory throws, and what the repository throws
 */
export async function uploadSnapshot(
  target: Repository | WriteSession,
  source: SourceEntry,
  options: UploadSnapshotOptions,
): Promise<UploadedSnapshot> {
  const { checkpointIntervalMs = maxCheckpointIntervalMs } = options;
  if (!(checkpointIntervalMs > 0 && checkpointIntervalMs <= maxCheckpointIntervalMs))
    throw new RangeError("checkpoints must not be more than 45 minutes apart");
  if (!("openWriteSession" in target)) return upload(target, source, options);
  await using session = await target.openWriteSession({ signal: options.signal });
  const snapshot = await upload(session, source, options);
  await session.commit();
  return snapshot;
}

async function upload(
  session: WriteSession,
  source: SourceEntry,
  options: UploadSnapshotOptions,
): Promise<UploadedSnapshot> {
  const { clock = systemClock, signal, stopSignal } = options;
  signal?.throwIfAborted();
  const startedAtNs = clock.nowNs();
  const previous =
    options.previous ??
    previousSnapshots(await listSnapshots(session, { source: options.source, signal }));
  const policies = options.policies ?? (await policyTree(session, options.source, { signal }));
  const { policy } = policies;
  const counter = new ProgressCounter(options.onProgress);
  const summary = previous.find(({ incompleteReason }) => !incompleteReason)?.rootEntry?.summary;
  if (summary) counter.expect(summary.fileCount + summary.symlinkCount, summary.totalBytes);
  // Whoever estimates reports failures of it; the upload does without.
  options.expected?.then(({ bytes, files }) => counter.expect(files, bytes)).catch(() => {});
  const plane = options.dataPlane ?? inPlacePlane(session);
  const walk = new TreeUpload({
    session,
    plane,
    counter,
    logger: options.logger,
    parallel:
      options.parallel || (parallelFileReadsOf(policy) ?? plane.parallelFiles ?? defaultParallel()),
    ignoreRules: options.ignoreRules ?? true,
    uploadLimitBytes: options.uploadLimitBytes,
    failFast: options.failFast ?? false,
    forceHashPercent: options.forceHashPercent ?? 0,
    random: Math.random,
    onFailure: options.onFailure,
  });
  const onAbort = (): void => {
    if (options.saveOnAbort) walk.cutOff("canceled");
    else walk.fail(signal?.reason);
  };
  const onStop = (): void => walk.cutOff("checkpoint");
  signal?.addEventListener("abort", onAbort, { once: true });
  stopSignal?.addEventListener("abort", onStop, { once: true });
  if (stopSignal?.aborted) onStop();
  const prototype = { ...emptySnapshot, source: options.source, startedAtNs };
  const checkpoints = new Checkpoints(session, walk, prototype, options);
  let rootEntry: DirectoryEntry;
  try {
    rootEntry = await walkRoot(walk, source, previous, policies);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stopSignal?.removeEventListener("abort", onStop);
    await checkpoints.end();
    if (!options.dataPlane) await plane[Symbol.asyncDispose]();
  }
  if (!options.saveOnAbort) signal?.throwIfAborted();
  const { incompleteReason } = walk;
  const snapshot: UploadedSnapshot = {
    ...prototype,
    ...times(startedAtNs, clock.nowNs(), options),
    stats: { ...walk.stats },
    ...(incompleteReason && { incompleteReason }),
    rootEntry,
    ...(incompleteReason === "checkpoint"
      ? { tags: options.checkpointTags ?? {} }
      : {
          description: options.description ?? "",
          tags: options.tags ?? {},
          pins: [...(options.pins ?? [])].sort(),
        }),
  };
  counter.finish();
  const [before] = previous;
  // The beginning of a file may be all of it, and have its object.
  const isIdentical =
    before?.incompleteReason === snapshot.incompleteReason &&
    before?.rootEntry?.objectId === rootEntry.objectId;
  const { ignoreIdentical = policy.retention.ignoreIdenticalSnapshots ?? false } = options;
  if (ignoreIdentical && isIdentical) {
    await session.flush();
    return snapshot;
  }
  return save(session, snapshot, options);
}

async function walkRoot(
  walk: TreeUpload,
  source: SourceEntry,
  previous: readonly Snapshot[],
  policies: PolicyTree,
): Promise<DirectoryEntry> {
  if (source.type === "failure") throw source.error;
  if (source.type === "d") {
    const roots = previous.flatMap(({ rootEntry }) => (rootEntry ? [rootEntry] : []));
    const byId = new Map(
      roots.filter(({ type }) => type === "d").map((root) => [root.objectId, root]),
    );
    return walk.directory(source, policies, [...byId.values()]);
  }
  if (source.type === "f")
    return walk.file(source, policies, PreviousDirectories.ofFiles(previous));
  throw new UnsupportedError(
    "DM_SOURCE_UNSUPPORTED",
    `${JSON.stringify(source.name)} is neither a directory nor a file`,
  );
}

async function save<S extends Snapshot>(
  session: WriteSession,
  snapshot: S,
  { expire = true, logger }: UploadSnapshotOptions,
  flushing: CallOptions = {},
): Promise<S> {
  const saved = putSnapshot(session, snapshot);
  try {
    if (expire) await expireSnapshots(session, snapshot.source);
  } catch (error) {
    // One manifest that cannot be read must not keep new snapshots from being made.
    if (!isDamage(error)) throw error;
    logger?.warn("Expired no snapshots", { code: error.code });
  }
  await session.flush(flushing);
  return saved;
}

/** Saves an incomplete snapshot again and again while the walk is under way. */
class Checkpoints {
  readonly #ended = new AbortController();
  readonly #done: Promise<void>;

  constructor(
    session: WriteSession,
    walk: TreeUpload,
    prototype: Snapshot,
    options: UploadSnapshotOptions,
  ) {
    this.#done = this.#run(session, walk, prototype, options);
  }

  async #run(
    session: WriteSession,
    walk: TreeUpload,
    prototype: Snapshot,
    options: UploadSnapshotOptions,
  ): Promise<void> {
    const { checkpointIntervalMs = maxCheckpointIntervalMs, clock = systemClock } = options;
    const { signal } = this.#ended;
    // An abort that saves what is there needs the store in any case.
    const flushing = { signal: options.saveOnAbort ? undefined : options.signal };
    for (;;) {
      try {
        await clock.sleep(checkpointIntervalMs, { signal });
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      if (signal.aborted) return;
      try {
        const rootEntry = await walk.checkpoint();
        if (!rootEntry) continue;
        const incompleteReason = "checkpoint";
        const endedAtNs = clock.nowNs();
        const tags = options.checkpointTags ?? {};
        await save(
          session,
          { ...prototype, endedAtNs, incompleteReason, rootEntry, tags },
          options,
          flushing,
        );
      } catch (error) {
        // Without checkpoints what is stored may be collected as garbage: better no snapshot than one that lacks data.
        walk.fail(error);
        return;
      }
    }
  }

  /** Waits for one that is under way. */
  async end(): Promise<void> {
    this.#ended.abort();
    await this.#done;
  }
}

const emptySnapshot: Snapshot = {
  id: "",
  source: { host: "", userName: "", path: "" },
  description: "",
  startedAtNs: 0n,
  endedAtNs: 0n,
  stats: emptyStats,
  tags: {},
  pins: [],
};

/** With one of the two given, the other keeps its distance, as Kopia has it. */
function times(
  startedAtNs: bigint,
  endedAtNs: bigint,
  { endedAtNs: end, startedAtNs: start }: UploadSnapshotOptions,
): { startedAtNs: bigint; endedAtNs: bigint } {
  const lengthNs = endedAtNs - startedAtNs;
  if (start !== undefined) return { startedAtNs: start, endedAtNs: end ?? start + lengthNs };
  if (end !== undefined) return { startedAtNs: end - lengthNs, endedAtNs: end };
  return { startedAtNs, endedAtNs };
}

function defaultParallel(): number {
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ?? 4;
}
