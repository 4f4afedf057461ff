/**
 * Restores: the objects of a backup, the data of their volumes, and the hooks of their pods. Every step is found again in the cluster,
 * so that a Restore which a server left InProgress goes on with the next one. (Velero gives up such a Restore.) Pods do not wait for
 * the data of claims: their being scheduled may be what that waits for.
 * Nothing has to be written to the bucket, which may be read-only; files are left there where that is possible.
 * Proof: test/restore/reconcile-restore.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError, type Logger, silentLogger } from "@dm/core";
import {
  backups,
  finalizers,
  isFinalBackupPhase,
  phaseOf,
  type Restore,
  type RestorePhase,
  type RestoreStatus,
  restores,
} from "@dm/crds";
import { nowOf, settingsOf } from "../backup/backup-deps.ts";
import { backupLog } from "../backup/backup-log.ts";
import { isLasting } from "../backup/give-up.ts";
import { listAll } from "../backup/list-all.ts";
import { countMessages } from "../backup/messages.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { hasFinalizer, isDeleting, kubeTime, removeFinalizer } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { bringItems } from "./bring-items.ts";
import {
  cancelAll,
  cancelOverdue,
  type FollowedRestore,
  followRestore,
  isMoving,
  movementErrors,
  movementsOf,
  podVolumesMade,
} from "./follow-restore.ts";
import type { RestoreDeps } from "./restore-deps.ts";
import { deleteRestoreFiles, type RestoreFiles, writeRestoreFiles } from "./restore-files.ts";
import { messagesOf, recordRestore, restoreOperations, withMessages } from "./restore-record.ts";
import { backupOf, modifiersOf, readSource, sourceProblems } from "./restore-source.ts";
import { adjustVolumes } from "./restored-volumes.ts";
import { countHooks, runHooks } from "./run-hooks.ts";
import { findBackup, startRestore } from "./start-restore.ts";

/** The next state, or how long there is nothing to do. */
type Progress = Restore | { readonly waitMs: number } | undefined;

const maxSteps = 8;

/**
 * @example reconcile: (key, signal) => reconcileRestore(deps, key, { signal })
 */
export async function reconcileRestore(
  deps: RestoreDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  for (let step = 0; step < maxSteps; step++) {
    const restore = await deps.client.get(restores, key, options);
    if (!restore) return {};
    if (isDeleting(restore)) {
      await cleanUp(deps, restore, options);
      return {};
    }
    const progress = await oneStep(deps, restore, options);
    if (progress === undefined) return {};
    if ("waitMs" in progress) return { requeueAfterMs: progress.waitMs };
  }
  return { requeueAfterMs: settingsOf(deps).operationPollMs };
}

async function oneStep(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const phase = phaseOf<RestorePhase>(restore);
  if (isFinalBackupPhase(phase)) return undefined;
  try {
    if (phase === "InProgress") return await bring(deps, restore, options);
    if (phase.startsWith("Waiting")) return await wait(deps, restore, options);
    if (phase.startsWith("Finalizing")) return await finish(deps, restore, options);
    return await start(deps, restore, options);
  } catch (error) {
    const waits = phase === "InProgress" ? [] : [restore.spec?.itemOperationTimeout];
    const startedAt = restore.status?.startTimestamp;
    if (!isLasting(deps, error, { startedAt, waits })) throw error;
    return fail(deps, restore, (error as Error).message, options);
  }
}

async function start(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const { client, logger } = deps;
  const { namespace } = restore.metadata;
  const { backup, problems } = findBackup(
    restore,
    await listAll(client, backups, { ...options, namespace }),
  );
  const found = backup ? await sourceProblems(deps, restore, backup, options) : [...problems];
  const modifiers = await modifiersOf(deps, restore, options);
  if ("problem" in modifiers) found.push(modifiers.problem);
  const written = await change(deps, restore, options, (stored) =>
    startRestore(stored, found, backup, settingsOf(deps), nowOf(deps)),
  );
  logger.info("Started Restore", {
    restore: restore.metadata.name,
    phase: written?.status?.phase,
    validationErrors: written?.status?.validationErrors,
  });
  return written;
}

async function bring(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const backup = await backupOf(deps, restore, options);
  const modifiers = await modifiersOf(deps, restore, options);
  if ("problem" in modifiers) return fail(deps, restore, modifiers.problem, options);
  // Of single objects the server's own log tells only what went wrong.
  const server: Logger = {
    ...silentLogger,
    warn: (message, fields) => deps.logger.warn(message, fields),
    error: (message, fields) => deps.logger.error(message, fields),
  };
  const log = backupLog(restore, () => nowOf(deps), server, "restore");
  log.info(`Starting restore of backup ${backup.metadata.namespace}/${backup.metadata.name}`);
  const brought = await bringItems(deps, restore, {
    ...options,
    ...(await readSource(deps, backup, options)),
    location: backup.spec?.storageLocation ?? "",
    modifiers,
    log,
    onProgress: progressNotes(deps, restore, options),
  });
  if (brought.isWaiting) return { waitMs: nextLookMs(deps, restore) };

  const movements = await movementsOf(deps, restore, options);
  const hooks = await countHooks(deps, restore, options);
  const { results, told, ...record } = recordRestore(restore, brought, movements);
  for (const { isError, message, namespace } of told)
    log[isError ? "error" : "warn"](message, { namespace });
  log.info("restore completed");
  const files = { ...record, log: log.member(), results: () => results };
  await writeRestoreFiles(deps, restore, backup, files, options);
  const errors = countMessages(results.errors);
  const warnings = countMessages(results.warnings);
  const { downloads, podVolumes } = movements;
  const isWaiting = downloads.length + podVolumes.length > 0;
  const restored = brought.outcomes.length + brought.madeNamespaces.length;
  return change(deps, restore, options, (stored) => ({
    ...stored,
    metadata: {
      ...stored.metadata,
      ...(podVolumes.length > 0 && {
        annotations: { ...stored.metadata.annotations, [podVolumesMade]: `${podVolumes.length}` },
      }),
    },
    status: {
      ...stored.status,
      phase: phaseFor(isWaiting, errors),
      progress: { totalItems: restored, itemsRestored: restored },
      ...(downloads.length > 0 && { restoreItemOperationsAttempted: downloads.length }),
      ...(hooks > 0 && { hookStatus: { hooksAttempted: hooks } }),
      ...(errors > 0 && { errors }),
      ...(warnings > 0 && { warnings }),
    },
  }));
}

/** What takes long is looked at less often: each look reads the whole backup. */
function nextLookMs(deps: RestoreDeps, { status }: Restore): number {
  const waitedMs = nowOf(deps).getTime() - Date.parse(status?.startTimestamp ?? "");
  return Math.max(settingsOf(deps).snapshotPollMs, Math.min(waitedMs / 5, 60_000));
}

async function wait(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const followed = await followRestore(deps, restore, options);
  await cancelOverdue(deps, followed, options);
  // Hooks wait for containers, and these may wait for data, but not all for all.
  await runHooks(deps, restore, options);
  const status = followedStatus(restore, followed);
  const isWaiting = isMoving(followed);
  const errors = (status.errors ?? 0) + followed.ofPodVolumes.failed.length;
  const written = await change(deps, restore, options, (stored) => ({
    ...stored,
    status: { ...stored.status, ...status, phase: phaseFor(isWaiting, errors) },
  }));
  return isWaiting ? { waitMs: settingsOf(deps).operationPollMs } : written;
}

async function finish(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const followed = await followRestore(deps, restore, options);
  const backup = await backupOf(deps, restore, options);
  const hooks = await runHooks(deps, restore, options);
  const volumes = await adjustVolumes(deps, restore, backup, followed, options);
  if (hooks.isWaiting || volumes.isWaiting) return { waitMs: settingsOf(deps).snapshotPollMs };
  const late = [...hooks.failures, ...volumes.errors];
  const messages = messagesOf([...movementErrors(followed), ...late]);
  const { downloads, ofDownloads, ofPodVolumes } = followed;
  const files: RestoreFiles = {
    operations: restoreOperations(restore, downloads, ofDownloads.failed),
    results: (before) => ({ ...before, errors: withMessages(before.errors, messages) }),
  };
  await writeRestoreFiles(deps, restore, backup, files, options);
  const status = followedStatus(restore, followed);
  const errors = (status.errors ?? 0) + ofPodVolumes.failed.length + late.length;
  const { hookStatus } = restore.status ?? {};
  const finished = await change(deps, restore, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      ...status,
      ...(errors > 0 && { errors }),
      ...(hookStatus && { hookStatus: { ...hookStatus, hooksFailed: hooks.failed } }),
      phase: errors > 0 ? "PartiallyFailed" : "Completed",
      completionTimestamp: kubeTime(nowOf(deps)),
    },
  }));
  deps.logger.info("Finished Restore", {
    restore: restore.metadata.name,
    phase: finished?.status?.phase,
  });
  return finished;
}

function phaseFor(isWaiting: boolean, errors: number): RestorePhase {
  const phase = isWaiting ? "WaitingForPluginOperations" : "Finalizing";
  return errors > 0 ? `${phase}PartiallyFailed` : phase;
}

/** Errors of DataDownloads come on top of those of items. */
function followedStatus({ status = {} }: Restore, { ofDownloads }: FollowedRestore): RestoreStatus {
  const { completed, failed } = ofDownloads;
  const ofItems = (status.errors ?? 0) - (status.restoreItemOperationsFailed ?? 0);
  const errors = ofItems + failed.length;
  return {
    ...(completed.length > 0 && { restoreItemOperationsCompleted: completed.length }),
    ...(failed.length > 0 && { restoreItemOperationsFailed: failed.length }),
    ...(errors > 0 && { errors }),
  };
}

/** Tells now and then how many objects are there, for those who watch. */
function progressNotes(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): (itemsRestored: number, totalItems: number) => Promise<void> {
  let lastMs = nowOf(deps).getTime();
  return async (itemsRestored, totalItems) => {
    const nowMs = nowOf(deps).getTime();
    if (nowMs - lastMs < settingsOf(deps).progressMs) return;
    lastMs = nowMs;
    await change(deps, restore, options, (stored) => ({
      ...stored,
      status: { ...stored.status, progress: { totalItems, itemsRestored } },
    }));
  };
}

/** Writes if the Restore is still the one that was looked at, in its phase. */
function change(
  { client, clock }: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
  make: (stored: Restore) => Restore,
): Promise<Restore | undefined> {
  const { name = "", namespace, uid } = restore.metadata;
  const phase = phaseOf(restore);
  const ifSame = (stored: Restore): Restore | undefined =>
    stored.metadata.uid === uid && phaseOf(stored) === phase ? make(stored) : undefined;
  return retryOnConflict(client, restores, { namespace, name }, ifSame, { ...options, clock });
}

async function fail(
  deps: RestoreDeps,
  restore: Restore,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Progress> {
  await cancelAll(deps, restore, `the Restore has failed: ${failureReason}`, options);
  deps.logger.warn("Failed Restore", { restore: restore.metadata.name, failureReason });
  return change(deps, restore, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      phase: "Failed",
      failureReason,
      completionTimestamp: kubeTime(nowOf(deps)),
    },
  }));
}

/** A deleted Restore takes its files with it; those of a Backup that is gone, or of a bucket that only takes reads, stay. */
async function cleanUp(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "", namespace } = restore.metadata;
  if (!hasFinalizer(restore, finalizers.restoreExternalResources)) return;
  const key = { namespace, name: restore.spec?.backupName ?? "" };
  const backup = key.name ? await deps.client.get(backups, key, options) : undefined;
  try {
    if (backup) await deleteRestoreFiles(deps, restore, backup, options);
  } catch (error) {
    if (!isDmError(error) || (error as { retryable?: boolean }).retryable === true) throw error;
    deps.logger.warn("Left files of Restore", { restore: name, error: error.message });
  }
  await removeFinalizer(
    deps.client,
    restores,
    { namespace, name },
    finalizers.restoreExternalResources,
    { ...options, clock: deps.clock },
  );
}
