// Builders make what Velero makes: compared with a DataUpload that its server created, and with the rules for names and labels.
import { describe, expect, it } from "vitest";
import {
  backupRepositoryName,
  type CSISnapshotSpec,
  checkObject,
  controllerReference,
  dataDownloads,
  dataUploadResultLabels,
  dataUploadResultSchema,
  dataUploads,
  isBackupRepository,
  isDataDownload,
  isDataUpload,
  labels,
  maintenanceJobName,
  newBackupRepository,
  newDataDownload,
  newDataUpload,
  newDataUploadResultConfigMap,
} from "../src/index.ts";
import objects from "./data/velero-objects.json" with { type: "json" };

const byVelero = objects.main[0] as never as ReturnType<typeof newDataUpload>;

describe("newDataUpload", () => {
  const backup = { name: "moved", uid: byVelero.metadata.labels?.[labels.backupUid] ?? "" };
  const built = newDataUpload({
    namespace: "openshift-adp",
    backup,
    backupStorageLocation: "dpa-sample-1",
    sourceNamespace: "mysql-persistent",
    sourcePVC: "mysql",
    sourcePVCUid: byVelero.metadata.labels?.[labels.pvcUid],
    csiSnapshot: byVelero.spec.csiSnapshot as CSISnapshotSpec,
  });

  it("makes what Velero made", () => {
    expect(isDataUpload(built)).toBe(true);
    const { generateName, labels: theirLabels, ownerReferences } = byVelero.metadata;
    expect(built.metadata).toEqual({
      generateName,
      namespace: "openshift-adp",
      labels: theirLabels,
      ownerReferences,
    });
    expect(built.spec).toEqual(byVelero.spec);
  });

  it("shortens the backup's name in the label, not in the prefix", () => {
    const name = "b".repeat(100);
    const { metadata } = newDataUpload({ ...given, backup: { name, uid: "u" } });
    expect(metadata.generateName).toBe(`${name}-`);
    expect(metadata.labels?.[labels.backupName]).toMatch(/^b{57}[0-9a-f]{6}$/);
    expect(metadata.labels).not.toHaveProperty(labels.asyncOperationId);
  });

  const given = {
    namespace: "velero",
    backupStorageLocation: "default",
    sourceNamespace: "apps",
    sourcePVC: "data",
    csiSnapshot: { volumeSnapshot: "s", storageClass: "c" },
  };

  it("takes a name, labels, annotations and options of one's own", () => {
    const upload = newDataUpload({
      ...given,
      name: "by-hand",
      labels: { team: "a" },
      annotations: { note: "b" },
      datamover: "dm",
      dataMoverConfig: { ParallelFilesUpload: "4" },
      operationTimeout: "20m0s",
    });
    expect(checkObject(dataUploads, upload).metadata).toEqual({
      name: "by-hand",
      namespace: "velero",
      labels: { team: "a" },
      annotations: { note: "b" },
    });
    expect(upload.spec).toMatchObject({
      datamover: "dm",
      dataMoverConfig: { ParallelFilesUpload: "4" },
      operationTimeout: "20m0s",
    });
  });

  it("refuses to make an object that has no name", () => {
    expect(() => newDataUpload(given)).toThrow(RangeError);
  });
});

describe("newDataDownload", () => {
  const result = {
    backupStorageLocation: "default",
    snapshotID: "d9db3242bdbe7f246f1a2822169a108d",
    sourceNamespace: "apps",
    nodeOS: "linux",
    snapshotSize: 422370,
  } as const;
  const restore = { name: "back", uid: "5d1e8a3c-0000-4000-8000-000000000001" };
  const targetPVCUid = "7f000000-0000-4000-8000-000000000002";

  it("goes from the result of the DataUpload to the target claim", () => {
    const download = newDataDownload({
      namespace: "velero",
      restore,
      result,
      targetNamespace: "apps-2",
      targetPVC: "data",
      targetPVCUid,
    });
    expect(isDataDownload(download)).toBe(true);
    expect(checkObject(dataDownloads, download)).toEqual({
      apiVersion: "velero.io/v2alpha1",
      kind: "DataDownload",
      metadata: {
        generateName: "back-",
        namespace: "velero",
        labels: {
          [labels.restoreName]: "back",
          [labels.restoreUid]: restore.uid,
          [labels.asyncOperationId]: expect.stringMatching(
            /^dd-5d1e8a3c-0000-4000-8000-000000000001\.7f000000-0000-400[0-9a-f]{6}$/,
          ),
        },
        ownerReferences: [
          { apiVersion: "velero.io/v1", kind: "Restore", ...restore, controller: true },
        ],
      },
      spec: {
        targetVolume: { pvc: "data", pv: "", namespace: "apps-2" },
        backupStorageLocation: "default",
        snapshotID: result.snapshotID,
        sourceNamespace: "apps",
        operationTimeout: "10m0s",
        nodeOS: "linux",
        snapshotSize: 422370,
      },
    });
  });

  it("needs a snapshot", () => {
    expect(() =>
      newDataDownload({
        namespace: "velero",
        restore,
        result: { backupStorageLocation: "default", sourceNamespace: "apps" },
        targetNamespace: "apps",
        targetPVC: "data",
      }),
    ).toThrow(RangeError);
  });
});

describe("newBackupRepository", () => {
  it("has the name of Velero 1.16, the labels of all versions and the fields of 1.12", () => {
    const key = { volumeNamespace: "apps", backupStorageLocation: "default" };
    const repository = newBackupRepository({ namespace: "velero", ...key });
    expect(isBackupRepository(repository)).toBe(true);
    expect(repository).toEqual({
      apiVersion: "velero.io/v1",
      kind: "BackupRepository",
      metadata: {
        name: "apps-default-kopia",
        namespace: "velero",
        labels: {
          "velero.io/volume-namespace": "apps",
          "velero.io/storage-location": "default",
          "velero.io/repository-type": "kopia",
        },
      },
      spec: {
        volumeNamespace: "apps",
        backupStorageLocation: "default",
        repositoryType: "kopia",
        maintenanceFrequency: "0s",
        resticIdentifier: "",
      },
    });
    expect(backupRepositoryName(key)).toBe("apps-default-kopia");
  });
});

describe("maintenanceJobName", () => {
  it("holds the repository's name as long as that fits", () => {
    expect(maintenanceJobName("apps-default-kopia", 1_700_000_000_000)).toBe(
      "apps-default-kopia-maintain-job-1700000000000",
    );
    expect(maintenanceJobName("n".repeat(36), 1_700_000_000_000)).toHaveLength(63);
    expect(maintenanceJobName("n".repeat(37), 1_700_000_000_000)).toBe(
      "repo-maintain-job-1700000000000",
    );
  });
});

describe("newDataUploadResultConfigMap", () => {
  it("is found by its labels and read back", () => {
    const result = { backupStorageLocation: "default", snapshotID: "a", sourceNamespace: "apps" };
    const map = newDataUploadResultConfigMap({
      namespace: "velero",
      dataUploadName: "nightly-x7k2p",
      restoreUid: "u-1",
      sourceNamespace: "apps",
      sourcePVC: "data",
      result,
    });
    expect(map.metadata).toEqual({
      generateName: "nightly-x7k2p-",
      namespace: "velero",
      labels: dataUploadResultLabels("u-1", "apps", "data"),
    });
    expect(dataUploadResultLabels("u-1", "apps", "data")).toEqual({
      "velero.io/restore-uid": "u-1",
      "velero.io/pvc-namespace-name": "apps.data",
      "velero.io/resource-usage": "DataUpload",
    });
    expect(dataUploadResultSchema.parse(JSON.parse(map.data?.["u-1"] ?? ""))).toEqual(result);
  });
});

describe("controllerReference", () => {
  it("is what Velero writes: a controller, without blockOwnerDeletion", () => {
    expect(controllerReference(byVelero)).toEqual({
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      name: "moved-zwlmp",
      uid: byVelero.metadata.uid,
      controller: true,
    });
  });

  it("needs all four, since the API refuses an owner without kind", () => {
    const { kind: _, ...typed } = byVelero;
    expect(() => controllerReference(typed)).toThrow(RangeError);
  });
});
