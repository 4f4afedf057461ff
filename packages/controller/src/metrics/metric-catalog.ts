/**
 * Every metric of the data mover, by the names that dashboards of Velero's users know, and ours (`dm_`). What is counted somewhere
 * stands here; dashboards and alerts are checked against it.
 *
 * Different on purpose: Velero counts volumes of pods on the nodes, here the server does, from the objects; the series are the same.
 * Proof: test/metrics/metric-catalog.test.ts, test/metrics/velero-names.test.ts.
 * @module
 */
export interface MetricDescription {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, of histograms. */
  readonly buckets?: readonly number[];
}

const minute = 60;
const hour = 60 * minute;
/** As Velero has them: backups, maintenance and volumes of pods take minutes to hours. */
export const longBuckets: readonly number[] = Object.freeze([
  minute,
  5 * minute,
  10 * minute,
  15 * minute,
  30 * minute,
  hour,
  2 * hour,
  3 * hour,
  4 * hour,
]);

const describe =
  (type: MetricDescription["type"]) =>
  <const Labels extends readonly string[]>(help: string, ...labels: Labels) => ({
    type,
    help,
    labels,
  });
const counter = describe("counter") as Describe<"counter">;
const gauge = describe("gauge") as Describe<"gauge">;
const histogram = <const Labels extends readonly string[]>(
  help: string,
  buckets: readonly number[],
  ...labels: Labels
) => ({ type: "histogram" as const, help, labels, buckets });

type Describe<Type> = <const Labels extends readonly string[]>(
  help: string,
  ...labels: Labels
) => { readonly type: Type; readonly help: string; readonly labels: Labels };

/** What the server derives from objects. The label `schedule` is empty for what no Schedule has made. */
export const derivedMetrics = {
  velero_backup_total: gauge("Backups that there are"),
  velero_backup_attempt_total: counter("Backups begun", "schedule"),
  velero_backup_success_total: counter("Backups completed", "schedule"),
  velero_backup_partial_failure_total: counter("Backups partially failed", "schedule"),
  velero_backup_failure_total: counter("Backups failed", "schedule"),
  velero_backup_validation_failure_total: counter("Backups refused", "schedule"),
  velero_backup_warning_total: counter("Backups that ended with warnings", "schedule"),
  velero_backup_duration_seconds: histogram(
    "Time from start to end of backups",
    longBuckets,
    "schedule",
  ),
  velero_backup_last_successful_timestamp: gauge(
    "When the newest completed backup ended, in seconds since 1970",
    "schedule",
  ),
  velero_backup_items_total: gauge("Objects of the newest backup", "schedule"),
  // Set by whoever writes it.
  velero_backup_tarball_size_bytes: gauge("Bytes of the newest backup's tarball", "schedule"),
  velero_backup_items_errors: gauge("Errors of the newest backup", "schedule"),
  velero_backup_last_status: gauge("1 when the newest backup completed, else 0", "schedule"),
  velero_restore_total: gauge("Restores that there are"),
  velero_restore_attempt_total: counter("Restores begun", "schedule"),
  velero_restore_success_total: counter("Restores completed", "schedule"),
  velero_restore_partial_failure_total: counter("Restores partially failed", "schedule"),
  velero_restore_failed_total: counter("Restores failed", "schedule"),
  velero_restore_validation_failed_total: counter("Restores refused", "schedule"),
  velero_csi_snapshot_attempt_total: counter("CSI snapshots begun", "schedule", "backupName"),
  velero_csi_snapshot_success_total: counter("CSI snapshots taken", "schedule", "backupName"),
  velero_csi_snapshot_failure_total: counter("CSI snapshots failed", "schedule", "backupName"),
  velero_volume_snapshot_attempt_total: counter("Native snapshots begun", "schedule"),
  velero_volume_snapshot_success_total: counter("Native snapshots taken", "schedule"),
  velero_volume_snapshot_failure_total: counter("Native snapshots failed", "schedule"),
  velero_backup_location_status_gauge: gauge(
    "1 when a storage location is available, else 0",
    "backup_location_name",
  ),
  velero_repo_maintenance_success_total: counter("Maintenance runs done", "repository_name"),
  velero_repo_maintenance_failure_total: counter("Maintenance runs failed", "repository_name"),
  velero_repo_maintenance_duration_seconds: histogram(
    "Time that maintenance took",
    longBuckets,
    "repository_name",
  ),
  podVolume_pod_volume_backup_enqueue_count: counter("PodVolumeBackups taken on", "node"),
  podVolume_pod_volume_backup_dequeue_count: counter("PodVolumeBackups ended", "node"),
  podVolume_pod_volume_operation_latency_seconds: histogram(
    "Time that backups of pods' volumes took",
    longBuckets,
    "node",
    "operation",
    "backupName",
    "pod_volume_backup",
  ),
  podVolume_pod_volume_operation_latency_seconds_gauge: gauge(
    "Time that a backup of a pod's volume took",
    "node",
    "operation",
    "backupName",
    "pod_volume_backup",
  ),
  dm_bytes_hashed_total: counter("Bytes of volumes read by backups", "node", "kind"),
  dm_bytes_uploaded_total: counter("Bytes new to the repository", "node", "kind"),
  dm_bytes_restored_total: counter("Bytes written into volumes by restores", "node", "kind"),
} as const satisfies Readonly<Record<string, MetricDescription>>;

/** What controllers and node agents count where they do it, and what the runtime counts in each of our processes. */
export const countedMetrics = {
  velero_backup_deletion_attempt_total: counter("Deletions of backups begun", "schedule"),
  velero_backup_deletion_success_total: counter("Deletions of backups done", "schedule"),
  velero_backup_deletion_failure_total: counter("Deletions of backups failed", "schedule"),
  velero_schedule_expected_interval_seconds: gauge("Time between runs of a schedule", "schedule"),
  dm_orphaned_snapshots: gauge("Snapshots in a repository that no backup knows", "repository"),
  podVolume_data_upload_success_total: counter("DataUploads completed", "node"),
  podVolume_data_upload_failure_total: counter("DataUploads failed", "node"),
  podVolume_data_upload_cancel_total: counter("DataUploads cancelled", "node"),
  podVolume_data_download_success_total: counter("DataDownloads completed", "node"),
  podVolume_data_download_failure_total: counter("DataDownloads failed", "node"),
  podVolume_data_download_cancel_total: counter("DataDownloads cancelled", "node"),
  dm_mover_restarts_total: counter("Movers started again", "node"),
  dm_expose_seconds: histogram("From acceptance until the hosting pod runs", [], "node"),
  dm_queue_depth: gauge("Keys that wait for a worker", "controller"),
  dm_queue_delayed: gauge("Keys that come later", "controller"),
  dm_queue_adds_total: counter("Keys queued", "controller"),
  dm_queue_wait_seconds: histogram("Time that keys waited for a worker", [], "controller"),
  dm_reconcile_seconds: histogram("Time that reconciling took", [], "controller"),
  dm_reconcile_total: counter("Reconciles by result", "controller", "result"),
  dm_conflicts_total: counter("Reconciles that met a newer version", "controller"),
  dm_cache_objects: gauge("Objects in memory", "kind", "cache"),
  dm_watch_restarts_total: counter("Watches begun again", "kind"),
} as const satisfies Readonly<Record<string, MetricDescription>>;

export const metricCatalog: Readonly<Record<string, MetricDescription>> = Object.freeze({
  ...derivedMetrics,
  ...countedMetrics,
});

type Derived = typeof derivedMetrics;
export type MetricName = keyof Derived;
export type CounterName = NamesOf<"counter">;
export type GaugeName = NamesOf<"gauge">;
export type HistogramName = NamesOf<"histogram">;
type NamesOf<Type> = {
  [Name in MetricName]: Derived[Name]["type"] extends Type ? Name : never;
}[MetricName];

/** A value for each label, no more and no less. */
export type LabelsOf<Name extends MetricName> = Readonly<
  Record<Derived[Name]["labels"][number], string>
>;
