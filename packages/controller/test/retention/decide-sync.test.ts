// Which backups come and go, and when: each branch of the decision, and that a second sync has nothing to do whatever there was.
import type { Backup, BackupStorageLocation, PodVolumeBackup } from "@dm/crds";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  planSync,
  syncedBackup,
  syncedPodVolumeBackup,
  untilSync,
} from "../../src/retention/decide-sync.ts";

const nowMs = Date.parse("2026-11-25T12:00:00Z");
const backup = (name: string, status: object = { phase: "Completed" }, more: object = {}): Backup =>
  ({ metadata: { name, ...more }, spec: { storageLocation: "default" }, status }) as Backup;
const context = {
  namespace: "velero",
  location: "default",
  schedules: new Map([["daily", "s1"]]),
  nowMs,
};

describe("untilSync", () => {
  it.each<[string, object, object | undefined, number | undefined]>([
    ["never synced", {}, { phase: "Available" }, 0],
    ["20 s ago", {}, { phase: "Available", lastSyncedTime: "2026-11-25T11:59:40Z" }, 40_000],
    ["an hour ago", {}, { phase: "Available", lastSyncedTime: "2026-11-25T11:00:00Z" }, 0],
    [
      "a clock set back",
      {},
      { phase: "Available", lastSyncedTime: "2026-11-26T11:00:00Z" },
      60_000,
    ],
    [
      "its own period",
      { backupSyncPeriod: "5m" },
      { phase: "Available", lastSyncedTime: "2026-11-25T11:59:00Z" },
      240_000,
    ],
    ["turned off", { backupSyncPeriod: "0s" }, { phase: "Available" }, undefined],
    [
      "a period that is none",
      { backupSyncPeriod: "-5m" },
      { phase: "Available", lastSyncedTime: "2026-11-25T11:59:40Z" },
      40_000,
    ],
    ["not asked yet", {}, undefined, undefined],
    ["Unavailable", {}, { phase: "Unavailable" }, undefined],
  ])("%s", (_, spec, status, expected) => {
    const location = { metadata: {}, spec, status } as BackupStorageLocation;
    expect(untilSync(location, nowMs, 60_000)).toBe(expected);
  });
});

describe("syncedBackup", () => {
  const skipped = (name: string, stored: Backup) =>
    "skipped" in syncedBackup(name, stored, context);

  it.each([
    "New",
    "Queued",
    "ReadyToStart",
    "InProgress",
    "WaitingForPluginOperations",
    "WaitingForPluginOperationsPartiallyFailed",
    "Finalizing",
    "FinalizingPartiallyFailed",
  ])("%s is left out, until nobody can be at it any more", (phase) => {
    expect(skipped("b", backup("b", { phase }))).toBe(true);
    expect(skipped("b", backup("b", { phase, expiration: "2026-11-25T12:00:01Z" }))).toBe(true);
    const over = syncedBackup(
      "b",
      backup("b", { phase, expiration: "2026-11-25T12:00:00Z" }),
      context,
    );
    expect(over).toMatchObject({ backup: { status: { phase: "PartiallyFailed" } } });
  });

  it.each(["Completed", "PartiallyFailed", "Failed", "Deleting"])("%s comes as it is", (phase) => {
    expect(syncedBackup("b", backup("b", { phase }), context)).toMatchObject({
      backup: { status: { phase } },
    });
  });

  it("keeps nothing of the other cluster but labels, annotations and the Schedule that is the same", () => {
    const owner = (kind: string, name: string, uid: string) => ({
      apiVersion: "velero.io/v1",
      kind,
      name,
      uid,
    });
    const ownerReferences = [
      owner("Schedule", "daily", "s1"),
      owner("Schedule", "daily", "s2"),
      owner("Schedule", "gone", "s3"),
      owner("Pod", "daily", "s1"),
    ];
    const stored = backup(
      "b",
      { phase: "Completed" },
      {
        namespace: "elsewhere",
        uid: "u",
        resourceVersion: "7",
        finalizers: ["x"],
        deletionTimestamp: "2026-11-25T11:00:00Z",
        managedFields: [{}],
        labels: { a: "1", "velero.io/storage-location": "old" },
        annotations: { note: "x" },
        ownerReferences,
      },
    );
    expect(syncedBackup("b", stored, context)).toMatchObject({
      backup: {
        metadata: {
          name: "b",
          namespace: "velero",
          labels: { a: "1", "velero.io/storage-location": "default" },
          annotations: { note: "x" },
          ownerReferences: [owner("Schedule", "daily", "s1")],
        },
      },
    });
    const { backup: synced } = syncedBackup("b", stored, context) as { backup: Backup };
    expect(Object.keys(synced.metadata).sort()).toEqual([
      "annotations",
      "labels",
      "name",
      "namespace",
      "ownerReferences",
    ]);
  });

  it("a folder with another backup in it is left out", () => {
    expect(syncedBackup("a", backup("b"), context)).toEqual({ skipped: "it is called b" });
  });
});

it("a PodVolumeBackup gets its Backup's uid here", () => {
  const volume = {
    metadata: { name: "v", uid: "x", finalizers: ["f"] },
    spec: { volume: "data", backupStorageLocation: "old" },
  } as unknown as PodVolumeBackup;
  const synced = syncedPodVolumeBackup(
    volume,
    { metadata: { name: "b", namespace: "velero", uid: "u" } },
    "default",
  );
  expect(synced.metadata).toMatchObject({
    name: "v",
    labels: { "velero.io/backup-uid": "u" },
    ownerReferences: [{ uid: "u" }],
  });
  expect(synced.metadata.finalizers).toBeUndefined();
  expect(synced.spec).toMatchObject({ volume: "data", backupStorageLocation: "default" });
});

it("what a sync has done is nothing to do for the next one", () => {
  const name = fc.constantFrom("a", "b", "c", "d", "e");
  const phase = fc.constantFrom(
    "New",
    "InProgress",
    "Completed",
    "PartiallyFailed",
    "Failed",
    "Deleting",
  );
  const location = fc.constantFrom("default", "archive");
  const one = fc.record({ name, phase, location });
  fc.assert(
    fc.property(
      fc.uniqueArray(one, { selector: (it) => it.name }),
      fc.uniqueArray(name),
      (seen, inBucket) => {
        const all = seen.map(
          (it) =>
            ({
              ...backup(it.name, { phase: it.phase }),
              spec: { storageLocation: it.location },
            }) as Backup,
        );
        const plan = planSync({ location: "default", inCluster: all, inBucket });
        for (const { spec, status, metadata } of plan.gone) {
          expect(spec?.storageLocation).toBe("default");
          expect(["Completed", "PartiallyFailed"]).toContain(status?.phase);
          expect(inBucket).not.toContain(metadata.name);
        }
        const left = all.filter((it) => !plan.gone.includes(it));
        const after = [...left, ...plan.missing.map((it) => backup(it))];
        expect(planSync({ location: "default", inCluster: after, inBucket })).toEqual({
          missing: [],
          gone: [],
        });
      },
    ),
  );
});
