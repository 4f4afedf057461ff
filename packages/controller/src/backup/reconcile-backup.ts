/**
 * Backups: one call runs a Backup until everything is in the bucket but what its DataUploads still move; then it is looked at again
 * until they have ended. A Backup that a server left InProgress has failed: its pods may have changed since their hooks ran. The
 * later phases go on with the next server. (Unlike Velero's, what it leaves behind is taken away then: snapshots, DataUploads,
 * PodVolumeBackups, and pods that stand still.)
 * Proof: test/backup/reconcile-backup.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError, parseGoDuration } from "@dm/core";
import {
  type Backup,
  type BackupPhase,
  type BackupStatus,
  backups,
  type DataUpload,
  dataUploads,
  isFinalBackupPhase,
  isFinalPhase,
  phaseOf,
  podVolumeBackups,
} from "@dm/crds";
import { backupFile, decodeBackup } from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { completeFiles, writeBackup, writeFiles } from "../bucket/write-backup.ts";
import { patientClient } from "../node-agent/patient-client.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { isDeleting, kubeTime } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import { backupLog } from "./backup-log.ts";
import { completeRecord, countMessages } from "./backup-record.ts";
import { follow, timedOutText } from "./follow.ts";
import { cancelMovement, insist, isLasting } from "./give-up.ts";
import { podVolumeBackupsOf, snapshotsOf, uploadsOf } from "./made-objects.ts";
import { dropSnapshot, releaseSnapshot } from "./move-claim.ts";
import { observeStart } from "./observe-start.ts";
import { runBackup } from "./run-backup.ts";
import { startBackup } from "./start-backup.ts";
import { thaw } from "./thaw.ts";

/** The next state, or how long there is nothing to do. */
type Progress = Backup | { readonly waitMs: number } | undefined;

/** From ReadyToStart to the end there are fewer. */
const maxSteps = 8;
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
    if (phase.startsWith("Waiting")) return await followUploads(deps, backup, options);
    if (phase.startsWith("Finalizing")) return await finish(deps, backup, options);
    return await start(deps, backup, options);
  } catch (error) {
    if (!isHopeless(deps, backup, error)) throw error;
    return fail(deps, backup, (error as Error).message, options);
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
    if (isTaken) return fail(deps, backup, "backup already exists in object storage", options);
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
    return await run({ ...deps, client: patientClient(client, deps) }, written, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    return fail(deps, written, error.message, options);
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
  const phase = uploads > 0 ? "WaitingForPluginOperations" : "Finalizing";
  const status: BackupStatus = {
    phase: errors > 0 ? `${phase}PartiallyFailed` : phase,
    progress: { totalItems: count, itemsBackedUp: count },
    hookStatus: {
      ...(hooks.attempted > 0 && { hooksAttempted: hooks.attempted }),
      ...(hooks.failed > 0 && { hooksFailed: hooks.failed }),
    },
    // As Velero, only snapshots that are the backup.
    ...(!backup.spec?.snapshotMoveData &&
      kept + lost > 0 && {
        csiVolumeSnapshotsAttempted: kept + lost,
        csiVolumeSnapshotsCompleted: kept,
      }),
    ...(uploads > 0 && { backupItemOperationsAttempted: uploads }),
    ...(errors > 0 && { errors }),
    ...(warnings > 0 && { warnings }),
  };
  log.info("Backed up all items", { count, errors, warnings });
  return insist(deps, options, () =>
    advance(deps, backup, options, {
      record: (folder) =>
        writeFiles(folder, backup.metadata.name ?? "", { ...files, log: log.member() }, options),
      status,
    }),
  );
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
    await change(deps, backup, options, (stored) => ({
      ...stored,
      status: { ...stored.status, progress: { totalItems: count, itemsBackedUp: count } },
    }));
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
  const bytes = await inFolder(deps, backup, options, (folder) => folder.read(backupFile, options));
  const stored = bytes === undefined ? undefined : decodeBackup(bytes);
  if (stored?.metadata.uid === backup.metadata.uid && stored?.status?.phase !== "Failed")
    return change(deps, backup, options, (one) => ({ ...one, status: stored?.status ?? {} }));
  await thaw(deps, backup, options);
  return fail(deps, backup, diedText, options);
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
  const log = backupLog(backup, () => now, deps.logger);
  const phase = isBad ? "PartiallyFailed" : "Completed";
  for (const { message, object } of followed.failed)
    log.error("Failed DataUpload", { upload: object?.metadata.name, error: message });
  log.info("Finished Backup", { phase, uploads: followed.completed.length });
  const finished = await advance(deps, backup, options, {
    record: (folder) =>
      completeFiles(
        folder,
        name,
        {
          complete: (record) => completeRecord(record, uploads, followed),
          uploads,
          log: log.member(),
          now,
        },
        options,
      ),
    status: { ...status, phase, completionTimestamp: kubeTime(now) },
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

/**
 * Takes away the snapshots of which no data moves: they have failed, or their DataUploads have ended without them. When the snapshots
 * are the backup, only their objects go.
 */
async function dropSnapshots(
  { client }: BackupDeps,
  backup: Backup,
  moving: readonly DataUpload[],
  options: KubeCallOptions,
): Promise<void> {
  const kept = new Set(
    moving.map(({ spec }) => `${spec.sourceNamespace}/${spec.csiSnapshot?.volumeSnapshot}`),
  );
  const isBackup = !backup.spec?.snapshotMoveData && phaseOf(backup).startsWith("Finalizing");
  for (const snapshot of await snapshotsOf(client, backup, options)) {
    const { name, namespace } = snapshot.metadata;
    if (kept.has(`${namespace}/${name}`) || isDeleting(snapshot)) continue;
    await (isBackup ? releaseSnapshot : dropSnapshot)(client, snapshot, options);
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
  const { client, logger } = deps;
  const { name } = backup.metadata;
  const message = `the Backup has failed: ${failureReason}`;
  for (const upload of await uploadsOf(client, backup, options))
    await cancelMovement(client, dataUploads, upload, message, options);
  for (const one of await podVolumeBackupsOf(client, backup, options))
    await cancelMovement(client, podVolumeBackups, one, message, options);
  await dropSnapshots(deps, backup, [], options);
  logger.warn("Failed Backup", { backup: name, failureReason });
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
