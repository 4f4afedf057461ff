/** What becomes of a Backup at its start: everything it left open, and every reason against it, one by one. */
import { type Backup, type BackupSpec, type BackupStorageLocation, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { backupDefaults } from "../../src/backup/backup-deps.ts";
import { startBackup } from "../../src/backup/start-backup.ts";

const now = new Date("2026-11-22T10:00:00Z");
const location = (name: string, isDefault = false): BackupStorageLocation => ({
  metadata: { name },
  spec: { provider: "aws", objectStorage: { bucket: "b" }, ...(isDefault && { default: true }) },
});
const start = (spec: BackupSpec, locations = [location("default")], metadata = {}): Backup =>
  startBackup({ metadata: { name: "b", ...metadata }, spec }, locations, backupDefaults, now);
const problems = (spec: BackupSpec, metadata = {}): unknown =>
  start({ snapshotMoveData: true, ...spec }, undefined, metadata).status?.validationErrors;

describe("a Backup's start", () => {
  it("fills in what was left open, and keeps what was given", () => {
    const { metadata, spec, status } = start({ snapshotMoveData: true, ttl: "24h" });
    expect(status).toEqual({
      phase: "InProgress",
      version: 1,
      formatVersion: "1.1.0",
      startTimestamp: "2026-11-22T10:00:00Z",
      expiration: "2026-11-23T10:00:00Z",
    });
    expect(spec).toEqual({
      snapshotMoveData: true,
      ttl: "24h0m0s",
      csiSnapshotTimeout: "10m0s",
      itemOperationTimeout: "4h0m0s",
      defaultVolumesToFsBackup: false,
      volumeGroupSnapshotLabelKey: "velero.io/volume-group",
      storageLocation: "default",
      includedNamespaces: ["*"],
      excludedResources: [
        "volumesnapshots.snapshot.storage.k8s.io",
        "volumesnapshotcontents.snapshot.storage.k8s.io",
      ],
    });
    expect(metadata.labels).toEqual({ [labels.storageLocation]: "default" });
  });

  it("is the same when it is repeated", () => {
    const first = start({ snapshotMoveData: true });
    expect(startBackup(first, [location("default")], backupDefaults, now)).toEqual(first);
  });

  it("leaves the lists by scope as they are", () => {
    const spec = start({ snapshotMoveData: true, includedNamespaceScopedResources: ["pvc"] }).spec;
    expect(spec?.excludedResources).toBeUndefined();
  });

  it("goes to the location that is the default, else to the server's", () => {
    const spec = { snapshotMoveData: true };
    const both = [location("first"), location("second", true)];
    expect(start(spec, both).spec?.storageLocation).toBe("second");
    expect(start({ ...spec, storageLocation: "first" }, both).spec?.storageLocation).toBe("first");
    expect(start(spec, [location("first")]).status).toMatchObject({
      phase: "FailedValidation",
      validationErrors: [
        "an existing backup storage location was not specified at backup creation time and the default default was not found",
      ],
    });
  });

  it.each<[BackupSpec, string]>([
    [{ ttl: "soon" }, 'ttl "soon" is no duration such as 4h0m0s'],
    [
      { includedNamespaces: ["a"], excludedNamespaces: ["a"] },
      "Invalid included/excluded namespace lists: excludes list item cannot be in the includes list: a",
    ],
    [
      { labelSelector: {}, orLabelSelectors: [{}] },
      "encountered labelSelector as well as orLabelSelectors in backup spec, only one can be specified",
    ],
    [
      { includedResources: ["pods"], includedClusterScopedResources: ["nodes"] },
      "includedResources, excludedResources and includeClusterResources cannot be used together with the lists by scope " +
        "(includedNamespaceScopedResources and the others)",
    ],
    [
      { snapshotMoveData: false },
      "volumes are backed up by moving their data only: snapshotMoveData must be true",
    ],
    [
      { defaultVolumesToFsBackup: true },
      "defaultVolumesToFsBackup is not supported: volumes are backed up by snapshots",
    ],
    [{ resourcePolicy: { kind: "configmap", name: "p" } }, "resourcePolicy is not supported"],
    [{ hooks: { resources: [{ name: "h" }] } }, "hooks are not supported"],
  ])("%j is refused", (spec, problem) => {
    expect(problems(spec)).toEqual([problem]);
  });

  it("names all that is wrong at once, and names that are too long", () => {
    expect(problems({ ttl: "x", resourcePolicy: { kind: "c", name: "p" } })).toHaveLength(2);
    expect(problems({}, { name: "n".repeat(201) })).toEqual([
      "the name of a backup may have 200 characters at most",
    ]);
  });
});
