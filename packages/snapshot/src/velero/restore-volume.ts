/**
 * Restores a volume from a snapshot, whoever made it, and proves what was restored: attributes and contents are read again.
 * Format: docs/format/velero.md. Proof: test/velero-backup.test.ts, test/velero-golden.test.ts.
 * @module
 */
import { open, realpath } from "node:fs/promises";
import { isDmError, type Logger, NotFoundError, StorageError, UnsupportedError } from "@dm/core";
import type { Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { loadPosix } from "../node/posix/load-posix.ts";
import { restoreTree } from "../node/restore/restore-tree.ts";
import { restoreVolume } from "../node/restore-volume.ts";
import type { Snapshot } from "../snapshot-codec.ts";
import { openSnapshot } from "../snapshots.ts";
import type { VeleroVolumeMode, VeleroVolumeProgress } from "./backup-volume.ts";

export interface RestoreVeleroVolumeOptions extends CallOptions {
  readonly volumeMode: VeleroVolumeMode;
  /** Runs of zeros become holes (`WriteSparseFiles`); off by default, as in Velero. Zeros of a block volume are always left out. */
  readonly sparse?: boolean | undefined;
  /** Groups of files, or parts of a block volume, under way at once (`ParallelFilesDownload`). */
  readonly parallelFiles?: number | undefined;
  /** Threads that decrypt and write. */
  readonly workers?: number | undefined;
  /** Bytes read from the store and not yet written. */
  readonly maxInFlightBytes?: number | undefined;
  /** Read everything again that was written and compare it; on by default. */
  readonly verify?: boolean | undefined;
  /** The target has what an earlier run of this restore has finished: it is kept. Off by default. */
  readonly resume?: boolean | undefined;
  readonly onProgress?: ((progress: VeleroVolumeProgress) => void) | undefined;
  readonly logger?: Logger | undefined;
}

export interface VeleroRestore {
  readonly snapshot: Snapshot;
  readonly totalBytes: number;
}

/**
 * Restores the snapshot with this manifest id to a directory, or to a block device or image that is there. When the promise
 * settles, everything is on the medium. An abort ends it within seconds; what was restored by then stays.
 * @throws {NotFoundError} `DM_VELERO_SNAPSHOT_NOT_FOUND`
 * @throws {StorageError} `DM_VELERO_RESTORE_INCOMPLETE` when anything is not as the snapshot has it
 */
export async function restoreVeleroVolume(
  repository: Repository,
  snapshotId: string,
  path: string,
  options: RestoreVeleroVolumeOptions,
): Promise<VeleroRestore> {
  const snapshot = await load(repository, snapshotId, options);
  const { rootEntry } = snapshot;
  if (rootEntry === undefined) {
    throw new UnsupportedError(
      "DM_VELERO_VOLUME_UNSUPPORTED",
      `snapshot ${snapshotId} has no root: nothing can be restored from it`,
    );
  }
  const restored =
    options.volumeMode === "Block"
      ? await toBlock(repository, rootEntry, path, options)
      : await toTree(repository, rootEntry, path, options);
  options.onProgress?.({ totalBytes: restored, doneBytes: restored });
  return { snapshot, totalBytes: restored };
}

async function load(
  repository: Repository,
  id: string,
  { signal }: CallOptions,
): Promise<Snapshot> {
  try {
    const snapshot = await openSnapshot(repository, id, { signal }).catch(orUndefined);
    if (snapshot !== undefined) return snapshot;
    // It may be younger than what this client has read.
    await repository.refresh({ signal });
    return await openSnapshot(repository, id, { signal });
  } catch (cause) {
    if (!isDmError(cause, "DM_SNAPSHOT_NOT_FOUND")) throw cause;
    throw new NotFoundError(
      "DM_VELERO_SNAPSHOT_NOT_FOUND",
      `Unable to load snapshot ${id}: ${cause.message}`,
      { snapshotId: id },
      { cause },
    );
  }
}

function orUndefined(error: unknown): undefined {
  if (!isDmError(error, "DM_SNAPSHOT_NOT_FOUND")) throw error;
}

type RootEntry = NonNullable<Snapshot["rootEntry"]>;

/** As Velero restores: extra files stay, and owners that may not be set are told once. */
async function toTree(
  repository: Repository,
  root: RootEntry,
  path: string,
  options: RestoreVeleroVolumeOptions,
): Promise<number> {
  const { logger, maxInFlightBytes, onProgress, parallelFiles, signal, workers } = options;
  const { resume, sparse = false, verify = true } = options;
  // A volume is there already: a path without one must not become a directory of this machine.
  const target = await realpath(path);
  const report = await restoreTree(repository, root, target, {
    sparse,
    resume,
    verifyContent: verify,
    parallel: parallelFiles || undefined,
    workers,
    maxInFlightBytes,
    signal,
    onProgress: ({ bytesDone, skippedBytes, totalBytes = 0 }) => {
      const doneBytes = bytesDone + skippedBytes;
      onProgress?.({ totalBytes: Math.max(totalBytes, doneBytes), doneBytes });
    },
  });
  for (const notice of report.notices) logger?.warn("Restored with a loss", { notice });
  if (!report.ok) {
    throw incomplete(
      report.losses.map((loss) => `${loss.path || "."}: ${loss.reason}`),
      report.lossCount,
    );
  }
  await flushFileSystem(target);
  return report.bytesDone + report.skippedBytes;
}

async function flushFileSystem(path: string): Promise<void> {
  const posix = await loadPosix();
  const directory = await open(path, "r");
  try {
    posix.syncFileSystem(directory.fd);
  } finally {
    await directory.close();
  }
}

async function toBlock(
  repository: Repository,
  root: RootEntry,
  path: string,
  options: RestoreVeleroVolumeOptions,
): Promise<number> {
  const { onProgress, parallelFiles, resume, signal, verify } = options;
  const restored = await restoreVolume(repository, root, path, {
    inPlace: true,
    resume,
    verifyContent: verify,
    parallelParts: parallelFiles || undefined,
    signal,
    onProgress: ({ doneBytes, sizeBytes }) => onProgress?.({ totalBytes: sizeBytes, doneBytes }),
  });
  if (!restored.ok) {
    throw incomplete(
      restored.losses.map(
        ({ length, reason, start }) => `bytes ${start} to ${start + length}: ${reason}`,
      ),
      restored.losses.length,
    );
  }
  return restored.sizeBytes;
}

const maxTold = 10;

function incomplete(lines: readonly string[], count: number): StorageError {
  const told = lines.slice(0, maxTold);
  if (count > told.length) told.push(`and ${count - told.length} more`);
  return new StorageError(
    "DM_VELERO_RESTORE_INCOMPLETE",
    `not everything was restored: ${told.join("; ")}`,
    { lossCount: count },
  );
}
