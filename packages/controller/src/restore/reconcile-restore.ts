/**
 * Restores, as far as they move volumes: each claim, its DataDownload, and the volume's last touches. Every step is found again in
 * the cluster, so that a Restore which a server left InProgress goes on with the next one. (Velero gives up such a Restore.)
 * Nothing has to be written to the bucket, which may be read-only; results are left there where that is possible.
 * Proof: test/restore/reconcile-restore.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError, mapConcurrent, NotFoundError, parseGoDuration } from "@dm/core";
import {
  type Backup,
  backupStorageLocations,
  backups,
  type DataDownload,
  dataDownloads,
  isFinalBackupPhase,
  labels,
  phaseOf,
  type Restore,
  type RestorePhase,
  type RestoreStatus,
  restores,
  type VolumeSnapshotBackup,
  volSyncRefusal,
} from "@dm/crds";
import { type BackupDeps, nowOf, settingsOf } from "../backup/backup-deps.ts";
import { countMessages, Messages } from "../backup/backup-record.ts";
import { follow, timedOutText } from "../backup/follow.ts";
import { cancelMovement, isLasting } from "../backup/give-up.ts";
import { listAll } from "../backup/list-all.ts";
import { claimConcurrency } from "../backup/observe-backup.ts";
import {
  decodeGzipJson,
  encodeGzipJson,
  type Results,
  restoreResultsFile,
  type VolumeInfo,
} from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { type BackupContents, readBackup } from "../bucket/read-backup.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { isDeleting, kubeTime } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { bringClaim } from "./bring-claim.ts";
import { downloadName, planClaims } from "./restore-plan.ts";
import { adjustVolume } from "./restored-volumes.ts";
import { backupProblems, findBackup, startRestore } from "./start-restore.ts";

/** The next state, or how long there is nothing to do. */
type Progress = Restore | { readonly waitMs: number } | undefined;

const maxSteps = 8;

/**
 * @example reconcile: (key, signal) => reconcileRestore(deps, key, { signal })
 */
export async function reconcileRestore(
  deps: BackupDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  for (let step = 0; step < maxSteps; step++) {
    const restore = await deps.client.get(restores, key, options);
    if (!restore || isDeleting(restore)) return {};
    const progress = await oneStep(deps, restore, options);
    if (progress === undefined) return {};
    if ("waitMs" in progress) return { requeueAfterMs: progress.waitMs };
  }
  return { requeueAfterMs: settingsOf(deps).operationPollMs };
}

async function oneStep(
  deps: BackupDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const phase = phaseOf<RestorePhase>(restore);
  if (isFinalBackupPhase(phase)) return undefined;
  try {
    if (phase === "InProgress") return await bringClaims(deps, restore, options);
    if (phase.startsWith("Waiting")) return await followDownloads(deps, restore, options);
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
  deps: BackupDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const { client, logger } = deps;
  const { namespace } = restore.metadata;
  const { backup, problems } = findBackup(
    restore,
    await listAll(client, backups, { ...options, namespace }),
  );
  const found = backup ? await sourceProblems(deps, backup, options) : problems;
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

async function sourceProblems(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<string[]> {
  const key = { namespace: backup.metadata.namespace, name: backup.spec?.storageLocation ?? "" };
  const location = await deps.client.get(backupStorageLocations, key, options);
  const problems = backupProblems(backup, location);
  if (problems.length > 0) return problems;
  try {
    const { items } = await contentsOf(deps, backup, options);
    const volSync = items.find(({ resource }) => resource.startsWith("volumesnapshotbackups."));
    if (volSync === undefined) return [];
    return [volSyncRefusal(backup.metadata.name ?? "", volSync.object as VolumeSnapshotBackup)];
  } catch (error) {
    if (!isDmError(error) || (error as { retryable?: boolean }).retryable === true) throw error;
    return [`Error retrieving backup: ${error.message}`];
  }
}

async function bringClaims(
  deps: BackupDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const { logger } = deps;
  const backup = await backupOf(deps, restore, options);
  const contents = await contentsOf(deps, backup, options);
  const plans = planClaims(contents, restore, backup.spec?.storageLocation ?? "");
  const downloads = new Map(
    (await downloadsOf(deps, restore, options)).map((one) => [one.metadata.name ?? "", one]),
  );
  const context = { deps, restore, contents, downloads, options };
  const outcomes = await mapConcurrent(
    plans,
    async (plan) => ({
      plan,
      outcome: await bringClaim(context, plan, downloadName(restore, plan)),
    }),
    { concurrency: claimConcurrency, signal: options.signal },
  );
  const { resourceTimeoutMs, snapshotPollMs } = settingsOf(deps);
  const startedMs = Date.parse(restore.status?.startTimestamp ?? "");
  const mayWait = nowOf(deps).getTime() - startedMs < resourceTimeoutMs;
  if (mayWait && outcomes.some(({ outcome }) => outcome.do === "wait"))
    return { waitMs: snapshotPollMs };

  const errors = new Messages();
  const warnings = new Messages();
  let made = 0;
  let followed = 0;
  for (const { outcome, plan } of outcomes) {
    const title = `persistentvolumeclaims/${plan.source.metadata.name}`;
    const tell = (messages: Messages, message: string): void => {
      messages.about(plan.namespace, `${title}: ${message}`);
      const claim = `${plan.namespace}/${plan.source.metadata.name}`;
      logger.warn("Restored PersistentVolumeClaim with a problem", { claim, problem: message });
    };
    if (outcome.do === "fail") tell(errors, outcome.message);
    if (outcome.do === "wait") tell(errors, `${outcome.forWhat} is still being deleted`);
    if (outcome.do === "leave") tell(warnings, outcome.warning);
    if (outcome.do === "made" && outcome.warning) tell(warnings, outcome.warning);
    if (outcome.do === "follow") followed++;
    if (outcome.do === "made" || outcome.do === "follow") made++;
  }
  const results: Results = { errors: errors.all, warnings: warnings.all };
  const errorCount = countMessages(results.errors);
  const warningCount = countMessages(results.warnings);
  await leaveResults(deps, restore, backup, () => results, options);
  const phase = followed > 0 ? "WaitingForPluginOperations" : "Finalizing";
  return change(deps, restore, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      phase: errorCount > 0 ? `${phase}PartiallyFailed` : phase,
      progress: { totalItems: plans.length, itemsRestored: made },
      ...(followed > 0 && { restoreItemOperationsAttempted: followed }),
      ...(errorCount > 0 && { errors: errorCount }),
      ...(warningCount > 0 && { warnings: warningCount }),
    },
  }));
}

async function followDownloads(
  deps: BackupDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const followed = followOf(deps, restore, await downloadsOf(deps, restore, options));
  for (const download of followed.overdue)
    await cancelMovement(deps.client, dataDownloads, download, timedOutText, options);
  const status = followedStatus(restore, followed);
  const isBad = (status.errors ?? 0) > 0;
  const isRunning = followed.running.length > 0;
  const phase = isRunning ? "WaitingForPluginOperations" : "Finalizing";
  const written = await change(deps, restore, options, (stored) => ({
    ...stored,
    status: { ...stored.status, ...status, phase: isBad ? `${phase}PartiallyFailed` : phase },
  }));
  return isRunning ? { waitMs: settingsOf(deps).operationPollMs } : written;
}

async function finish(
  deps: BackupDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Progress> {
  const downloads = await downloadsOf(deps, restore, options);
  const followed = followOf(deps, restore, downloads);
  const backup = await backupOf(deps, restore, options);
  const volumes = await adjustVolumes(deps, backup, followed.completed, options);
  if ("waitMs" in volumes) return volumes;
  const status = followedStatus(restore, followed);
  const errors = (status.errors ?? 0) + volumes.errors.length;
  const addErrors = (before: Results): Results => {
    const all = new Messages(before.errors);
    for (const { message, object } of followed.failed) {
      const { namespace = "", pvc = "" } = object?.spec.targetVolume ?? {};
      all.about(namespace, pvc === "" ? message : `persistentvolumeclaims/${pvc}: ${message}`);
    }
    for (const { message, namespace } of volumes.errors) all.about(namespace, message);
    return { ...before, errors: all.all };
  };
  await leaveResults(deps, restore, backup, addErrors, options);
  const finished = await change(deps, restore, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      ...status,
      ...(errors > 0 && { errors }),
      phase: errors > 0 ? "PartiallyFailed" : "Completed",
      completionTimestamp: kubeTime(nowOf(deps)),
    },
  }));
  deps.logger.info("Finished Restore", {
    restore: restore.metadata.name,
    phase: finished?.status?.phase,
    downloads: followed.completed.length,
    errors,
  });
  return finished;
}

async function adjustVolumes(
  deps: BackupDeps,
  backup: Backup,
  downloads: readonly DataDownload[],
  options: KubeCallOptions,
): Promise<
  { readonly errors: { namespace: string; message: string }[] } | { readonly waitMs: number }
> {
  const errors: { namespace: string; message: string }[] = [];
  if (downloads.length === 0) return { errors };
  const { volumes } = await contentsOf(deps, backup, options);
  const { resourceTimeoutMs, snapshotPollMs } = settingsOf(deps);
  let isWaiting = false;
  for (const download of downloads) {
    const { namespace, pvc } = download.spec.targetVolume;
    const end = await adjustVolume(deps.client, download, infoOf(volumes, download), options);
    if (end === "done") continue;
    const endedMs = Date.parse(download.status?.completionTimestamp ?? "");
    const mayWait = nowOf(deps).getTime() - endedMs < resourceTimeoutMs;
    if (end === "not bound" && mayWait) isWaiting = true;
    else {
      const reason = end === "not bound" ? "is not bound to its restored volume" : end.error;
      errors.push({ namespace, message: `persistentvolumeclaims/${pvc}: ${reason}` });
    }
  }
  return isWaiting ? { waitMs: snapshotPollMs } : { errors };
}

function infoOf(volumes: readonly VolumeInfo[], { spec }: DataDownload): VolumeInfo | undefined {
  return volumes.find(
    ({ pvcName, pvcNamespace }) =>
      pvcName === spec.targetVolume.pvc && pvcNamespace === spec.sourceNamespace,
  );
}

async function backupOf(
  { client }: BackupDeps,
  { metadata: { namespace }, spec }: Restore,
  options: KubeCallOptions,
): Promise<Backup> {
  const name = spec?.backupName ?? "";
  const backup = await client.get(backups, { namespace, name }, options);
  if (backup) return backup;
  throw new NotFoundError("DM_BACKUP_NOT_FOUND", `there is no Backup ${namespace}/${name}`);
}

function contentsOf(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<BackupContents> {
  const { name = "" } = backup.metadata;
  const folder = ["backups", name] as const;
  return inFolder(deps, backup, folder, options, (opened) => readBackup(opened, name, options));
}

function downloadsOf(
  { client }: BackupDeps,
  { metadata: { namespace, uid } }: Restore,
  { signal }: KubeCallOptions,
): Promise<DataDownload[]> {
  const labelSelector = `${labels.restoreUid}=${uid}`;
  return listAll(client, dataDownloads, { namespace, labelSelector, signal });
}

function followOf(deps: BackupDeps, { spec, status }: Restore, downloads: readonly DataDownload[]) {
  return follow(downloads, {
    kind: "DataDownload",
    made: status?.restoreItemOperationsAttempted ?? 0,
    timeoutMs: parseGoDuration(spec?.itemOperationTimeout ?? "") ?? 0,
    now: nowOf(deps),
  });
}

/** Errors of operations come on top of those of items. */
function followedStatus(
  { status = {} }: Restore,
  { completed, failed }: ReturnType<typeof followOf>,
): RestoreStatus {
  const ofItems = (status.errors ?? 0) - (status.restoreItemOperationsFailed ?? 0);
  const errors = ofItems + failed.length;
  return {
    ...(completed.length > 0 && { restoreItemOperationsCompleted: completed.length }),
    ...(failed.length > 0 && { restoreItemOperationsFailed: failed.length }),
    ...(errors > 0 && { errors }),
  };
}

/** For people; a store that takes no writes does not stop a restore. */
async function leaveResults(
  deps: BackupDeps,
  restore: Restore,
  backup: Backup,
  make: (before: Results) => Results,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "" } = restore.metadata;
  const file = restoreResultsFile(name);
  try {
    await inFolder(deps, backup, ["restores", name], options, async (folder) => {
      const before = await folder.read(file, options);
      const results = before ? (decodeGzipJson(before, file) as Results) : undefined;
      const next = make(results ?? { errors: {}, warnings: {} });
      await folder.write(file, encodeGzipJson(next), options);
    });
  } catch (error) {
    if (!isDmError(error)) throw error;
    deps.logger.warn("Could not store results of Restore", { restore: name, error: error.message });
  }
}

async function inFolder<R>(
  deps: BackupDeps,
  { metadata, spec }: Backup,
  path: readonly ["backups" | "restores", string],
  options: KubeCallOptions,
  work: (folder: BackupFolder) => Promise<R>,
): Promise<R> {
  const location = { namespace: metadata.namespace, name: spec?.storageLocation ?? "" };
  const folder = await deps.openFolder(location, path, options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}

/** Writes if the Restore is still the one that was looked at, in its phase. */
function change(
  { client, clock }: BackupDeps,
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
  deps: BackupDeps,
  restore: Restore,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Progress> {
  const message = `the Restore has failed: ${failureReason}`;
  for (const download of await downloadsOf(deps, restore, options))
    await cancelMovement(deps.client, dataDownloads, download, message, options);
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
