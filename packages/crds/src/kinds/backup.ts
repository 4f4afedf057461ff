/**
 * Backup, Schedule and DeleteBackupRequest (velero.io/v1).
 * Proof: test/manifests.test.ts, test/samples.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind, statusColumn } from "../custom-kind.ts";
import {
  dateTime,
  flag,
  goDuration,
  integer,
  kindSchema,
  labelSelectorSchema,
  nullable,
  object,
  optional,
  text,
  textMap,
  texts,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";

export const backupPhases = [
  "New",
  "Queued",
  "ReadyToStart",
  "FailedValidation",
  "InProgress",
  "WaitingForPluginOperations",
  "WaitingForPluginOperationsPartiallyFailed",
  "Finalizing",
  "FinalizingPartiallyFailed",
  "Completed",
  "PartiallyFailed",
  "Failed",
  "Deleting",
] as const;
export type BackupPhase = (typeof backupPhases)[number];

export const hookErrorModeSchema = z.enum(["Continue", "Fail"]);

/** What names a ConfigMap with policies or patches. */
export const typedReferenceSchema = object({
  apiGroup: optional(text),
  kind: text,
  name: text,
});
export interface TypedReference extends z.infer<typeof typedReferenceSchema> {}

/** Fields that select what a hook applies to, in backups and restores alike. */
export const hookScope = {
  excludedNamespaces: nullable(texts),
  excludedResources: nullable(texts),
  includedNamespaces: nullable(texts),
  includedResources: nullable(texts),
  labelSelector: nullable(labelSelectorSchema.describe("what the hooks apply to")),
  name: text,
};

const backupHookSchema = object({
  exec: object({
    command: texts,
    container: optional(text.describe("the first one when absent")),
    onError: optional(hookErrorModeSchema.describe("Fail when absent")),
    timeout: optional(goDuration.describe("30s when absent")),
  }),
});

export const hookStatusSchema = object({
  hooksAttempted: optional(integer),
  hooksFailed: optional(integer),
});

export const backupSpecSchema = object({
  csiSnapshotTimeout: optional(goDuration.describe("longest wait for a snapshot handle")),
  datamover: optional(text.describe("who moves the data of snapshots")),
  defaultVolumesToFsBackup: nullable(
    flag.describe("true: file system backup of all pod volumes that are not opted out"),
  ),
  defaultVolumesToRestic: nullable(flag.describe("deprecated: defaultVolumesToFsBackup")),
  excludedClusterScopedResources: nullable(texts),
  excludedNamespaceScopedResources: nullable(texts),
  excludedNamespaces: nullable(texts),
  excludedResources: nullable(texts),
  hooks: optional(
    object({
      resources: nullable(
        z.array(
          object({
            ...hookScope,
            post: optional(z.array(backupHookSchema)),
            pre: optional(z.array(backupHookSchema)),
          }),
        ),
      ),
    }),
  ),
  includeClusterResources: nullable(flag),
  includedClusterScopedResources: nullable(texts),
  includedNamespaceScopedResources: nullable(texts),
  includedNamespaces: nullable(texts.describe("empty means all")),
  includedResources: nullable(texts.describe("not together with the lists by scope of a resource")),
  itemOperationTimeout: optional(goDuration.describe("longest wait for what runs asynchronously")),
  labelSelector: nullable(labelSelectorSchema.describe("not together with orLabelSelectors")),
  metadata: optional(object({ labels: optional(textMap) })),
  orLabelSelectors: nullable(z.array(labelSelectorSchema)),
  orderedResources: nullable(textMap.describe("kind to namespace/name,… that go first")),
  resourcePolicy: optional(typedReferenceSchema.describe("ConfigMap with volume policies")),
  snapshotMoveData: nullable(flag.describe("true: the data of snapshots goes into a repository")),
  snapshotVolumes: nullable(flag.describe("false: no volume snapshots at all")),
  storageLocation: optional(text.describe("name of a BackupStorageLocation")),
  ttl: optional(goDuration.describe("how long to keep the backup")),
  uploaderConfig: nullable(object({ parallelFilesUpload: optional(integer) })),
  volumeGroupSnapshotLabelKey: optional(text.describe("label of claims that groups volumes")),
  volumeSnapshotLocations: optional(texts),
});
export interface BackupSpec extends z.infer<typeof backupSpecSchema> {}

export const backupStatusSchema = object({
  backupItemOperationsAttempted: optional(integer.describe("DataUploads that were started")),
  backupItemOperationsCompleted: optional(integer),
  backupItemOperationsFailed: optional(integer),
  completionTimestamp: nullable(dateTime),
  csiVolumeSnapshotsAttempted: optional(integer),
  csiVolumeSnapshotsCompleted: optional(integer),
  errors: optional(integer),
  expiration: nullable(dateTime.describe("when it may be deleted")),
  failureReason: optional(text),
  formatVersion: optional(text),
  hookStatus: nullable(hookStatusSchema),
  phase: optional(z.enum(backupPhases)),
  progress: nullable(object({ itemsBackedUp: optional(integer), totalItems: optional(integer) })),
  queuePosition: optional(integer.describe("from 1 while Queued")),
  startTimestamp: nullable(dateTime),
  validationErrors: nullable(texts),
  version: optional(integer),
  volumeSnapshotsAttempted: optional(integer),
  volumeSnapshotsCompleted: optional(integer),
  warnings: optional(integer),
});
export interface BackupStatus extends z.infer<typeof backupStatusSchema> {}

export const backupSchema = kindSchema("velero.io/v1", "Backup", {
  spec: optional(backupSpecSchema),
  status: optional(backupStatusSchema),
});
export interface Backup extends z.infer<typeof backupSchema> {}

export const backups: Resource<Backup> = {
  group: "velero.io",
  version: "v1",
  kind: "Backup",
  plural: "backups",
  namespaced: true,
};

export const backupKind: CustomKind<Backup> = {
  resource: backups,
  schema: backupSchema,
  singular: "backup",
  description: "A copy of objects and volumes of a cluster at one time.",
};

export const schedulePhases = ["New", "Enabled", "FailedValidation"] as const;
export type SchedulePhase = (typeof schedulePhases)[number];

export const scheduleSpecSchema = object({
  paused: optional(flag),
  schedule: text.describe("cron with five fields, or @every"),
  skipImmediately: optional(flag.describe("do not run right after creation or pause")),
  template: backupSpecSchema,
  useOwnerReferencesInBackup: nullable(flag),
});
export interface ScheduleSpec extends z.infer<typeof scheduleSpecSchema> {}

export const scheduleStatusSchema = object({
  lastBackup: nullable(dateTime),
  lastSkipped: nullable(dateTime),
  phase: optional(z.enum(schedulePhases)),
  validationErrors: optional(texts),
});
export interface ScheduleStatus extends z.infer<typeof scheduleStatusSchema> {}

export const scheduleSchema = kindSchema("velero.io/v1", "Schedule", {
  spec: scheduleSpecSchema,
  status: optional(scheduleStatusSchema),
});
export interface Schedule extends z.infer<typeof scheduleSchema> {}

export const schedules: Resource<Schedule> = {
  group: "velero.io",
  version: "v1",
  kind: "Schedule",
  plural: "schedules",
  namespaced: true,
};

export const scheduleKind: CustomKind<Schedule> = {
  resource: schedules,
  schema: scheduleSchema,
  singular: "schedule",
  specOptional: true,
  description: "Backups that are made again and again.",
  columns: [
    statusColumn,
    { name: "Schedule", type: "string", jsonPath: ".spec.schedule" },
    { name: "LastBackup", type: "date", jsonPath: ".status.lastBackup" },
    ageColumn,
    { name: "Paused", type: "boolean", jsonPath: ".spec.paused" },
  ],
};

export const deleteBackupRequestPhases = ["New", "InProgress", "Processed"] as const;
export type DeleteBackupRequestPhase = (typeof deleteBackupRequestPhases)[number];

export const deleteBackupRequestSchema = kindSchema("velero.io/v1", "DeleteBackupRequest", {
  spec: object({ backupName: text }),
  status: optional(
    object({
      errors: nullable(texts.describe("empty when all went well")),
      phase: optional(z.enum(deleteBackupRequestPhases)),
    }),
  ),
});
export interface DeleteBackupRequest extends z.infer<typeof deleteBackupRequestSchema> {}

export const deleteBackupRequests: Resource<DeleteBackupRequest> = {
  group: "velero.io",
  version: "v1",
  kind: "DeleteBackupRequest",
  plural: "deletebackuprequests",
  namespaced: true,
};

export const deleteBackupRequestKind: CustomKind<DeleteBackupRequest> = {
  resource: deleteBackupRequests,
  schema: deleteBackupRequestSchema,
  singular: "deletebackuprequest",
  specOptional: true,
  description: "Asks for a backup to be deleted with everything that belongs to it.",
  columns: [{ name: "BackupName", type: "string", jsonPath: ".spec.backupName" }, statusColumn],
};
