// The names and labels by which Velero's users know these metrics, as a table of their own: a dashboard made for Velero goes on working.
import { expect, it } from "vitest";
import { metricCatalog } from "../../src/metrics/metric-catalog.ts";

const schedule = ["schedule"];
const csi = ["schedule", "backupName"];
const node = ["node"];
const operation = ["node", "operation", "backupName", "pod_volume_backup"];
const repository = ["repository_name"];

it.each<[string, string, string[]]>([
  ["velero_backup_total", "gauge", []],
  ["velero_restore_total", "gauge", []],
  ["velero_backup_attempt_total", "counter", schedule],
  ["velero_backup_success_total", "counter", schedule],
  ["velero_backup_partial_failure_total", "counter", schedule],
  ["velero_backup_failure_total", "counter", schedule],
  ["velero_backup_validation_failure_total", "counter", schedule],
  ["velero_backup_deletion_attempt_total", "counter", schedule],
  ["velero_backup_deletion_success_total", "counter", schedule],
  ["velero_backup_deletion_failure_total", "counter", schedule],
  ["velero_backup_warning_total", "counter", schedule],
  ["velero_backup_duration_seconds", "histogram", schedule],
  ["velero_backup_last_successful_timestamp", "gauge", schedule],
  ["velero_backup_items_total", "gauge", schedule],
  ["velero_backup_items_errors", "gauge", schedule],
  ["velero_backup_tarball_size_bytes", "gauge", schedule],
  ["velero_backup_last_status", "gauge", schedule],
  ["velero_restore_attempt_total", "counter", schedule],
  ["velero_restore_success_total", "counter", schedule],
  ["velero_restore_partial_failure_total", "counter", schedule],
  ["velero_restore_failed_total", "counter", schedule],
  ["velero_restore_validation_failed_total", "counter", schedule],
  ["velero_csi_snapshot_attempt_total", "counter", csi],
  ["velero_csi_snapshot_success_total", "counter", csi],
  ["velero_csi_snapshot_failure_total", "counter", csi],
  ["velero_volume_snapshot_attempt_total", "counter", schedule],
  ["velero_volume_snapshot_success_total", "counter", schedule],
  ["velero_volume_snapshot_failure_total", "counter", schedule],
  ["velero_backup_location_status_gauge", "gauge", ["backup_location_name"]],
  ["podVolume_data_upload_success_total", "counter", node],
  ["podVolume_data_upload_failure_total", "counter", node],
  ["podVolume_data_upload_cancel_total", "counter", node],
  ["podVolume_data_download_success_total", "counter", node],
  ["podVolume_data_download_failure_total", "counter", node],
  ["podVolume_data_download_cancel_total", "counter", node],
  ["podVolume_pod_volume_backup_enqueue_count", "counter", node],
  ["podVolume_pod_volume_backup_dequeue_count", "counter", node],
  ["podVolume_pod_volume_operation_latency_seconds", "histogram", operation],
  ["podVolume_pod_volume_operation_latency_seconds_gauge", "gauge", operation],
  ["velero_repo_maintenance_success_total", "counter", repository],
  ["velero_repo_maintenance_failure_total", "counter", repository],
  ["velero_repo_maintenance_duration_seconds", "histogram", repository],
  ["velero_schedule_expected_interval_seconds", "gauge", schedule],
])("%s", (name, type, labels) => {
  expect(metricCatalog[name]).toMatchObject({ type, labels });
});
