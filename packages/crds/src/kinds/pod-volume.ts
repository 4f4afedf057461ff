/**
 * PodVolumeBackup and PodVolumeRestore (velero.io/v1): file system backup of a volume that a pod has mounted.
 * Proof: test/manifests.test.ts.
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
  int64,
  kindSchema,
  nullable,
  object,
  objectReferenceSchema,
  optional,
  text,
  textMap,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";
import { dataMovementPhases, progressSchema } from "./data-movement.ts";

const uploaderType = z.enum(["kopia", "restic", ""]);
const pod = objectReferenceSchema.describe("pod that mounts the volume");
const volume = text.describe("name of the volume in that pod");
const repoIdentifier = text.describe("empty for kopia");
const uploaderSettings = textMap.describe("options of the uploader");
/** Velero 1.12 to 1.16 know New, InProgress, Completed and Failed only. */
const phase = z.enum(dataMovementPhases);

export const podVolumeBackupSpecSchema = object({
  backupStorageLocation: text,
  cancel: optional(flag),
  node: text.describe("node of the pod"),
  pod,
  repoIdentifier,
  tags: optional(textMap.describe("tags of the snapshot")),
  uploaderSettings: nullable(uploaderSettings),
  uploaderType: optional(uploaderType),
  volume,
});
export interface PodVolumeBackupSpec extends z.infer<typeof podVolumeBackupSpecSchema> {}

export const podVolumeBackupStatusSchema = object({
  acceptedTimestamp: nullable(dateTime),
  completionTimestamp: nullable(dateTime),
  incrementalBytes: optional(int64),
  message: optional(text),
  path: optional(text),
  phase: optional(phase),
  progress: optional(progressSchema),
  snapshotID: optional(text),
  startTimestamp: nullable(dateTime),
});
export interface PodVolumeBackupStatus extends z.infer<typeof podVolumeBackupStatusSchema> {}

export const podVolumeBackupSchema = kindSchema("velero.io/v1", "PodVolumeBackup", {
  spec: podVolumeBackupSpecSchema,
  status: optional(podVolumeBackupStatusSchema),
});
export interface PodVolumeBackup extends z.infer<typeof podVolumeBackupSchema> {}

export const podVolumeBackups: Resource<PodVolumeBackup> = {
  group: "velero.io",
  version: "v1",
  kind: "PodVolumeBackup",
  plural: "podvolumebackups",
  namespaced: true,
};

export const podVolumeBackupKind: CustomKind<PodVolumeBackup> = {
  resource: podVolumeBackups,
  schema: podVolumeBackupSchema,
  singular: "podvolumebackup",
  specOptional: true,
  description: "File system backup of one volume of a pod.",
  columns: [
    statusColumn,
    startedColumn,
    bytesDoneColumn,
    totalBytesColumn,
    incrementalBytesColumn,
    storageLocationColumn,
    ageColumn,
    nodeColumn,
    { name: "Uploader", type: "string", jsonPath: ".spec.uploaderType" },
  ],
};

export const podVolumeRestoreSpecSchema = object({
  backupStorageLocation: text,
  cancel: optional(flag),
  pod,
  repoIdentifier,
  snapshotID: text,
  snapshotSize: optional(int64),
  sourceNamespace: text,
  uploaderSettings: nullable(uploaderSettings),
  uploaderType: optional(uploaderType),
  volume,
});
export interface PodVolumeRestoreSpec extends z.infer<typeof podVolumeRestoreSpecSchema> {}

export const podVolumeRestoreStatusSchema = object({
  acceptedTimestamp: nullable(dateTime),
  completionTimestamp: nullable(dateTime),
  message: optional(text),
  node: optional(text),
  phase: optional(phase),
  progress: optional(progressSchema),
  startTimestamp: nullable(dateTime),
});
export interface PodVolumeRestoreStatus extends z.infer<typeof podVolumeRestoreStatusSchema> {}

export const podVolumeRestoreSchema = kindSchema("velero.io/v1", "PodVolumeRestore", {
  spec: podVolumeRestoreSpecSchema,
  status: optional(podVolumeRestoreStatusSchema),
});
export interface PodVolumeRestore extends z.infer<typeof podVolumeRestoreSchema> {}

export const podVolumeRestores: Resource<PodVolumeRestore> = {
  group: "velero.io",
  version: "v1",
  kind: "PodVolumeRestore",
  plural: "podvolumerestores",
  namespaced: true,
};

export const podVolumeRestoreKind: CustomKind<PodVolumeRestore> = {
  resource: podVolumeRestores,
  schema: podVolumeRestoreSchema,
  singular: "podvolumerestore",
  specOptional: true,
  description: "Restore of one volume of a pod from a file system backup.",
  columns: [
    statusColumn,
    startedColumn,
    bytesDoneColumn,
    totalBytesColumn,
    storageLocationColumn,
    ageColumn,
    nodeColumn,
    { name: "Uploader Type", type: "string", jsonPath: ".spec.uploaderType" },
  ],
};
