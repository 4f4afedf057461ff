/**
 * Backups: one call runs a Backup until everything is in the bucket but what its DataUploads still move; then it is looked at again
 * until they have ended. A Backup that a server left InProgress has failed: its pods may have changed since their hooks ran. The
 * later phases go on with the next server. (Unlike Velero's, what it leaves behind is taken away then: snapshots, DataUploads,
 * PodVolumeBackups, and pods that stand still.)
 * Proof: test/backup/reconcile-backup.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { ConflictError, isDmError } from "@dm/core";
import {
  type Backup,
  type BackupPhase,
  type BackupStatus,
  backups,
  isFinalBackupPhase,
  phaseOf,
} from "@dm/crds";
import { backupFile, decodeBackup } from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { writeFiles } from "../bucket/write-backup.ts";
import { scheduleOf } from "../metrics/backup-metrics.ts";
import { patientClient } from "../node-agent/patient-client.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import { backupLog } from "./backup-log.ts";
import { advance, change, inFolder, type Progress } from "./backup-status.ts";
import { failBackup, giveUpBackup } from "./fail-backup.ts";
import { finishBackup, followOperations } from "./finish-backup.ts";
import { insist, isLasting } from "./give-up.ts";
import { countMessages } from "./messages.ts";
import { observeStart } from "./observe-start.ts";
import { runBackup } from "./run-backup.ts";
import { startBackup } from "./start-backup.ts";
import { thaw } from "./thaw.ts";

/** From ReadyToStart to the end there are fewer. */
const maxSteps = 8;
/** Of each call to the API in a run: about six seconds. What fails then costs one item, and not the run. */
const callAttempts = 7;
const takenText = "backup already exists in object storage";
const diedText =
  'found a backup with status "InProgress" during the server starting, mark it as "Failed"';

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
  if (isFinalBackupPhase(phase) || ["New", "Queued", "Deleting"].includes(phase)) return undefined;
  try {
    if (phase === "InProgress") return await settle(deps, backup, options);
    if (phase.startsWith("Waiting")) return await followOperations(deps, backup, options);
    if (phase.startsWith("Finalizing")) return await finishBackup(deps, backup, options);
    return await start(deps, backup, options);
  } catch (error) {
    if (!isHopeless(deps, backup, error)) throw error;
    return giveUpBackup(deps, backup, (error as Error).message, options);
  }
}

/** What cannot work is refused; everything else is begun and carried through to what goes on without this call. */
async function start(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  const { client, logger } = deps;
  const world = await observeStart(deps, backup, options);
  const started = startBackup(backup, world, settingsOf(deps), nowOf(deps));
  if (started.status?.phase === "InProgress") {
    const isTaken = await inFolder(deps, started, options, async (folder) =>
      Boolean(await folder.read(backupFile, options)),
    );
    if (isTaken) return failBackup(deps, backup, takenText, options);
  }
  const written = await change(deps, backup, options, (stored) =>
    startBackup(stored, world, settingsOf(deps), nowOf(deps)),
  );
  logger.info("Started Backup", {
    backup: backup.metadata.name,
    phase: written?.status?.phase,
    validationErrors: written?.status?.validationErrors,
  });
  if (written?.status?.phase !== "InProgress") return written;
  if (settingsOf(deps).uploaderType === "restic")
    deps.events?.record(backups, written, {
      type: "Warning",
      reason: "ResticDeprecated",
      message: "uploaderType restic is deprecated: Kopia is used in its place",
    });
  try {
    const patient = patientClient(client, { clock: deps.clock, attempts: callAttempts });
    return await run({ ...deps, client: patient }, written, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    return failBackup(deps, written, error.message, options);
  }
}

/** From InProgress to what is waited for. */
async function run(deps: BackupDeps, backup: Backup, options: KubeCallOptions): Promise<Progress> {
  const log = backupLog(backup, () => nowOf(deps), deps.logger);
  const { count, claims, hooks, ...files } = await runBackup(
    deps,
    backup,
    log,
    progressOf(deps, backup, options),
    options,
  );
  const outcomes = (way: string): number =>
    claims.filter(({ outcome }) => outcome.do === way).length;
  const uploads = outcomes("follow");
  const kept = outcomes("keep");
  const lost = claims.filter(({ outcome }) => outcome.do === "fail" && outcome.hadSnapshot).length;
  const errors = countMessages(files.results.errors);
  const warnings = countMessages(files.results.warnings);
  const attempted = uploads + kept;
  const phase = attempted > 0 ? "WaitingForPluginOperations" : "Finalizing";
  const status: BackupStatus = {
    phase: errors > 0 ? `${phase}PartiallyFailed` : phase,
    progress: { totalItems: count, itemsBackedUp: count },
    hookStatus: {
      ...(hooks.attempted > 0 && { hooksAttempted: hooks.attempted }),
      ...(hooks.failed > 0 && { hooksFailed: hooks.failed }),
    },
    // As Velero, only snapshots that are the backup.
    ...(!backup.spec?.snapshotMoveData &&
      kept + lost > 0 && { csiVolumeSnapshotsAttempted: kept + lost }),
    ...(attempted > 0 && { backupItemOperationsAttempted: attempted }),
    ...(errors > 0 && { errors }),
    ...(warnings > 0 && { warnings }),
  };
  log.info("Backed up all items", { count, errors, warnings });
  return insist(deps, options, () =>
    advance(deps, backup, options, async (folder) => {
      const all = { ...files, log: log.member() };
      await checkName(folder, backup, options);
      await writeFiles(folder, backup.metadata.name ?? "", all, options);
      deps.metrics
        ?.gauge("velero_backup_tarball_size_bytes", "Bytes of the newest backup's tarball")
        .set(files.tarball.length, { schedule: scheduleOf(backup) });
      return status;
    }),
  );
}

/**
 * Two clusters that share a bucket, and a schedule, begin under one name at the same time. (Velero's later one writes over the
 * other's files, and its data is lost.)
 */
async function checkName(
  folder: BackupFolder,
  { metadata }: Backup,
  options: KubeCallOptions,
): Promise<void> {
  const bytes = await folder.read(backupFile, options);
  if (bytes === undefined || decodeBackup(bytes).metadata.uid === metadata.uid) return;
  throw new ConflictError("DM_BACKUP_NAME_TAKEN", takenText, { backup: metadata.name });
}

/** Writes how far the run is, now and then. */
function progressOf(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): (count: number) => Promise<void> {
  const intervalMs = settingsOf(deps).progressMs;
  let lastMs = nowOf(deps).getTime();
  return async (count) => {
    const nowMs = nowOf(deps).getTime();
    if (nowMs - lastMs < intervalMs) return;
    lastMs = nowMs;
    try {
      await change(deps, backup, options, (stored) => ({
        ...stored,
        status: { ...stored.status, progress: { totalItems: count, itemsBackedUp: count } },
      }));
    } catch (error) {
      if (!isDmError(error)) throw error;
      deps.logger.warn("Failed to write progress", { backup: backup.metadata.name, error });
    }
  };
}

/**
 * A Backup that is InProgress at the beginning of a call belongs to a server that has died. When all of its files are there, only the
 * word of it was lost; otherwise what it began is undone.
 */
async function settle(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Progress> {
  // Before the bucket, which may be away for longer.
  await thaw(deps, backup, options);
  const bytes = await inFolder(deps, backup, options, (folder) => folder.read(backupFile, options));
  const stored = bytes === undefined ? undefined : decodeBackup(bytes);
  const isWhole = /^(Waiting|Finalizing)/.test(stored?.status?.phase ?? "");
  if (isWhole && stored?.metadata.uid === backup.metadata.uid)
    return change(deps, backup, options, (one) => ({ ...one, status: stored?.status ?? {} }));
  return failBackup(deps, backup, diedText, options);
}

/** At the start whatever does not pass by itself; later what has lasted for longer than everything that is waited for. */
function isHopeless(deps: BackupDeps, backup: Backup, error: unknown): boolean {
  const { spec, status } = backup;
  const waits = [spec?.csiSnapshotTimeout];
  if (phaseOf(backup) !== "InProgress") waits.push(spec?.itemOperationTimeout);
  return isLasting(deps, error, { startedAt: status?.startTimestamp, waits });
}
