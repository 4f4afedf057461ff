/**
 * Backups, as far as they move volumes: each claim's snapshot, its DataUpload, and the files from which a restore works. Every step
 * is found again in the cluster and the bucket, so that a Backup which a server left InProgress goes on with the next one.
 * (Velero gives up such a Backup.)
 * Proof: test/backup/reconcile-backup.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { mapConcurrent, parseGoDuration } from "@dm/core";
import {
  type Backup,
  type BackupPhase,
  type BackupStatus,
  backupStorageLocations,
  backups,
  type DataUpload,
  dataUploads,
  isFinalBackupPhase,
  isFinalPhase,
  phaseOf,
} from "@dm/crds";
import { backupFile } from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { readRecord, writeBackup, writeRecord } from "../bucket/write-backup.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { isDeleting, kubeTime } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import { completeRecord, countMessages, recordBackup, type SettledClaim } from "./backup-record.ts";
import { decideClaim } from "./decide-claim.ts";
import { follow, timedOutText } from "./follow.ts";
import { cancelMovement, isLasting } from "./give-up.ts";
import { listAll } from "./list-all.ts";
import { dropSnapshot, moveClaim } from "./move-claim.ts";
import { claimConcurrency, observeBackup, snapshotsOf, uploadsOf } from "./observe-backup.ts";
import { startBackup } from "./start-backup.ts";

/** The next state, or how long there is nothing to do. */
type Progress = Backup | { readonly waitMs: number } | undefined;

/** From New to the end there are fewer. */
const maxSteps = 8;

/**
 * @example reconcile: (key, signal) => reconcileBackup(deps, key, { signal })
 */
export async function reconcileBackup(
  deps: BackupDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  for (let step = 0; step < maxSteps; step++) {
    const backup = await deps.client.get(backups, key, options);
    if (!backup || isDeleting(backup)) return {};
    const progress = await oneStep(deps, backup, options);
    if (progress === undefined) return {};
    if ("waitMs" in progress) return { requeueAfterMs: progress.waitMs };
  }
  return { requeueAfterMs: settingsOf(deps).operationPollMs };
}

async function oneStep(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const phase = phaseOf<BackupPhase>(backup);
  if (isFinalBackupPhase(phase) || phase === "Deleting") return undefined;
  try {
    if (phase === "InProgress") return await moveClaims(deps, backup, options);
    if (phase.startsWith("Waiting")) return await followUploads(deps, backup, options);
    if (phase.startsWith("Finalizing")) return await finish(deps, backup, options);
    return await start(deps, backup, options);
  } catch (error) {
    if (!isHopeless(deps, backup, error)) throw error;
    return fail(deps, backup, (error as Error).message, options);
  }
}

async function start(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { namespace } = backup.metadata;
  const locations = await listAll(deps.client, backupStorageLocations, { ...options, namespace });
  const started = startBackup(backup, locations, settingsOf(deps), nowOf(deps));
  if (started.status?.phase === "InProgress") {
    const isTaken = await inFolder(deps, started, options, async (folder) =>
      Boolean(await folder.read(backupFile, options)),
    );
    if (isTaken) return fail(deps, backup, "backup already exists in object storage", options);
  }
  const written = await change(deps, backup, options, (stored) =>
    startBackup(stored, locations, settingsOf(deps), nowOf(deps)),
  );
  deps.logger.info("Started Backup", {
    backup: backup.metadata.name,
    phase: written?.status?.phase,
    validationErrors: written?.status?.validationErrors,
  });
  return written;
}

async function moveClaims(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { client, logger } = deps;
  const seen = await observeBackup(client, backup, options);
  const limits = {
    now: nowOf(deps),
    timeoutMs: parseGoDuration(backup.spec?.csiSnapshotTimeout ?? "") ?? 0,
  };
  const outcomes = await mapConcurrent(
    seen.claims,
    async (one) => ({
      claim: one.claim,
      outcome: await moveClaim(
        deps,
        backup,
        one,
        decideClaim(one, backup, seen.classes, limits),
        options,
      ),
    }),
    { concurrency: claimConcurrency, signal: options.signal },
  );
  const settled = outcomes.filter((one): one is SettledClaim => one.outcome.do !== "wait");
  if (settled.length < outcomes.length) return { waitMs: settingsOf(deps).snapshotPollMs };

  const record = recordBackup(backup, settled, seen);
  const uploads = settled.filter(({ outcome }) => outcome.do === "follow").length;
  const lost = settled.filter(({ outcome }) => outcome.do === "fail" && outcome.hadSnapshot).length;
  const errors = countMessages(record.results.errors);
  const warnings = countMessages(record.results.warnings);
  for (const { claim, outcome } of settled)
    if (outcome.do === "fail")
      logger.warn("Failed to back up PersistentVolumeClaim", {
        backup: backup.metadata.name,
        claim: `${claim.metadata.namespace}/${claim.metadata.name}`,
        error: outcome.message,
      });
  const count = record.items.length;
  const phase = uploads > 0 ? "WaitingForPluginOperations" : "Finalizing";
  return advance(deps, backup, options, {
    record: (folder) =>
      writeRecord(folder, backup.metadata.name ?? "", record, nowOf(deps), options),
    status: {
      phase: errors > 0 ? `${phase}PartiallyFailed` : phase,
      progress: { totalItems: count, itemsBackedUp: count },
      ...(uploads + lost > 0 && {
        csiVolumeSnapshotsAttempted: uploads + lost,
        csiVolumeSnapshotsCompleted: uploads,
      }),
      ...(uploads > 0 && { backupItemOperationsAttempted: uploads }),
      ...(errors > 0 && { errors }),
      ...(warnings > 0 && { warnings }),
    },
  });
}

async function followUploads(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { client } = deps;
  const uploads = await uploadsOf(client, backup, options);
  const moving = uploads.filter(({ status }) => !isFinalPhase(status?.phase));
  await dropSnapshots(deps, backup, moving, options);
  const followed = followOf(deps, backup, uploads);
  for (const upload of followed.overdue)
    await cancelMovement(client, dataUploads, upload, timedOutText, options);
  const status = followedStatus(backup, followed);
  if (followed.running.length > 0) {
    await change(deps, backup, options, (stored) => {
      const isBad = (status.errors ?? 0) > 0;
      const waiting = "WaitingForPluginOperations";
      const phase: BackupPhase = isBad ? `${waiting}PartiallyFailed` : waiting;
      return { ...stored, status: { ...stored.status, ...status, phase } };
    });
    return { waitMs: settingsOf(deps).operationPollMs };
  }
  const phase = (status.errors ?? 0) > 0 ? "FinalizingPartiallyFailed" : "Finalizing";
  return advance(deps, backup, options, { status: { ...status, phase } });
}

async function finish(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { name = "" } = backup.metadata;
  const uploads = await uploadsOf(deps.client, backup, options);
  await dropSnapshots(deps, backup, [], options);
  const followed = followOf(deps, backup, uploads);
  const status = followedStatus(backup, followed);
  const now = nowOf(deps);
  const isBad = (status.errors ?? 0) > 0;
  const finished = await advance(deps, backup, options, {
    record: async (folder) => {
      const record = completeRecord(await readRecord(folder, name, options), uploads, followed);
      await writeRecord(folder, name, record, now, options);
    },
    status: {
      ...status,
      phase: isBad ? "PartiallyFailed" : "Completed",
      completionTimestamp: kubeTime(now),
    },
  });
  deps.logger.info("Finished Backup", {
    backup: name,
    phase: finished?.status?.phase,
    uploads: followed.completed.length,
    errors: status.errors ?? 0,
  });
  return finished;
}

function followOf(deps: BackupDeps, { spec, status }: Backup, uploads: readonly DataUpload[]) {
  return follow(uploads, {
    kind: "DataUpload",
    made: status?.backupItemOperationsAttempted ?? 0,
    timeoutMs: parseGoDuration(spec?.itemOperationTimeout ?? "") ?? 0,
    now: nowOf(deps),
  });
}

/** Errors of operations come on top of those of items. */
function followedStatus(
  { status = {} }: Backup,
  { completed, failed }: ReturnType<typeof followOf>,
): BackupStatus {
  const ofItems = (status.errors ?? 0) - (status.backupItemOperationsFailed ?? 0);
  const errors = ofItems + failed.length;
  return {
    ...(completed.length > 0 && { backupItemOperationsCompleted: completed.length }),
    ...(failed.length > 0 && { backupItemOperationsFailed: failed.length }),
    ...(errors > 0 && { errors }),
  };
}

/** Takes away the snapshots of which no data moves: they have failed, or their DataUploads have ended without them. */
async function dropSnapshots(
  { client }: BackupDeps,
  backup: Backup,
  moving: readonly DataUpload[],
  options: KubeCallOptions,
): Promise<void> {
  const kept = new Set(
    moving.map(({ spec }) => `${spec.sourceNamespace}/${spec.csiSnapshot?.volumeSnapshot}`),
  );
  for (const snapshot of await snapshotsOf(client, backup, options)) {
    const { name, namespace } = snapshot.metadata;
    if (!kept.has(`${namespace}/${name}`) && !isDeleting(snapshot))
      await dropSnapshot(client, snapshot, options);
  }
}

/** The Backup's folder is written before the cluster says so; done twice, it comes to the same. */
async function advance(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
  next: {
    readonly record?: (folder: BackupFolder) => Promise<void>;
    readonly status: BackupStatus;
  },
): Promise<Backup | undefined> {
  const status = { ...backup.status, ...next.status };
  await inFolder(deps, backup, options, async (folder) => {
    await next.record?.(folder);
    await writeBackup(folder, { ...backup, status }, options);
  });
  return change(deps, backup, options, (stored) => ({
    ...stored,
    status: { ...stored.status, ...next.status },
  }));
}

/** Writes if the Backup is still the one that was looked at, in its phase. */
function change(
  { client, clock }: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
  make: (stored: Backup) => Backup,
): Promise<Backup | undefined> {
  const { name = "", namespace, uid } = backup.metadata;
  const phase = phaseOf(backup);
  const ifSame = (stored: Backup): Backup | undefined =>
    stored.metadata.uid === uid && phaseOf(stored) === phase ? make(stored) : undefined;
  return retryOnConflict(client, backups, { namespace, name }, ifSame, { ...options, clock });
}

async function inFolder<R>(
  deps: BackupDeps,
  { metadata, spec }: Backup,
  options: KubeCallOptions,
  work: (folder: BackupFolder) => Promise<R>,
): Promise<R> {
  const location = { namespace: metadata.namespace, name: spec?.storageLocation ?? "" };
  const folder = await deps.openFolder(location, ["backups", metadata.name ?? ""], options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}

/** At the start whatever does not pass by itself; later what has lasted for longer than everything that is waited for. */
function isHopeless(deps: BackupDeps, backup: Backup, error: unknown): boolean {
  const { spec, status } = backup;
  const waits = [spec?.csiSnapshotTimeout];
  if (phaseOf(backup) !== "InProgress") waits.push(spec?.itemOperationTimeout);
  return isLasting(deps, error, { startedAt: status?.startTimestamp, waits });
}

async function fail(
  deps: BackupDeps,
  backup: Backup,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Progress> {
  const { name } = backup.metadata;
  const uploads = await uploadsOf(deps.client, backup, options);
  for (const upload of uploads)
    await cancelMovement(
      deps.client,
      dataUploads,
      upload,
      `the Backup has failed: ${failureReason}`,
      options,
    );
  await dropSnapshots(deps, backup, [], options);
  deps.logger.warn("Failed Backup", { backup: name, failureReason });
  return change(deps, backup, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      phase: "Failed",
      failureReason,
      completionTimestamp: kubeTime(nowOf(deps)),
    },
  }));
}
