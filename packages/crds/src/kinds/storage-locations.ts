/**
 * BackupStorageLocation and VolumeSnapshotLocation (velero.io/v1): where backups lie.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind } from "../custom-kind.ts";
import {
  bytes,
  dateTime,
  flag,
  goDuration,
  kindSchema,
  nullable,
  object,
  optional,
  secretKeySelectorSchema,
  text,
  textMap,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";

export const storageLocationPhases = ["Available", "Unavailable"] as const;
export type BackupStorageLocationPhase = (typeof storageLocationPhases)[number];
export const accessModeSchema = z.enum(["ReadOnly", "ReadWrite"]);

export const objectStorageLocationSchema = object({
  bucket: text,
  caCert: optional(bytes.describe("deprecated: the certificate authorities themselves")),
  caCertRef: optional(secretKeySelectorSchema.describe("key of a Secret with PEM certificates")),
  prefix: optional(text.describe("path in the bucket, without slash at either end")),
});
export interface ObjectStorageLocation extends z.infer<typeof objectStorageLocationSchema> {}

export const backupStorageLocationSpecSchema = object({
  accessMode: optional(accessModeSchema),
  backupSyncPeriod: nullable(goDuration.describe("null: as the server says; 0s: never")),
  config: optional(textMap.describe("region, s3Url, s3ForcePathStyle, profile and more")),
  credential: optional(secretKeySelectorSchema.describe("key of a Secret with a credentials file")),
  default: optional(flag.describe("used by backups that name no location")),
  objectStorage: objectStorageLocationSchema,
  provider: text.describe("aws, azure or gcp"),
  validationFrequency: nullable(goDuration.describe("null: as the server says; 0s: never")),
});
export interface BackupStorageLocationSpec
  extends z.infer<typeof backupStorageLocationSpecSchema> {}

export const backupStorageLocationStatusSchema = object({
  accessMode: optional(accessModeSchema.describe("deprecated")),
  lastSyncedRevision: optional(text.describe("deprecated")),
  lastSyncedTime: nullable(dateTime),
  lastValidationTime: nullable(dateTime),
  message: optional(text.describe("why it is Unavailable")),
  phase: optional(z.enum(storageLocationPhases)),
});
export interface BackupStorageLocationStatus
  extends z.infer<typeof backupStorageLocationStatusSchema> {}

export const backupStorageLocationSchema = kindSchema("velero.io/v1", "BackupStorageLocation", {
  spec: backupStorageLocationSpecSchema,
  status: optional(backupStorageLocationStatusSchema),
});
export interface BackupStorageLocation extends z.infer<typeof backupStorageLocationSchema> {}

export const backupStorageLocations: Resource<BackupStorageLocation> = {
  group: "velero.io",
  version: "v1",
  kind: "BackupStorageLocation",
  plural: "backupstoragelocations",
  namespaced: true,
};

export const backupStorageLocationKind: CustomKind<BackupStorageLocation> = {
  resource: backupStorageLocations,
  schema: backupStorageLocationSchema,
  singular: "backupstoragelocation",
  specOptional: true,
  shortNames: ["bsl"],
  description: "A place in an object store where backups and repositories lie.",
  columns: [
    { name: "Phase", type: "string", jsonPath: ".status.phase" },
    { name: "Last Validated", type: "date", jsonPath: ".status.lastValidationTime" },
    ageColumn,
    { name: "Default", type: "boolean", jsonPath: ".spec.default" },
  ],
};

export const volumeSnapshotLocationSpecSchema = object({
  config: optional(textMap),
  credential: optional(secretKeySelectorSchema),
  provider: text,
});
export interface VolumeSnapshotLocationSpec
  extends z.infer<typeof volumeSnapshotLocationSpecSchema> {}

export const volumeSnapshotLocationStatusSchema = object({
  phase: optional(z.enum(storageLocationPhases)),
});

export const volumeSnapshotLocationSchema = kindSchema("velero.io/v1", "VolumeSnapshotLocation", {
  spec: volumeSnapshotLocationSpecSchema,
  status: optional(volumeSnapshotLocationStatusSchema),
});
export interface VolumeSnapshotLocation extends z.infer<typeof volumeSnapshotLocationSchema> {}

export const volumeSnapshotLocations: Resource<VolumeSnapshotLocation> = {
  group: "velero.io",
  version: "v1",
  kind: "VolumeSnapshotLocation",
  plural: "volumesnapshotlocations",
  namespaced: true,
};

export const volumeSnapshotLocationKind: CustomKind<VolumeSnapshotLocation> = {
  resource: volumeSnapshotLocations,
  schema: volumeSnapshotLocationSchema,
  singular: "volumesnapshotlocation",
  specOptional: true,
  shortNames: ["vsl"],
  description: "Where a provider keeps native snapshots of volumes.",
};
