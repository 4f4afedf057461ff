/** What becomes of a Backup at its start: everything it left open, and every reason against it, one by one. */
import { type Backup, type BackupSpec, type BackupStorageLocation, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { backupDefaults } from "../../src/backup/backup-deps.ts";
import type { SeenStart } from "../../src/backup/observe-start.ts";
import { startBackup } from "../../src/backup/start-backup.ts";

const now = new Date("2026-11-22T10:00:00Z");
const location = (name: string, isDefault = false): BackupStorageLocation => ({
  metadata: { name },
  spec: { provider: "aws", objectStorage: { bucket: "b" }, ...(isDefault && { default: true }) },
});
const seen: SeenStart = {
  locations: [location("default")],
  snapshotLocations: [
    { metadata: { name: "east" }, spec: { provider: "aws" } },
    { metadata: { name: "west" }, spec: { provider: "aws" } },
  ],
  version: { major: "1", minor: "34", gitVersion: "v1.34.1" },
};
const start = (spec: BackupSpec, locations = seen.locations, metadata = {}, more = {}): Backup =>
  startBackup(
    { metadata: { name: "b", ...metadata }, spec },
    { ...seen, locations, ...more },
    backupDefaults,
    now,
  );
const problems = (spec: BackupSpec, metadata = {}, more = {}): unknown =>
  start({ snapshotMoveData: true, ...spec }, undefined, metadata, more).status?.validationErrors;

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
      excludedNamespaceScopedResources: ["volumesnapshots.snapshot.storage.k8s.io"],
      excludedClusterScopedResources: ["volumesnapshotcontents.snapshot.storage.k8s.io"],
    });
    expect(metadata.labels).toEqual({ [labels.storageLocation]: "default" });
    expect(metadata.annotations).toEqual({
      "velero.io/resource-timeout": "10m0s",
      "velero.io/source-cluster-k8s-gitversion": "v1.34.1",
      "velero.io/source-cluster-k8s-major-version": "1",
      "velero.io/source-cluster-k8s-minor-version": "34",
    });
  });

  it("is the same when it is repeated", () => {
    const first = start({ snapshotMoveData: true });
    expect(startBackup(first, seen, backupDefaults, now)).toEqual(first);
  });

  it("keeps snapshots out, in the style of lists that it has", () => {
    const old = start({ includedResources: ["pvc"] }).spec;
    expect(old?.excludedResources).toEqual([
      "volumesnapshots.snapshot.storage.k8s.io",
      "volumesnapshotcontents.snapshot.storage.k8s.io",
    ]);
    expect(old?.excludedClusterScopedResources).toBeUndefined();
    const none = start({ excludedClusterScopedResources: ["*"] }).spec;
    expect(none?.excludedClusterScopedResources).toEqual(["*"]);
    expect(none?.excludedResources).toBeUndefined();
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
    // Nothing would be in such a backup.
    [
      { labelSelector: { matchExpressions: [{ key: "app", operator: "in", values: ["shop"] }] } },
      'Invalid label selector: "in" is no operator; there are In, NotIn, Exists, DoesNotExist',
    ],
    [
      { orLabelSelectors: [{}, { matchExpressions: [{ key: "app", operator: "In" }] }] },
      "Invalid label selector: In takes values",
    ],
    [
      {
        hooks: {
          resources: [
            { name: "db", labelSelector: { matchExpressions: [{ key: "app", operator: "=" }] } },
          ],
        },
      },
      'Invalid label selector of hook db: "=" is no operator; there are In, NotIn, Exists, DoesNotExist',
    ],
    [
      { includedResources: ["pods"], includedClusterScopedResources: ["nodes"] },
      "includedResources, excludedResources and includeClusterResources cannot be used together with the lists by scope " +
        "(includedNamespaceScopedResources and the others)",
    ],
    [
      { includedNamespaceScopedResources: ["pods"], excludedNamespaceScopedResources: ["*"] },
      "Invalid namespace-scoped included/excluded resource lists: when exclude is '*', include cannot have value",
    ],
    [
      { volumeSnapshotLocations: ["north"] },
      "a VolumeSnapshotLocation CRD for the location north with the name specified in the backup spec needs to be created " +
        "before this snapshot can be executed",
    ],
    [
      { volumeSnapshotLocations: ["east", "west"] },
      "more than one VolumeSnapshotLocation name specified for provider aws: east; unexpected name was west",
    ],
  ])("%j is refused", (spec, problem) => {
    expect(problems(spec)).toEqual([problem]);
  });

  it("names all that is wrong at once, and names that are too long", () => {
    expect(problems({ ttl: "x" }, {}, { policyProblem: "bad policy" })).toEqual([
      expect.stringContaining("ttl"),
      "bad policy",
    ]);
    expect(problems({}, { name: "n".repeat(201) })).toEqual([
      "the name of a backup may have 200 characters at most",
    ]);
  });
});
