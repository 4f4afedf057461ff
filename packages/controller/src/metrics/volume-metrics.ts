/**
 * What a change of a volume on its way, of a repository or of a storage location counts for. Pure.
 * Proof: test/metrics/volume-metrics.test.ts.
 * @module
 */
import type {
  BackupRepository,
  BackupStorageLocation,
  DataDownload,
  DataUpload,
  PodVolumeBackup,
  PodVolumeRestore,
} from "@dm/crds";
import {
  count,
  forget,
  type MetricChange,
  observe,
  secondsBetween,
  set,
} from "./derived-metrics.ts";

type Backing = DataUpload | PodVolumeBackup;
type Restoring = DataDownload | PodVolumeRestore;

const isOver = (phase: string | undefined): boolean =>
  phase === "Completed" || phase === "Failed" || phase === "Canceled";

/** Bytes since the state before; a mover that begins again counts from there. */
function moreBytes(before: Backing | Restoring | undefined, after: Backing | Restoring): number {
  const done = after.status?.progress?.bytesDone ?? 0;
  const was = before?.status?.progress?.bytesDone ?? 0;
  return done >= was ? done - was : done;
}

export function backingChanges(
  kind: "DataUpload" | "PodVolumeBackup",
  before: Backing | undefined,
  after: Backing,
): MetricChange[] {
  if (isOver(before?.status?.phase)) return [];
  const labels = { kind, node: nodeOf(after) };
  const read = moreBytes(before, after);
  const fresh = after.status?.phase === "Completed" ? (after.status.incrementalBytes ?? 0) : 0;
  return [
    ...(read > 0 ? [count("dm_bytes_hashed_total", labels, read)] : []),
    ...(fresh > 0 ? [count("dm_bytes_uploaded_total", labels, fresh)] : []),
  ];
}

export function restoringChanges(
  kind: "DataDownload" | "PodVolumeRestore",
  before: Restoring | undefined,
  after: Restoring,
): MetricChange[] {
  if (isOver(before?.status?.phase)) return [];
  const written = moreBytes(before, after);
  const labels = { kind, node: nodeOf(after) };
  return written > 0 ? [count("dm_bytes_restored_total", labels, written)] : [];
}

function nodeOf({ spec, status }: Backing | Restoring): string {
  const given = (status as { node?: string } | undefined)?.node ?? (spec as { node?: string }).node;
  return given ?? "";
}

export function podVolumeChanges(
  before: PodVolumeBackup | undefined,
  after: PodVolumeBackup,
): MetricChange[] {
  const was = before?.status?.phase || "New";
  const is = after.status?.phase || "New";
  if (isOver(was)) return [];
  const node = nodeOf(after);
  const changes: MetricChange[] = [];
  if (was === "New" && is !== "New")
    changes.push(count("podVolume_pod_volume_backup_enqueue_count", { node }));
  if (!isOver(is)) return changes;
  changes.push(count("podVolume_pod_volume_backup_dequeue_count", { node }));
  const { completionTimestamp, startTimestamp } = after.status ?? {};
  const seconds = secondsBetween(startTimestamp, completionTimestamp);
  if (is !== "Completed" || seconds === undefined) return changes;
  const labels = podVolumeLabels(after);
  return [
    ...changes,
    observe("podVolume_pod_volume_operation_latency_seconds", labels, seconds),
    set("podVolume_pod_volume_operation_latency_seconds_gauge", labels, seconds),
  ];
}

export function podVolumeGoneChanges(gone: PodVolumeBackup): MetricChange[] {
  const labels = podVolumeLabels(gone);
  return [
    forget("podVolume_pod_volume_operation_latency_seconds", labels),
    forget("podVolume_pod_volume_operation_latency_seconds_gauge", labels),
  ];
}

/** Velero's labels: the operation says again which volume it is. */
function podVolumeLabels(object: PodVolumeBackup) {
  const { name = "", namespace = "", ownerReferences = [] } = object.metadata;
  const { backupStorageLocation, pod, uploaderType } = object.spec;
  return {
    node: nodeOf(object),
    operation: `${name}-${backupStorageLocation}-${pod.namespace ?? ""}-${uploaderType}-backup`,
    backupName: `${namespace}/${ownerReferences[0]?.name ?? ""}`,
    pod_volume_backup: name,
  };
}

/** Records of maintenance that were not there before, by the time of their start. */
export function maintenanceChanges(
  before: BackupRepository | undefined,
  after: BackupRepository,
): MetricChange[] {
  if (!before) return [];
  const repository_name = after.metadata.name ?? "";
  const known = new Set(
    before.status?.recentMaintenance?.map(({ startTimestamp }) => startTimestamp) ?? [],
  );
  const fresh = (after.status?.recentMaintenance ?? []).filter(
    ({ startTimestamp }) => !known.has(startTimestamp),
  );
  return fresh.flatMap(({ completeTimestamp, result, startTimestamp }) => {
    const seconds = secondsBetween(startTimestamp, completeTimestamp);
    return [
      result === "Succeeded"
        ? count("velero_repo_maintenance_success_total", { repository_name })
        : count("velero_repo_maintenance_failure_total", { repository_name }),
      ...(seconds === undefined
        ? []
        : [observe("velero_repo_maintenance_duration_seconds", { repository_name }, seconds)]),
    ];
  });
}

export function repositoryGoneChanges({ metadata }: BackupRepository): MetricChange[] {
  const repository_name = metadata.name ?? "";
  return [
    forget("velero_repo_maintenance_success_total", { repository_name }),
    forget("velero_repo_maintenance_failure_total", { repository_name }),
    forget("velero_repo_maintenance_duration_seconds", { repository_name }),
  ];
}

/** Nothing is said of a location that nobody has looked at yet. */
export function locationChanges({ metadata, status }: BackupStorageLocation): MetricChange[] {
  const backup_location_name = metadata.name ?? "";
  if (!status?.phase) return [];
  const value = status.phase === "Available" ? 1 : 0;
  return [set("velero_backup_location_status_gauge", { backup_location_name }, value)];
}

export function locationGoneChanges({ metadata }: BackupStorageLocation): MetricChange[] {
  const backup_location_name = metadata.name ?? "";
  return [forget("velero_backup_location_status_gauge", { backup_location_name })];
}
