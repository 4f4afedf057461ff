/**
 * Backs up a volume in Velero's place: policy, parent, upload with checkpoints, manifest, flush. A run that was stopped or
 * killed is gone on with: files that its checkpoints hold are not read again, nor regions of a block volume.
 * Format: docs/format/velero.md. Proof: test/velero-backup.test.ts, test/velero-backup.kopia.test.ts, test/velero-golden.test.ts.
 * @module
 */
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { type Clock, type Logger, StorageError, UnsupportedError } from "@dm/core";
import type { Repository, WriteSession } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { deleteSnapshots } from "../edit.ts";
import { estimateSnapshot } from "../estimate/estimate-snapshot.ts";
import { createDataPlane, type WorkerDataPlane } from "../node/data-plane/data-plane.ts";
import { openLocalSource } from "../node/local-source.ts";
import { openVolume } from "../node/volume-source.ts";
import { policyTree } from "../policy/policy-tree.ts";
import type { Snapshot, SnapshotSource } from "../snapshot-codec.ts";
import { listSnapshots } from "../snapshots.ts";
import type { SourceDirectory } from "../source/source-entry.ts";
import type { UploadFailure } from "../upload/tree-upload.ts";
import {
  type UploadedSnapshot,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "../upload/upload.ts";
import { uploadVolume } from "../volume/upload-volume.ts";
import {
  chooseVeleroParent,
  setVeleroPolicy,
  type VeleroRequester,
  veleroSnapshot,
  veleroSource,
  veleroTags,
} from "./velero.ts";

export type VeleroVolumeMode = "Filesystem" | "Block";

export interface VeleroVolumeProgress {
  /** 0 until it is known. */
  readonly totalBytes: number;
  readonly doneBytes: number;
}

/** One wish for a backup, however many attempts it takes. */
export interface VeleroOperation {
  /** Of this wish alone; the tag `velero.io/async-operation-id` of the snapshot and of its checkpoints. */
  readonly id: string;
  /** When the wish came up: what is older belongs to another one. */
  readonly startedAtNs: bigint;
}

export interface BackupVeleroVolumeOptions extends CallOptions {
  readonly volumeMode: VeleroVolumeMode;
  /** Namespace and claim; namespace, pod and claim (or volume) where a pod's files are backed up. */
  readonly volume: readonly string[];
  /** Tags beside Velero's. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /**
   * What this backup is an attempt at. An earlier attempt that ended without saying so has made the snapshot already, and only its
   * checkpoints have the same bytes of a block volume. Without it a block volume is read from its beginning.
   */
  readonly operation?: VeleroOperation | undefined;
  /** In the place of `snapshot-data-upload-download`. */
  readonly requester?: VeleroRequester | undefined;
  /** Files that are read at once (`ParallelFilesUpload`); the number of processors by default. */
  readonly parallelFiles?: number | undefined;
  /** Threads that hash and encrypt; as many as there are processors, at most 8, by default. */
  readonly workers?: number | undefined;
  /** Packs under way to the store. */
  readonly parallelUploads?: number | undefined;
  /** Time between checkpoints; 10 minutes by default, at most 45. */
  readonly checkpointIntervalMs?: number | undefined;
  /** Stops at a checkpoint, for another run to go on from; `DM_VELERO_BACKUP_STOPPED` is thrown then. */
  readonly stopSignal?: AbortSignal | undefined;
  /** Told at most five times a second. */
  readonly onProgress?: ((progress: VeleroVolumeProgress) => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export interface VeleroBackup {
  readonly snapshot: UploadedSnapshot;
  /** The volume holds no entry at all. */
  readonly isEmpty: boolean;
  readonly totalBytes: number;
  /** Bytes that no snapshot had before: those that this run has read. */
  readonly incrementalBytes: number;
  /** What it built on: a complete snapshot, and checkpoints of runs that were cut off. */
  readonly parentId: string | undefined;
  readonly checkpointIds: readonly string[];
  /** An earlier attempt had made the snapshot: nothing was read. */
  readonly wasThere: boolean;
}

const operationTag = "velero.io/async-operation-id";
const defaultCheckpointIntervalMs = 10 * 60_000;

/**
 * Makes a snapshot of what lies at `path`: a directory, or a block device or image. When the promise settles, snapshot and data
 * are durable. An abort ends it within seconds and saves no snapshot.
 * @throws {StorageError} `DM_VELERO_FILES_FAILED` when files could not be read: the snapshot is saved without them, its id is
 * `details.snapshotId`
 * @throws {StorageError} `DM_VELERO_BACKUP_STOPPED` after `stopSignal`
 * @throws {UnsupportedError} `DM_VELERO_VOLUME_UNSUPPORTED` when what lies there does not fit the mode
 */
export async function backupVeleroVolume(
  repository: Repository,
  path: string,
  options: BackupVeleroVolumeOptions,
): Promise<VeleroBackup> {
  const { parallelUploads, requester = dataMover, signal, workers } = options;
  signal?.throwIfAborted();
  const source = veleroSource(requester, options.volume);
  await using session = await repository.openWriteSession({ signal, parallelUploads });
  await setVeleroPolicy(session, source, {
    parallelFileReads: options.parallelFiles || availableParallelism(),
    signal,
  });
  await session.flush({ signal });
  const earlier = await listSnapshots(session, { source, signal });
  const finished = earlier.find((snapshot) => isFinished(snapshot, options));
  if (finished !== undefined) return asThere(finished, options);
  const parent = chooseVeleroParent(earlier, requester);
  await using dataPlane = createDataPlane(session, { workers });
  const run: Run = { repository, session, source, dataPlane, parent, earlier, options };
  const backup = await (options.volumeMode === "Block" ? ofBlock(run, path) : ofTree(run, path));
  await session.commit({ signal });
  return backup;
}

/**
 * Removes what attempts at an operation that is given up have left: it would stay until the next backup of the volume.
 * @returns the ids of the checkpoints
 */
export async function forgetVeleroCheckpoints(
  repository: Repository,
  volume: readonly string[],
  operation: VeleroOperation,
  options: Pick<BackupVeleroVolumeOptions, "requester" | "signal"> = {},
): Promise<string[]> {
  const { requester = dataMover, signal } = options;
  const source = veleroSource(requester, volume);
  await repository.refresh({ signal });
  const all = await listSnapshots(repository, { source, signal });
  const checkpoints = all.filter(
    (each) => each.incompleteReason !== undefined && isOf(operation, each),
  );
  if (checkpoints.length === 0) return [];
  await using session = await repository.openWriteSession({ signal });
  await deleteSnapshots(session, checkpoints, { signal });
  await session.commit({ signal });
  return checkpoints.map(({ id }) => id);
}

const dataMover: VeleroRequester = "snapshot-data-upload-download";

function isOf({ id, startedAtNs }: VeleroOperation, snapshot: Snapshot): boolean {
  return snapshot.tags[operationTag] === id && snapshot.startedAtNs >= startedAtNs;
}

function isFinished(
  snapshot: Snapshot,
  { operation }: BackupVeleroVolumeOptions,
): snapshot is UploadedSnapshot {
  const { incompleteReason, rootEntry, stats } = snapshot;
  if (operation === undefined || rootEntry === undefined) return false;
  return incompleteReason === undefined && stats.errorCount === 0 && isOf(operation, snapshot);
}

function asThere(snapshot: UploadedSnapshot, options: BackupVeleroVolumeOptions): VeleroBackup {
  const totalBytes = snapshot.stats.totalSize;
  options.onProgress?.({ totalBytes, doneBytes: totalBytes });
  return {
    snapshot,
    isEmpty: options.volumeMode === "Filesystem" && isEmptyTree(snapshot),
    totalBytes,
    incrementalBytes: snapshot.stats.cachedFiles === 0 ? totalBytes : 0,
    parentId: undefined,
    checkpointIds: [],
    wasThere: true,
  };
}

function isEmptyTree({ rootEntry: { summary } }: UploadedSnapshot): boolean {
  return summary?.fileCount === 0 && summary.symlinkCount === 0 && summary.directoryCount <= 1;
}

interface Run {
  readonly repository: Repository;
  readonly session: WriteSession;
  readonly source: SnapshotSource;
  readonly dataPlane: WorkerDataPlane;
  readonly parent: Snapshot | undefined;
  /** All snapshots of the source, oldest first. */
  readonly earlier: readonly Snapshot[];
  readonly options: BackupVeleroVolumeOptions;
}

function uploadOptions({ source, options }: Run) {
  const { checkpointIntervalMs = defaultCheckpointIntervalMs, operation } = options;
  const { clock, logger, requester = dataMover, signal, stopSignal } = options;
  const operationTags = operation === undefined ? {} : { [operationTag]: operation.id };
  return {
    source,
    ...veleroSnapshot,
    tags: veleroTags(requester, { ...operationTags, ...options.tags }),
    checkpointTags: operationTags,
    checkpointIntervalMs,
    stopSignal,
    clock,
    logger,
    signal,
  } satisfies UploadSnapshotOptions;
}

async function ofTree(run: Run, path: string): Promise<VeleroBackup> {
  const { dataPlane, earlier, options, parent } = run;
  const { onProgress, signal } = options;
  const root = await openLocalSource(path, { signal });
  if (root.type !== "d") throw wrongMode(path, "a directory", "Filesystem");
  const checkpoints = earlier.filter(
    ({ incompleteReason, startedAtNs }) =>
      incompleteReason !== undefined && startedAtNs > (parent?.startedAtNs ?? -1n),
  );
  const ended = new AbortController();
  const failures = new Failures();
  let readBytes = 0;
  try {
    const snapshot = await uploadSnapshot(run.session, root, {
      ...uploadOptions(run),
      dataPlane,
      previous: parent ? [parent, ...checkpoints] : checkpoints,
      expected: onProgress && expectedOf(run, root, ended.signal),
      onFailure: (failure) => failures.note(failure),
      onProgress({ cachedBytes, estimatedBytes = 0, hashedBytes }) {
        readBytes = hashedBytes;
        const doneBytes = cachedBytes + hashedBytes;
        onProgress?.({ totalBytes: Math.max(estimatedBytes, doneBytes), doneBytes });
      },
    });
    throwIfStopped(snapshot, options);
    failures.throwIfAny(snapshot);
    const totalBytes = snapshot.stats.totalSize;
    onProgress?.({ totalBytes, doneBytes: totalBytes });
    return {
      snapshot,
      isEmpty: isEmptyTree(snapshot),
      totalBytes,
      incrementalBytes: readBytes,
      parentId: parent?.id,
      checkpointIds: checkpoints.map(({ id }) => id),
      wasThere: false,
    };
  } finally {
    ended.abort();
  }
}

/** What there is in total, found by a walk beside the upload. */
async function expectedOf(
  { repository, session, source }: Run,
  root: SourceDirectory,
  signal: AbortSignal,
): Promise<{ files: number; bytes: number }> {
  const policies = await policyTree(session, source, { signal });
  const { included } = await estimateSnapshot(repository, root, {
    source,
    policies,
    previous: [],
    signal,
  });
  return included;
}

async function ofBlock(run: Run, path: string): Promise<VeleroBackup> {
  const { dataPlane, earlier, options, parent } = run;
  const { onProgress, operation } = options;
  await using volume = await openVolume(path).catch((cause: unknown) => {
    if ((cause as { code?: string }).code !== "DM_VOLUME_UNSUPPORTED") throw cause;
    throw wrongMode(path, "a block device or an image", "Block", cause);
  });
  const isSameVolume = (each: Snapshot): boolean =>
    operation !== undefined && isOf(operation, each);
  const { snapshot, volume: done } = await uploadVolume(run.session, volume, {
    ...uploadOptions(run),
    // The same in every pod that has the volume: under this name its checkpoints are found.
    name: `/${basename(path)}`,
    openedAtNs: volume.openedAtNs,
    dataPlane,
    saveOnAbort: false,
    resume: isSameVolume,
    onVolumeProgress: ({ doneBytes, sizeBytes }) =>
      onProgress?.({ totalBytes: sizeBytes, doneBytes }),
  });
  throwIfStopped(snapshot, options);
  return {
    snapshot,
    isEmpty: false,
    totalBytes: done.sizeBytes,
    incrementalBytes: done.readBytes,
    parentId: parent?.id,
    checkpointIds: earlier
      .filter((each) => each.incompleteReason !== undefined && isSameVolume(each))
      .map(({ id }) => id),
    wasThere: false,
  };
}

/** @throws {StorageError} `DM_VELERO_BACKUP_STOPPED` */
function throwIfStopped(snapshot: Snapshot, { stopSignal }: BackupVeleroVolumeOptions): void {
  if (snapshot.incompleteReason === undefined) return;
  throw new StorageError(
    "DM_VELERO_BACKUP_STOPPED",
    "the backup was stopped; the next one goes on from its checkpoint",
    { checkpointId: snapshot.id },
    { cause: stopSignal?.reason },
  );
}

const maxToldFailures = 10;

/** Entries that will be missing; those that the policy ignores do not count. */
class Failures {
  #count = 0;
  readonly #lines: string[] = [];

  note({ isIgnored, path, text }: UploadFailure): void {
    if (isIgnored) return;
    this.#count++;
    if (this.#lines.length < maxToldFailures)
      this.#lines.push(`Error when processing ${path}: ${text}`);
  }

  /** @throws {StorageError} `DM_VELERO_FILES_FAILED` */
  throwIfAny({ id, stats }: Snapshot): void {
    const count = Math.max(this.#count, stats.errorCount);
    if (count === 0) return;
    const lines = [...this.#lines];
    if (count > lines.length) lines.push("too many errors, ignored...");
    throw new StorageError("DM_VELERO_FILES_FAILED", lines.join("\n"), {
      snapshotId: id,
      failureCount: count,
    });
  }
}

function wrongMode(
  path: string,
  wanted: string,
  mode: VeleroVolumeMode,
  cause?: unknown,
): UnsupportedError {
  return new UnsupportedError(
    "DM_VELERO_VOLUME_UNSUPPORTED",
    `${path} is not ${wanted}, as a volume of mode ${mode} must be`,
    { path, mode },
    { cause },
  );
}
