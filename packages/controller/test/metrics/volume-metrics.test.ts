// Bytes of volumes on their way, volumes of pods, maintenance and locations: differences are counted, and nothing twice.
import type {
  BackupRepository,
  BackupStorageLocation,
  DataDownload,
  DataUpload,
  PodVolumeBackup,
} from "@dm/crds";
import { describe, expect, it } from "vitest";
import { derivedMetricsIn } from "../../src/metrics/derived-metrics.ts";
import {
  backingChanges,
  locationChanges,
  locationGoneChanges,
  maintenanceChanges,
  podVolumeChanges,
  podVolumeGoneChanges,
  restoringChanges,
} from "../../src/metrics/volume-metrics.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";

const upload = (phase: string, bytesDone: number, more: object = {}): DataUpload =>
  ({
    metadata: { name: "u" },
    spec: {},
    status: { phase, node: "n1", progress: { bytesDone }, ...more },
  }) as unknown as DataUpload;

describe("bytes", () => {
  const labels = { kind: "DataUpload", node: "n1" };
  const by = (before: DataUpload | undefined, after: DataUpload): number[] =>
    backingChanges("DataUpload", before, after).map((one) => (one.do === "count" ? one.by : -1));

  it.each<[string, DataUpload | undefined, DataUpload, number[]]>([
    ["of the first progress", upload("InProgress", 0), upload("InProgress", 10), [10]],
    ["that came since", upload("InProgress", 10), upload("InProgress", 25), [15]],
    ["of a mover that began again", upload("InProgress", 25), upload("InProgress", 5), [5]],
    ["none", upload("InProgress", 25), upload("InProgress", 25), []],
    [
      "that are new, with the end",
      upload("InProgress", 25),
      upload("Completed", 30, { incrementalBytes: 7 }),
      [5, 7],
    ],
    ["of one that is over", upload("Completed", 30), upload("Completed", 99), []],
  ])("%s", (_, before, after, expected) => {
    expect(by(before, after)).toEqual(expected);
  });

  it("have the node and the kind", () => {
    expect(backingChanges("DataUpload", undefined, upload("InProgress", 1))).toEqual([
      { do: "count", name: "dm_bytes_hashed_total", labels, by: 1 },
    ]);
    const download = upload("InProgress", 3) as unknown as DataDownload;
    expect(restoringChanges("DataDownload", undefined, download)).toEqual([
      {
        do: "count",
        name: "dm_bytes_restored_total",
        labels: { kind: "DataDownload", node: "n1" },
        by: 3,
      },
    ]);
  });
});

it("a volume of a pod is taken on, ends, and its series end with it", () => {
  const volume = (status: object | undefined): PodVolumeBackup =>
    ({
      metadata: { name: "b-x1", namespace: "velero", ownerReferences: [{ name: "b" }] },
      spec: {
        node: "n1",
        backupStorageLocation: "default",
        uploaderType: "kopia",
        pod: { namespace: "shop", name: "db" },
      },
      ...(status && { status }),
    }) as unknown as PodVolumeBackup;
  const metrics = createMetrics();
  const derived = derivedMetricsIn(metrics);
  const begun = volume({ phase: "InProgress", startTimestamp: "2026-11-25T10:00:00Z" });
  const ended = volume({
    phase: "Completed",
    startTimestamp: "2026-11-25T10:00:00Z",
    completionTimestamp: "2026-11-25T10:00:42Z",
  });
  derived.apply(podVolumeChanges(volume(undefined), begun));
  derived.apply(podVolumeChanges(begun, ended));
  derived.apply(podVolumeChanges(ended, ended));
  const labels =
    'backupName="velero/b",node="n1",operation="b-x1-default-shop-kopia-backup",pod_volume_backup="b-x1"';
  for (const line of [
    'podVolume_pod_volume_backup_enqueue_count{node="n1"} 1',
    'podVolume_pod_volume_backup_dequeue_count{node="n1"} 1',
    `podVolume_pod_volume_operation_latency_seconds_gauge{${labels}} 42`,
    `podVolume_pod_volume_operation_latency_seconds_count{${labels}} 1`,
  ])
    expect(metrics.text()).toContain(`${line}\n`);
  derived.apply(podVolumeGoneChanges(ended));
  expect(metrics.text()).not.toContain("b-x1");
});

it("maintenance that was not known before counts, with its time", () => {
  const record = (startTimestamp: string, result: string) => ({
    startTimestamp,
    completeTimestamp: "2026-11-25T11:00:00Z",
    result,
  });
  const repository = (...recentMaintenance: object[]): BackupRepository =>
    ({ metadata: { name: "shop" }, spec: {}, status: { recentMaintenance } }) as never;
  const first = record("2026-11-25T10:59:00Z", "Succeeded");
  const metrics = createMetrics();
  derivedMetricsIn(metrics).apply(
    maintenanceChanges(
      repository(first),
      repository(first, record("2026-11-25T10:58:00Z", "Failed")),
    ),
  );
  const text = metrics.text();
  expect(text).toContain('velero_repo_maintenance_failure_total{repository_name="shop"} 1\n');
  expect(text).toContain(
    'velero_repo_maintenance_duration_seconds_sum{repository_name="shop"} 120',
  );
  expect(text).not.toContain("success");
  expect(maintenanceChanges(undefined, repository(first))).toEqual([]);
});

it("a location is available, is not, or is gone", () => {
  const location = (phase?: string): BackupStorageLocation =>
    ({ metadata: { name: "default" }, spec: {}, ...(phase && { status: { phase } }) }) as never;
  const values = (phase?: string) =>
    locationChanges(location(phase)).map((one) => (one.do === "set" ? one.value : one.do));
  expect([values("Available"), values("Unavailable"), values()]).toEqual([[1], [0], []]);
  expect(locationGoneChanges(location())).toMatchObject([{ do: "forget" }]);
});
