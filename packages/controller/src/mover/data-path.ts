/**
 * The data path of one volume: repository, then backup or restore, as the object asks.
 * Proof: test/mover/run-mover.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import {
  backupVeleroVolume,
  forgetVeleroCheckpoints,
  openVeleroRepository,
  openVeleroStore,
  restoreVeleroVolume,
} from "@dm/snapshot/velero";
import { ensureRepository } from "../repository/ensure-repository.ts";
import { readRepositoryPassword } from "../repository/repository-password.ts";
import { readStorageLocation } from "../repository/storage-location.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import { isBackup } from "./data-path-kind.ts";
import type { BackupResult, DataPathProgress, RestoreResult } from "./data-path-message.ts";
import type { BackupTask, DataPathTask, RestoreTask } from "./data-path-task.ts";
import { isMarkedDone, markDone } from "./done-file.ts";
import type { MoverSettings } from "./mover-settings.ts";

type OpenedRepository = Awaited<ReturnType<typeof openVeleroRepository>>;

export interface DataPathContext {
  readonly client: KubeClient;
  readonly settings: MoverSettings;
  readonly namespace: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts when the work is canceled. */
  readonly signal: AbortSignal;
  /** Aborts when this process is to end and another one will go on. */
  readonly stopSignal: AbortSignal;
  readonly onProgress: (progress: DataPathProgress) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Waits for the BackupRepository and opens what it stands for. */
export async function openDataPath(
  context: DataPathContext,
  { backupStorageLocation, sourceNamespace }: DataPathTask,
): Promise<OpenedRepository> {
  const { client, clock, environment, logger, namespace, settings } = context;
  const signal = AbortSignal.any([context.signal, context.stopSignal]);
  await ensureRepository(client, {
    namespace,
    volumeNamespace: sourceNamespace,
    backupStorageLocation,
    resourceTimeoutMs: settings.resourceTimeoutMs,
    signal,
    clock,
  });
  const key = { namespace, name: backupStorageLocation };
  const { credentials, location, readOnly } = await readStorageLocation(client, key, { signal });
  const password = await readRepositoryPassword(client, namespace, { signal });
  const store = await openVeleroStore(location, sourceNamespace, {
    credentials,
    environment,
    readOnly: readOnly || !isBackup(settings.kind),
    clock,
    logger,
  });
  return openVeleroRepository(store, { password, clock, logger, signal });
}

export async function backUp(
  context: DataPathContext,
  task: BackupTask,
  repository: OpenedRepository,
): Promise<BackupResult> {
  const { clock, logger, onProgress, settings, signal, stopSignal } = context;
  const { volumeMode, volumePath } = settings;
  const { config, operation, requester, tags, volume } = task;
  try {
    const backup = await backupVeleroVolume(repository, volumePath, {
      volumeMode,
      volume,
      requester,
      tags,
      operation,
      parallelFiles: countOf(config["ParallelFilesUpload"]),
      workers: settings.workers,
      parallelUploads: settings.parallelUploads,
      checkpointIntervalMs: settings.checkpointIntervalMs,
      signal,
      stopSignal,
      onProgress,
      clock,
      logger,
    });
    logger.info("Backed up volume", {
      snapshot: backup.snapshot.id,
      parent: backup.parentId,
      checkpoints: backup.checkpointIds.length,
      wasThere: backup.wasThere,
      incrementalBytes: backup.incrementalBytes,
    });
    return {
      snapshotID: backup.snapshot.id,
      emptySnapshot: backup.isEmpty,
      source: { byPath: volumePath, volumeMode },
      totalBytes: backup.totalBytes,
      incrementalBytes: backup.incrementalBytes,
    };
  } catch (error) {
    if (signal.aborted) await forget(context, task, repository);
    throw error;
  }
}

/** How long a canceled backup may take to clean up behind itself. */
const forgetTimeoutMs = 5_000;

async function forget(
  { logger }: DataPathContext,
  { operation, requester, volume }: BackupTask,
  repository: OpenedRepository,
): Promise<void> {
  try {
    const signal = AbortSignal.timeout(forgetTimeoutMs);
    await forgetVeleroCheckpoints(repository, volume, operation, { requester, signal });
  } catch (error) {
    // The next backup of this volume does it.
    logger.warn("Left checkpoints of a canceled backup", { error: String(error) });
  }
}

export async function restore(
  context: DataPathContext,
  { config, doneFor, snapshotID, snapshotSize }: RestoreTask,
  repository: OpenedRepository,
  isRetry: boolean,
): Promise<RestoreResult> {
  const { logger, onProgress, settings, stopSignal } = context;
  const { volumeMode, volumePath } = settings;
  const target = { byPath: volumePath, volumeMode };
  if (doneFor && (await isMarkedDone(volumePath, doneFor))) {
    logger.info("An earlier attempt has restored the volume", { snapshot: snapshotID });
    return { target, totalBytes: snapshotSize };
  }
  const { totalBytes } = await restoreVeleroVolume(repository, snapshotID, volumePath, {
    volumeMode,
    sparse: config["WriteSparseFiles"] === "true",
    parallelFiles: countOf(config["ParallelFilesDownload"]),
    workers: settings.workers,
    maxInFlightBytes: settings.maxInFlightBytes,
    resume: isRetry,
    signal: AbortSignal.any([context.signal, stopSignal]),
    onProgress,
    logger,
  });
  logger.info("Restored volume", { snapshot: snapshotID, totalBytes });
  if (doneFor) await markDone(volumePath, doneFor);
  return { target, totalBytes };
}

function countOf(text: string | undefined): number | undefined {
  const count = Number(text ?? 0);
  return Number.isInteger(count) && count > 0 ? count : undefined;
}
