/**
 * New objects with the names, labels and owners that Velero gives them, so that either side finds the other's.
 * Proof: test/builders.test.ts.
 * @module
 */
import type { ConfigMap } from "./core/cluster.ts";
import type { BackupRepository } from "./kinds/backup-repository.ts";
import type {
  CSISnapshotSpec,
  DataDownload,
  DataUpload,
  DataUploadResult,
} from "./kinds/data-movement.ts";
import type { KubeObject, ObjectMeta, OwnerReference } from "./kube-object.ts";
import { labelValue } from "./label-value.ts";
import { labels } from "./well-known.ts";

/** What is needed of the Backup or Restore that an object is made for. */
export interface Maker {
  readonly name: string;
  readonly uid: string;
}

/** The part that names an object: by its maker, or as told. */
export interface NewObjectOptions {
  /** Of the operator: where Velero, or this data mover, runs. */
  readonly namespace: string;
  /** Instead of the name that the API server makes up. */
  readonly name?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface NewDataUpload extends NewObjectOptions {
  readonly backup?: Maker | undefined;
  readonly backupStorageLocation: string;
  readonly sourceNamespace: string;
  readonly sourcePVC: string;
  /** Goes into labels, and with the backup into the name of the operation. */
  readonly sourcePVCUid?: string | undefined;
  readonly csiSnapshot: CSISnapshotSpec;
  /** `10m0s` by default. */
  readonly operationTimeout?: string | undefined;
  readonly datamover?: string | undefined;
  readonly dataMoverConfig?: Readonly<Record<string, string>> | undefined;
}

export const defaultOperationTimeout = "10m0s";

/**
 * A DataUpload named `<backup>-…`, owned by the backup.
 * @throws {RangeError} without a backup and without a name.
 * @example
 * const upload = newDataUpload({
 *   namespace: "openshift-adp",
 *   backup: { name: "nightly", uid: "0d9c3f8e" },
 *   backupStorageLocation: "default",
 *   sourceNamespace: "apps",
 *   sourcePVC: "data",
 *   csiSnapshot: { volumeSnapshot: "velero-data-x7k2p", storageClass: "fast" },
 * });
 */
export function newDataUpload(options: NewDataUpload): DataUpload {
  const { backup, sourcePVCUid, datamover, dataMoverConfig } = options;
  return {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataUpload",
    metadata: metadataOf(
      options,
      backup,
      {
        ...(backup && {
          [labels.backupName]: labelValue(backup.name),
          [labels.backupUid]: backup.uid,
        }),
        ...(sourcePVCUid !== undefined && { [labels.pvcUid]: sourcePVCUid }),
        ...(backup &&
          sourcePVCUid !== undefined && {
            [labels.asyncOperationId]: dataUploadOperationId(backup.uid, sourcePVCUid),
          }),
      },
      backup && ownerOf("Backup", backup),
    ),
    spec: {
      snapshotType: "CSI",
      csiSnapshot: { ...options.csiSnapshot },
      sourceNamespace: options.sourceNamespace,
      sourcePVC: options.sourcePVC,
      backupStorageLocation: options.backupStorageLocation,
      operationTimeout: options.operationTimeout ?? defaultOperationTimeout,
      ...(datamover !== undefined && { datamover }),
      ...(dataMoverConfig && { dataMoverConfig: { ...dataMoverConfig } }),
    },
  };
}

export interface NewDataDownload extends NewObjectOptions {
  readonly restore?: Maker | undefined;
  /** What the backup remembers of the DataUpload. */
  readonly result: DataUploadResult;
  readonly targetNamespace: string;
  readonly targetPVC: string;
  /** Of the target claim; goes with the restore into the name of the operation. */
  readonly targetPVCUid?: string | undefined;
  /** `10m0s` by default. */
  readonly operationTimeout?: string | undefined;
  readonly dataMoverConfig?: Readonly<Record<string, string>> | undefined;
}

/**
 * A DataDownload named `<restore>-…`, owned by the restore.
 * @throws {RangeError} when the result names no snapshot, or without a restore and without a name.
 */
export function newDataDownload(options: NewDataDownload): DataDownload {
  const { restore, result, targetPVCUid, dataMoverConfig } = options;
  const { snapshotID, datamover, nodeOS, snapshotSize } = result;
  if (!snapshotID) throw new RangeError("the result of the DataUpload names no snapshot");
  return {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataDownload",
    metadata: metadataOf(
      options,
      restore,
      {
        ...(restore && {
          [labels.restoreName]: labelValue(restore.name),
          [labels.restoreUid]: restore.uid,
        }),
        ...(restore &&
          targetPVCUid !== undefined && {
            [labels.asyncOperationId]: dataDownloadOperationId(restore.uid, targetPVCUid),
          }),
      },
      restore && ownerOf("Restore", restore),
    ),
    spec: {
      // required by the schema and left empty by everyone
      targetVolume: { pvc: options.targetPVC, pv: "", namespace: options.targetNamespace },
      backupStorageLocation: result.backupStorageLocation,
      snapshotID,
      sourceNamespace: result.sourceNamespace,
      operationTimeout: options.operationTimeout ?? defaultOperationTimeout,
      ...(datamover !== undefined && { datamover }),
      ...(nodeOS !== undefined && { nodeOS }),
      ...(snapshotSize !== undefined && { snapshotSize }),
      ...(dataMoverConfig && { dataMoverConfig: { ...dataMoverConfig } }),
    },
  };
}

export interface BackupRepositoryKey {
  readonly volumeNamespace: string;
  readonly backupStorageLocation: string;
  /** `kopia` by default. */
  readonly repositoryType?: "kopia" | "restic" | undefined;
}

/** The labels by which a BackupRepository is looked up; Velero up to 1.15 gave it a random name. */
export function backupRepositoryLabels(key: BackupRepositoryKey): Record<string, string> {
  return {
    [labels.volumeNamespace]: labelValue(key.volumeNamespace),
    [labels.storageLocation]: labelValue(key.backupStorageLocation),
    [labels.repositoryType]: labelValue(key.repositoryType ?? "kopia"),
  };
}

/** The name of a BackupRepository since Velero 1.16. */
export function backupRepositoryName(key: BackupRepositoryKey): string {
  return `${key.volumeNamespace}-${key.backupStorageLocation}-${key.repositoryType ?? "kopia"}`;
}

/** A BackupRepository as whoever needs one first creates it; its controller fills in the rest. */
export function newBackupRepository(
  options: NewObjectOptions & BackupRepositoryKey,
): BackupRepository {
  return {
    apiVersion: "velero.io/v1",
    kind: "BackupRepository",
    metadata: metadataOf(
      { ...options, name: options.name ?? backupRepositoryName(options) },
      undefined,
      backupRepositoryLabels(options),
    ),
    spec: {
      volumeNamespace: options.volumeNamespace,
      backupStorageLocation: options.backupStorageLocation,
      repositoryType: options.repositoryType ?? "kopia",
      maintenanceFrequency: "0s",
      // the schema of Velero up to 1.16 requires it
      resticIdentifier: "",
    },
  };
}

/** The name of a maintenance Job, from the time at which it is made. */
export function maintenanceJobName(repositoryName: string, unixMs: number): string {
  const name = `${repositoryName}-maintain-job-${unixMs}`;
  return name.length <= 63 ? name : `repo-maintain-job-${unixMs}`;
}

/** Names the work of a DataUpload: a label of it, and a tag of its snapshot. */
export function dataUploadOperationId(backupUid: string, pvcUid: string): string {
  return labelValue(`du-${backupUid}.${pvcUid}`);
}

/** Names the work of a DataDownload. */
export function dataDownloadOperationId(restoreUid: string, pvcUid: string): string {
  return labelValue(`dd-${restoreUid}.${pvcUid}`);
}

export interface NewDataUploadResult extends NewObjectOptions {
  readonly dataUploadName: string;
  readonly restoreUid: string;
  readonly sourceNamespace: string;
  readonly sourcePVC: string;
  readonly result: DataUploadResult;
}

/** The ConfigMap in which a restore keeps what the backup remembers of a DataUpload, until the claim is restored. */
export function newDataUploadResultConfigMap(options: NewDataUploadResult): ConfigMap {
  const { restoreUid, result, dataUploadName } = options;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadataOf(
      options,
      { name: dataUploadName },
      dataUploadResultLabels(restoreUid, options.sourceNamespace, options.sourcePVC),
    ),
    data: { [restoreUid]: JSON.stringify(result) },
  };
}

/** The labels by which the ConfigMap of `newDataUploadResultConfigMap` is found again. */
export function dataUploadResultLabels(
  restoreUid: string,
  sourceNamespace: string,
  sourcePVC: string,
): Record<string, string> {
  return {
    [labels.restoreUid]: restoreUid,
    [labels.pvcNamespaceName]: labelValue(`${sourceNamespace}.${sourcePVC}`),
    [labels.resourceUsage]: "DataUpload",
  };
}

/** An owner reference to a custom resource, as Velero writes it: a controller that does not block the owner's deletion. */
export function controllerReference(owner: KubeObject): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  if (!apiVersion || !kind || !metadata.name || !metadata.uid) {
    throw new RangeError("an owner needs apiVersion, kind, name and uid");
  }
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true };
}

function ownerOf(kind: "Backup" | "Restore", { name, uid }: Maker): OwnerReference {
  return { apiVersion: "velero.io/v1", kind, name, uid, controller: true };
}

/** The API server cuts a prefix that is too long, then adds five characters. */
function metadataOf(
  { namespace, name, labels: more, annotations }: NewObjectOptions,
  maker: Pick<Maker, "name"> | undefined,
  ownLabels: Record<string, string>,
  owner?: OwnerReference,
): ObjectMeta {
  if (name === undefined && maker === undefined) throw new RangeError("an object needs a name");
  const allLabels = { ...ownLabels, ...more };
  return {
    ...(name === undefined ? maker && { generateName: `${maker.name}-` } : { name }),
    namespace,
    ...(Object.keys(allLabels).length > 0 && { labels: allLabels }),
    ...(annotations && { annotations: { ...annotations } }),
    ...(owner && { ownerReferences: [owner] }),
  };
}
