/**
 * What a change of a Backup, a Restore or a Schedule counts for. Pure: the state before and the state after,
 * between which others may have been missed, make the changes; the same two states never count twice.
 * Proof: test/metrics/backup-metrics.test.ts.
 * @module
 */
import { type Backup, type BackupPhase, labels, type Restore, type Schedule } from "@dm/crds";
import {
  count,
  forget,
  type MetricChange,
  observe,
  secondsBetween,
  set,
  timeOf,
} from "./derived-metrics.ts";
import type { CounterName } from "./metric-catalog.ts";

/** Phases before the work begins. */
const waiting: ReadonlySet<string> = new Set(["New", "Queued", "ReadyToStart"]);
/** Phases that end it. `Deleting` comes after one of them. */
const final: ReadonlySet<string> = new Set([
  "Completed",
  "PartiallyFailed",
  "Failed",
  "FailedValidation",
]);
const isOver = (phase: string): boolean => final.has(phase) || phase === "Deleting";

export function scheduleOf(backup: Backup): string {
  return backup.metadata.labels?.[labels.scheduleName] ?? "";
}

type BackupCounter = Extract<CounterName, `velero_backup_${string}`>;
const backupEnds: Readonly<Partial<Record<BackupPhase, BackupCounter>>> = {
  Completed: "velero_backup_success_total",
  PartiallyFailed: "velero_backup_partial_failure_total",
  Failed: "velero_backup_failure_total",
  FailedValidation: "velero_backup_validation_failure_total",
};

/** `before` is undefined for a Backup that is new. One that came from the bucket was never begun here, and counts for nothing. */
export function backupChanges(before: Backup | undefined, after: Backup): MetricChange[] {
  const was: BackupPhase = before?.status?.phase ?? "New";
  const is: BackupPhase = after.status?.phase ?? "New";
  if (isOver(was) || (!before && isOver(is))) return [];
  const schedule = scheduleOf(after);
  const changes: MetricChange[] = [];
  if (waiting.has(was) && !waiting.has(is) && is !== "FailedValidation")
    changes.push(count("velero_backup_attempt_total", { schedule }));
  const end = backupEnds[is];
  if (!end) return changes;
  changes.push(count(end, { schedule }));
  const { status } = after;
  if (is === "FailedValidation") return changes;
  const seconds = secondsBetween(status?.startTimestamp, status?.completionTimestamp);
  if (seconds !== undefined)
    changes.push(observe("velero_backup_duration_seconds", { schedule }, seconds));
  if ((status?.warnings ?? 0) > 0) changes.push(count("velero_backup_warning_total", { schedule }));
  changes.push(
    set("velero_backup_items_total", { schedule }, status?.progress?.totalItems ?? 0),
    set("velero_backup_items_errors", { schedule }, status?.errors ?? 0),
    ...snapshotChanges(after),
  );
  return changes;
}

/** What the newest Backup that is over says of its schedule. Whoever applies it knows which is the newest. */
export function lastBackupChanges(backup: Backup): MetricChange[] {
  const schedule = scheduleOf(backup);
  const { completionTimestamp, phase = "New" } = backup.status ?? {};
  if (!final.has(phase)) return [];
  const isGood = phase === "Completed";
  const changes = [set("velero_backup_last_status", { schedule }, isGood ? 1 : 0)];
  const ended = timeOf(completionTimestamp);
  if (isGood && ended !== undefined)
    changes.push(
      set("velero_backup_last_successful_timestamp", { schedule }, Math.floor(ended / 1_000)),
    );
  return changes;
}

function snapshotChanges(backup: Backup): MetricChange[] {
  const { metadata, status = {} } = backup;
  const schedule = scheduleOf(backup);
  const csi = { schedule, backupName: metadata.name ?? "" };
  const { csiVolumeSnapshotsAttempted: csiBegun = 0, volumeSnapshotsAttempted: begun = 0 } = status;
  const { csiVolumeSnapshotsCompleted: csiTaken = 0, volumeSnapshotsCompleted: taken = 0 } = status;
  return [
    ...(csiBegun > 0
      ? [
          count("velero_csi_snapshot_attempt_total", csi, csiBegun),
          count("velero_csi_snapshot_success_total", csi, csiTaken),
          count("velero_csi_snapshot_failure_total", csi, Math.max(0, csiBegun - csiTaken)),
        ]
      : []),
    ...(begun > 0
      ? [
          count("velero_volume_snapshot_attempt_total", { schedule }, begun),
          count("velero_volume_snapshot_success_total", { schedule }, taken),
          count("velero_volume_snapshot_failure_total", { schedule }, Math.max(0, begun - taken)),
        ]
      : []),
  ];
}

/** Series that are named after it end with it. */
export function backupGoneChanges(backup: Backup): MetricChange[] {
  const csi = { schedule: scheduleOf(backup), backupName: backup.metadata.name ?? "" };
  return [
    forget("velero_csi_snapshot_attempt_total", csi),
    forget("velero_csi_snapshot_success_total", csi),
    forget("velero_csi_snapshot_failure_total", csi),
  ];
}

type RestoreCounter = Extract<CounterName, `velero_restore_${string}`>;
const restoreEnds: Readonly<Record<string, RestoreCounter>> = {
  Completed: "velero_restore_success_total",
  PartiallyFailed: "velero_restore_partial_failure_total",
  Failed: "velero_restore_failed_total",
  FailedValidation: "velero_restore_validation_failed_total",
};

export function restoreChanges(before: Restore | undefined, after: Restore): MetricChange[] {
  const was = before?.status?.phase ?? "New";
  const is = after.status?.phase ?? "New";
  if (isOver(was)) return [];
  const schedule = after.spec?.scheduleName ?? "";
  const end = restoreEnds[is];
  return [
    ...(waiting.has(was) && !waiting.has(is)
      ? [count("velero_restore_attempt_total", { schedule })]
      : []),
    ...(end ? [count(end, { schedule })] : []),
  ];
}

/** Counters that begin with a Schedule: at zero, so that the first increase is one. */
const scheduleCounters = [
  "velero_backup_attempt_total",
  "velero_backup_success_total",
  "velero_backup_partial_failure_total",
  "velero_backup_failure_total",
  "velero_backup_validation_failure_total",
  "velero_backup_warning_total",
  "velero_restore_attempt_total",
  "velero_restore_success_total",
  "velero_restore_partial_failure_total",
  "velero_restore_failed_total",
  "velero_restore_validation_failed_total",
  "velero_volume_snapshot_attempt_total",
  "velero_volume_snapshot_success_total",
  "velero_volume_snapshot_failure_total",
] as const;

export function newScheduleChanges({ metadata }: Pick<Schedule, "metadata">): MetricChange[] {
  const schedule = metadata.name ?? "";
  return scheduleCounters.map((name) => count(name, { schedule }, 0));
}

export function scheduleGoneChanges({ metadata }: Schedule): MetricChange[] {
  const schedule = metadata.name ?? "";
  return [
    ...scheduleCounters.map((name) => forget(name, { schedule })),
    forget("velero_backup_duration_seconds", { schedule }),
    forget("velero_backup_last_successful_timestamp", { schedule }),
    forget("velero_backup_last_status", { schedule }),
    forget("velero_backup_items_total", { schedule }),
    forget("velero_backup_items_errors", { schedule }),
    forget("velero_backup_tarball_size_bytes", { schedule }),
  ];
}
