// What the VolSync data mover of OADP 1.1 and 1.2 left behind is recognised, told from what VolSync does for others, and refused
// in words that name it.
import { describe, expect, it } from "vitest";
import {
  checkObject,
  isVolSyncDataMoverObject,
  isVolumeSnapshotBackup,
  isVolumeSnapshotRestore,
  volSyncRefusal,
  volSyncResourceListEntry,
  volSyncTarballDirectory,
  volumeSnapshotBackups,
} from "../src/index.ts";

const backup = {
  apiVersion: "datamover.oadp.openshift.io/v1alpha1",
  kind: "VolumeSnapshotBackup",
  metadata: {
    name: "vsb-7kq2m",
    namespace: "mysql-persistent",
    annotations: { "datamover.io/source-pvc-name": "mysql" },
  },
  spec: {
    volumeSnapshotContent: { name: "snapcontent-1" },
    protectedNamespace: "openshift-adp",
    resticSecretRef: { name: "dm-restic-secret" },
  },
  status: {
    phase: "Completed",
    completed: true,
    resticrepository: "s3:s3.example.org/bucket/openshift-adp/snapcontent-1-pvc",
    sourcePVCData: { name: "mysql", size: "2Gi", storageClassName: "gp2" },
    volumeSnapshotClassName: "snaps",
    conditions: [{ type: "Reconciled", status: "True" }],
  },
};
const restore = {
  apiVersion: "datamover.oadp.openshift.io/v1alpha1",
  kind: "VolumeSnapshotRestore",
  metadata: { name: "vsr-1", namespace: "mysql-persistent" },
  spec: {
    resticSecretRef: { name: "dm-restic-secret" },
    volumeSnapshotMoverBackupRef: {
      resticrepository: backup.status.resticrepository,
      sourcePVCData: backup.status.sourcePVCData,
    },
    protectedNamespace: "openshift-adp",
  },
};
const source = {
  apiVersion: "volsync.backube/v1alpha1",
  kind: "ReplicationSource",
  metadata: { name: "x-rep-src", labels: { "datamover.oadp.openshift.io/vsb": "vsb-7kq2m" } },
};

describe("isVolSyncDataMoverObject", () => {
  it("knows both kinds, and what VolSync did for them", () => {
    expect([backup, restore, source].map(isVolSyncDataMoverObject)).toEqual([true, true, true]);
    expect(isVolumeSnapshotBackup(backup)).toBe(true);
    expect(isVolumeSnapshotRestore(restore)).toBe(true);
    expect(isVolumeSnapshotRestore(backup)).toBe(false);
  });

  it("leaves what others do with VolSync alone", () => {
    expect(isVolSyncDataMoverObject({ ...source, metadata: { name: "mine" } })).toBe(false);
    expect(
      isVolSyncDataMoverObject({ apiVersion: "v1", kind: "Pod", metadata: source.metadata }),
    ).toBe(false);
    expect(isVolSyncDataMoverObject({ metadata: {} })).toBe(false);
  });
});

describe("evidence in a backup", () => {
  it("is the kind in the resource list, and the directory in the tarball", () => {
    expect(volSyncResourceListEntry).toBe(`${backup.apiVersion}/${backup.kind}`);
    expect(volSyncTarballDirectory).toBe(
      "resources/volumesnapshotbackups.datamover.oadp.openshift.io/",
    );
  });
});

describe("volSyncRefusal", () => {
  it("names the backup, the object and the repository", () => {
    expect(volSyncRefusal("old", checkObject(volumeSnapshotBackups, backup))).toBe(
      "backup old was made by the OADP 1.2 VolSync data mover (found VolumeSnapshotBackup " +
        "mysql-persistent/vsb-7kq2m, restic repository s3:s3.example.org/bucket/openshift-adp/snapcontent-1-pvc); " +
        "this data mover cannot restore its volumes. Restore it with OADP 1.2, or take a new backup.",
    );
  });
});
