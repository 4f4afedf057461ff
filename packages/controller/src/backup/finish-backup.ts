/**
 * A Backup after its run: its DataUploads, or the snapshots that are the backup, are followed until all have ended; then what became
 * of them is written down.
 * Proof: test/backup/reconcile-backup.test.ts, test/backup/kept-snapshots.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import {
  type Backup,
  type BackupPhase,
  type BackupStatus,
  type DataUpload,
  dataUploads,
  isFinalPhase,
} from "@dm/crds";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { completeFiles } from "../bucket/write-backup.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isDeleting, kubeTime } from "../runtime/objects.ts";
import { resourceName } from "../scope/resource-names.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import { backupLog } from "./backup-log.ts";
import { type BackupRecord, completeRecord } from "./backup-record.ts";
import { advance, change, type Progress } from "./backup-status.ts";
import { dropSnapshots } from "./fail-backup.ts";
import { follow, timedOutText } from "./follow.ts";
import { cancelMovement } from "./give-up.ts";
import { completeKept, isReady, keptItems, keptOf } from "./kept-snapshots.ts";
import { snapshotsOf, uploadsOf } from "./made-objects.ts";
import { dropSnapshot, releaseSnapshot } from "./move-claim.ts";

export async function followOperations(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { completed, failed, running } = backup.spec?.snapshotMoveData
    ? await lookAtUploads(deps, backup, options)
    : await lookAtSnapshots(deps, backup, options);
  const status = statusOf(backup, completed, failed);
  const isBad = (status.errors ?? 0) > 0;
  const phaseWith = (phase: "WaitingForPluginOperations" | "Finalizing"): BackupPhase =>
    isBad ? `${phase}PartiallyFailed` : phase;
  if (running === 0)
    return advance(deps, backup, options, async () => ({
      ...status,
      phase: phaseWith("Finalizing"),
    }));
  await change(deps, backup, options, (stored) => ({
    ...stored,
    status: { ...stored.status, ...status, phase: phaseWith("WaitingForPluginOperations") },
  }));
  return { waitMs: settingsOf(deps).operationPollMs };
}

interface Counts {
  readonly completed: number;
  readonly failed: number;
  readonly running: number;
}

async function lookAtUploads(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Counts> {
  const uploads = await uploadsOf(deps.client, backup, options);
  const moving = uploads.filter(({ status }) => !isFinalPhase(status?.phase));
  await dropSnapshots(deps, backup, moving, options);
  const { completed, failed, overdue, running } = followOf(deps, backup, uploads);
  for (const upload of overdue)
    await cancelMovement(deps.client, dataUploads, upload, timedOutText, options);
  return { completed: completed.length, failed: failed.length, running: running.length };
}

async function lookAtSnapshots(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Counts> {
  // Without their contents: a call for each of thousands, every few seconds.
  const kept = (await snapshotsOf(deps.client, backup, options)).filter((one) => !isDeleting(one));
  const made = backup.status?.backupItemOperationsAttempted ?? 0;
  const startMs = Date.parse(backup.status?.startTimestamp ?? "");
  const limitMs = parseGoDuration(backup.spec?.itemOperationTimeout ?? "") ?? 0;
  const isLate = !(nowOf(deps).getTime() - startMs < limitMs);
  const completed = kept.filter(({ status }) => status?.readyToUse).length;
  const open = kept.length - completed;
  const gone = Math.max(0, made - kept.length);
  return { completed, failed: gone + (isLate ? open : 0), running: isLate ? 0 : open };
}

export async function finishBackup(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const now = nowOf(deps);
  const finished = await advance(deps, backup, options, async (folder) => {
    const record = backup.spec?.snapshotMoveData
      ? await completeUploads(deps, backup, folder, now, options)
      : await completeSnapshots(deps, backup, folder, now, options);
    const inPhase = (phase: string): number =>
      record.operations.filter(({ status }) => status.phase === phase).length;
    const status = statusOf(backup, inPhase("Completed"), inPhase("Failed"));
    return {
      ...status,
      ...(!backup.spec?.snapshotMoveData &&
        status.backupItemOperationsCompleted && {
          csiVolumeSnapshotsCompleted: status.backupItemOperationsCompleted,
        }),
      phase: (status.errors ?? 0) > 0 ? "PartiallyFailed" : "Completed",
      completionTimestamp: kubeTime(now),
    };
  });
  deps.logger.info("Finished Backup", {
    backup: backup.metadata.name,
    phase: finished?.status?.phase,
    errors: finished?.status?.errors ?? 0,
  });
  return finished;
}

async function completeUploads(
  deps: BackupDeps,
  backup: Backup,
  folder: BackupFolder,
  now: Date,
  options: KubeCallOptions,
): Promise<BackupRecord> {
  const uploads = await uploadsOf(deps.client, backup, options);
  await dropSnapshots(deps, backup, [], options);
  const followed = followOf(deps, backup, uploads);
  const log = backupLog(backup, () => now, deps.logger);
  for (const { message, object } of followed.failed)
    log.error("Failed DataUpload", { upload: object?.metadata.name, error: message });
  log.info("Ended DataUploads", { completed: followed.completed.length });
  const { version } = dataUploads;
  const items = uploads.map((object) => ({ resource: resourceName(dataUploads), version, object }));
  const complete = (record: BackupRecord) => completeRecord(record, uploads, followed);
  const end = { complete, items, log: log.member(), now };
  return completeFiles(folder, backup.metadata.name ?? "", end, options);
}

async function completeSnapshots(
  deps: BackupDeps,
  backup: Backup,
  folder: BackupFolder,
  now: Date,
  options: KubeCallOptions,
): Promise<BackupRecord> {
  const { client, logger } = deps;
  const kept = await keptOf(client, backup, options);
  const log = backupLog(backup, () => now, logger);
  log.info("Ended snapshots", { ready: kept.filter(isReady).length, late: kept.length });
  const record = await completeFiles(
    folder,
    backup.metadata.name ?? "",
    {
      complete: (before) => completeKept(before, kept, kubeTime(now)),
      items: keptItems(backup, kept),
      log: log.member(),
      now,
    },
    options,
  );
  // Only when the bucket knows them: their objects go, and nothing else does.
  for (const one of kept)
    await (isReady(one) ? releaseSnapshot : dropSnapshot)(client, one.snapshot, options);
  return record;
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
function statusOf({ status = {} }: Backup, completed: number, failed: number): BackupStatus {
  const ofItems = (status.errors ?? 0) - (status.backupItemOperationsFailed ?? 0);
  const errors = ofItems + failed;
  return {
    ...(completed > 0 && { backupItemOperationsCompleted: completed }),
    ...(failed > 0 && { backupItemOperationsFailed: failed }),
    ...(errors > 0 && { errors }),
  };
}
