// Each change of a Backup or Restore counts once, whichever states between were missed; what was over, or came from the bucket, never.
import { type Backup, type BackupPhase, backupPhases, type Restore } from "@dm/crds";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  backupChanges,
  backupGoneChanges,
  lastBackupChanges,
  newScheduleChanges,
  restoreChanges,
  scheduleGoneChanges,
} from "../../src/metrics/backup-metrics.ts";
import { derivedMetricsIn, type MetricChange } from "../../src/metrics/derived-metrics.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";

const backup = (phase: BackupPhase | undefined, status: object = {}): Backup => ({
  metadata: { name: "b", labels: { "velero.io/schedule-name": "daily" } },
  ...(phase && { status: { phase, ...status } }),
});
const restore = (phase: string | undefined): Restore =>
  ({
    metadata: { name: "r" },
    spec: { scheduleName: "daily" },
    ...(phase && { status: { phase } }),
  }) as Restore;

/** `attempt`, `success` and so on, of counters. */
const counted = (changes: readonly MetricChange[]): string[] =>
  changes.flatMap((one) =>
    one.do === "count" ? [one.name.replace(/^velero_(backup|restore)_|_total$/g, "")] : [],
  );

describe("a Backup", () => {
  it.each<[string, BackupPhase | undefined, BackupPhase, string[]]>([
    ["waits", undefined, "Queued", []],
    ["begins", "New", "InProgress", ["attempt"]],
    ["goes on", "InProgress", "Finalizing", []],
    ["completes", "Finalizing", "Completed", ["success"]],
    ["completes unseen", "ReadyToStart", "Completed", ["attempt", "success"]],
    ["fails partially", "FinalizingPartiallyFailed", "PartiallyFailed", ["partial_failure"]],
    ["fails", "InProgress", "Failed", ["failure"]],
    ["is refused", "New", "FailedValidation", ["validation_failure"]],
    ["is deleted", "Completed", "Deleting", []],
    ["is deleted while it fails", "Deleting", "Failed", []],
    ["stays as it is", "Completed", "Completed", []],
  ])("%s", (_, before, after, names) => {
    const changes = backupChanges(backup(before), backup(after));
    expect(counted(changes)).toEqual(names);
    for (const { labels } of changes) expect(labels["schedule"]).toBe("daily");
  });

  it("that came from the bucket was not made here", () => {
    expect(backupChanges(undefined, backup("Completed"))).toEqual([]);
    expect(counted(backupChanges(undefined, backup("InProgress")))).toEqual(["attempt"]);
  });

  it("tells how long it took, what it holds and which snapshots it took", () => {
    const ended = backup("PartiallyFailed", {
      startTimestamp: "2026-11-25T10:00:00Z",
      completionTimestamp: "2026-11-25T10:07:30Z",
      warnings: 2,
      errors: 1,
      progress: { totalItems: 40, itemsBackedUp: 39 },
      csiVolumeSnapshotsAttempted: 3,
      csiVolumeSnapshotsCompleted: 2,
    });
    const metrics = createMetrics();
    derivedMetricsIn(metrics).apply(backupChanges(backup("InProgress"), ended));
    const text = metrics.text();
    for (const line of [
      'velero_backup_duration_seconds_sum{schedule="daily"} 450',
      'velero_backup_duration_seconds_bucket{schedule="daily",le="600"} 1',
      'velero_backup_warning_total{schedule="daily"} 1',
      'velero_backup_items_total{schedule="daily"} 40',
      'velero_backup_items_errors{schedule="daily"} 1',
      'velero_csi_snapshot_attempt_total{backupName="b",schedule="daily"} 3',
      'velero_csi_snapshot_success_total{backupName="b",schedule="daily"} 2',
      'velero_csi_snapshot_failure_total{backupName="b",schedule="daily"} 1',
    ])
      expect(text).toContain(`${line}\n`);
    derivedMetricsIn(metrics).apply(backupGoneChanges(ended));
    expect(metrics.text()).not.toContain("backupName=");
  });

  it("says of its schedule whether it went well, and when", () => {
    const completionTimestamp = "2026-11-25T10:00:00Z";
    const values = (phase: BackupPhase) =>
      lastBackupChanges(backup(phase, { completionTimestamp })).map((one) =>
        one.do === "set" ? one.value : one.do,
      );
    expect(values("Completed")).toEqual([1, 1_795_600_800]);
    expect(values("Failed")).toEqual([0]);
    expect(values("InProgress")).toEqual([]);
  });

  it("counts one attempt and one end at most, over any states that are seen of it", () => {
    // In the order of its life; any of them may be missed.
    const alive = ["New", "Queued", "ReadyToStart", "InProgress", "Finalizing"] as const;
    const ends = ["Completed", "PartiallyFailed", "Failed"] as const;
    fc.assert(
      fc.property(
        fc.subarray([...alive]),
        fc.constantFrom(...ends),
        fc.boolean(),
        (seen, end, isDeleted) => {
          const phases: BackupPhase[] = [
            ...seen,
            end,
            end,
            ...(isDeleted ? ["Deleting" as const] : []),
          ];
          const all = phases.flatMap((phase, at) =>
            counted(backupChanges(backup(at === 0 ? "New" : phases[at - 1]), backup(phase))),
          );
          expect(all.filter((name) => name === "attempt")).toHaveLength(1);
          expect(all).toHaveLength(2);
        },
      ),
    );
  });

  it("has no phase that nobody has thought of", () => {
    for (const before of backupPhases)
      for (const after of backupPhases)
        expect(counted(backupChanges(backup(before), backup(after))).length).toBeLessThanOrEqual(2);
  });
});

describe("a Restore", () => {
  it.each<[string, string | undefined, string, string[]]>([
    ["begins", undefined, "InProgress", ["attempt"]],
    ["completes", "Finalizing", "Completed", ["success"]],
    ["fails partially", "InProgress", "PartiallyFailed", ["partial_failure"]],
    ["fails", "InProgress", "Failed", ["failed"]],
    ["is refused", "New", "FailedValidation", ["attempt", "validation_failed"]],
    ["is over", "Completed", "Completed", []],
  ])("%s", (_, before, after, names) => {
    expect(counted(restoreChanges(restore(before), restore(after)))).toEqual(names);
  });
});

it("a Schedule has counters from the start, and none after its end", () => {
  const metrics = createMetrics();
  const schedule = { metadata: { name: "daily" }, spec: { schedule: "@daily", template: {} } };
  const derived = derivedMetricsIn(metrics);
  derived.apply(newScheduleChanges(schedule));
  expect(metrics.text()).toContain('velero_backup_failure_total{schedule="daily"} 0\n');
  derived.apply(backupChanges(backup("InProgress"), backup("Completed")));
  derived.apply(newScheduleChanges(schedule));
  expect(metrics.text()).toContain('velero_backup_success_total{schedule="daily"} 1\n');
  derived.apply(scheduleGoneChanges(schedule));
  expect(metrics.text()).not.toContain("daily");
});
