/**
 * DataUpload and DataDownload (velero.io/v2alpha1): one volume on its way into a repository, or out of it.
 * Proof: test/manifests.test.ts, test/samples.test.ts.
 * @module
 */
import { z } from "zod";
import {
  ageColumn,
  bytesDoneColumn,
  type CustomKind,
  incrementalBytesColumn,
  nodeColumn,
  startedColumn,
  statusColumn,
  storageLocationColumn,
  totalBytesColumn,
} from "../custom-kind.ts";
import {
  dateTime,
  flag,
  goDuration,
  int64,
  kindSchema,
  nullable,
  object,
  optional,
  text,
  textMap,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";

/** Phases of DataUploads, DataDownloads, PodVolumeBackups and PodVolumeRestores. A new object has none, which means New. */
export const dataMovementPhases = [
  "New",
  "Accepted",
  "Prepared",
  "InProgress",
  "Canceling",
  "Canceled",
  "Completed",
  "Failed",
] as const;
export type DataMovementPhase = (typeof dataMovementPhases)[number];
export type DataUploadPhase = DataMovementPhase;
export type DataDownloadPhase = DataMovementPhase;

export const nodeOSSchema = z.enum(["auto", "linux", "windows"]);
export type NodeOS = z.infer<typeof nodeOSSchema>;

export const progressSchema = object({
  bytesDone: optional(int64),
  totalBytes: optional(int64),
}).describe("how far the data path is");
export interface DataMovementProgress extends z.infer<typeof progressSchema> {}

const cancel = flag.describe("true asks for cancellation and is never taken back");
const datamover = text.describe('who moves the data; "" and "velero" are the built-in mover');
const backupStorageLocation = text.describe(
  "name of the BackupStorageLocation: bucket, prefix, credentials and repository",
);
const operationTimeout = goDuration.describe("longest wait for an operation on a single object");
const acceptedByNode = text.describe("node whose controller accepted the object");
const acceptedTimestamp = dateTime.describe(
  "when it was accepted; the prepare timeout counts from here",
);
const completionTimestamp = dateTime.describe("when it ended");
const startTimestamp = dateTime.describe("when the data path started");
const message = text.describe("for people: why it failed");
const node = text.describe("node that runs the data path");
const phase = z.enum(dataMovementPhases);

export const csiSnapshotSpecSchema = object({
  driver: optional(text.describe("name of the CSI driver")),
  snapshotClass: optional(text.describe("VolumeSnapshotClass; may be empty")),
  storageClass: text.describe("StorageClass of the source claim"),
  volumeSnapshot: text.describe("VolumeSnapshot in the source namespace"),
});
export interface CSISnapshotSpec extends z.infer<typeof csiSnapshotSpecSchema> {}

export const dataUploadSpecSchema = object({
  backupStorageLocation,
  cancel: optional(cancel),
  csiSnapshot: nullable(csiSnapshotSpecSchema.describe("needed when snapshotType is CSI")),
  dataMoverConfig: nullable(textMap.describe("options of the uploader: ParallelFilesUpload")),
  datamover: optional(datamover),
  operationTimeout,
  snapshotType: text.describe("CSI is the only one known"),
  sourceNamespace: text.describe("namespace of claim and snapshot; also selects the repository"),
  sourcePVC: text.describe("claim from which the snapshot was taken"),
});
export interface DataUploadSpec extends z.infer<typeof dataUploadSpecSchema> {}

export const dataUploadStatusSchema = object({
  acceptedByNode: optional(acceptedByNode),
  acceptedTimestamp: nullable(acceptedTimestamp),
  completionTimestamp: nullable(completionTimestamp),
  dataMoverResult: nullable(textMap.describe("what another mover has to say")),
  incrementalBytes: optional(int64.describe("bytes that were not in the repository before")),
  message: optional(message),
  node: optional(node),
  nodeOS: optional(nodeOSSchema.describe("operating system of that node")),
  path: optional(text.describe("where the data path read the volume")),
  phase: optional(phase),
  progress: optional(progressSchema),
  snapshotID: optional(text.describe("manifest of the snapshot in the repository")),
  startTimestamp: nullable(startTimestamp),
});
export interface DataUploadStatus extends z.infer<typeof dataUploadStatusSchema> {}

export const dataUploadSchema = kindSchema("velero.io/v2alpha1", "DataUpload", {
  spec: dataUploadSpecSchema,
  status: optional(dataUploadStatusSchema),
});
export interface DataUpload extends z.infer<typeof dataUploadSchema> {}

export const dataUploads: Resource<DataUpload> = {
  group: "velero.io",
  version: "v2alpha1",
  kind: "DataUpload",
  plural: "datauploads",
  namespaced: true,
};

export const dataUploadKind: CustomKind<DataUpload> = {
  resource: dataUploads,
  schema: dataUploadSchema,
  singular: "dataupload",
  specOptional: true,
  description: "The snapshot of one volume on its way into a repository.",
  columns: [
    statusColumn,
    startedColumn,
    bytesDoneColumn,
    totalBytesColumn,
    incrementalBytesColumn,
    storageLocationColumn,
    ageColumn,
    nodeColumn,
  ],
};

export const targetVolumeSpecSchema = object({
  namespace: text.describe("namespace to restore into"),
  pv: text.describe('always present, mostly ""'),
  pvc: text.describe("claim to fill"),
});
export interface TargetVolumeSpec extends z.infer<typeof targetVolumeSpecSchema> {}

export const dataDownloadSpecSchema = object({
  backupStorageLocation,
  cancel: optional(cancel),
  dataMoverConfig: optional(
    textMap.describe("options of the uploader: WriteSparseFiles, ParallelFilesDownload"),
  ),
  datamover: optional(datamover),
  nodeOS: optional(nodeOSSchema.describe("operating system the data came from; linux when empty")),
  operationTimeout,
  snapshotID: text.describe("manifest of the snapshot to restore"),
  snapshotSize: optional(int64.describe("logical bytes, to size a cache volume")),
  sourceNamespace: text.describe("namespace the data came from; selects the repository"),
  targetVolume: targetVolumeSpecSchema,
});
export interface DataDownloadSpec extends z.infer<typeof dataDownloadSpecSchema> {}

export const dataDownloadStatusSchema = object({
  acceptedByNode: optional(acceptedByNode),
  acceptedTimestamp: nullable(acceptedTimestamp),
  completionTimestamp: nullable(completionTimestamp),
  message: optional(message),
  node: optional(node),
  phase: optional(phase),
  progress: optional(progressSchema),
  startTimestamp: nullable(startTimestamp),
});
export interface DataDownloadStatus extends z.infer<typeof dataDownloadStatusSchema> {}

export const dataDownloadSchema = kindSchema("velero.io/v2alpha1", "DataDownload", {
  spec: dataDownloadSpecSchema,
  status: optional(dataDownloadStatusSchema),
});
export interface DataDownload extends z.infer<typeof dataDownloadSchema> {}

export const dataDownloads: Resource<DataDownload> = {
  group: "velero.io",
  version: "v2alpha1",
  kind: "DataDownload",
  plural: "datadownloads",
  namespaced: true,
};

export const dataDownloadKind: CustomKind<DataDownload> = {
  resource: dataDownloads,
  schema: dataDownloadSchema,
  singular: "datadownload",
  specOptional: true,
  description: "A snapshot in a repository on its way into one volume.",
  columns: [
    statusColumn,
    startedColumn,
    bytesDoneColumn,
    totalBytesColumn,
    storageLocationColumn,
    ageColumn,
    nodeColumn,
  ],
};

/** What a backup remembers of a finished DataUpload for the restore: the value of a ConfigMap, as JSON. */
export const dataUploadResultSchema = object({
  backupStorageLocation: text,
  datamover: optional(text),
  snapshotID: optional(text),
  sourceNamespace: text,
  dataMoverResult: nullable(textMap),
  nodeOS: optional(nodeOSSchema),
  snapshotSize: optional(int64),
});
export interface DataUploadResult extends z.infer<typeof dataUploadResultSchema> {}
