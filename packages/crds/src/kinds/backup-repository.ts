/**
 * BackupRepository (velero.io/v1): one Kopia repository, for the volumes of one namespace in one BackupStorageLocation.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind } from "../custom-kind.ts";
import {
  dateTime,
  goDuration,
  kindSchema,
  nullable,
  object,
  optional,
  text,
  textMap,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";

export const backupRepositoryPhases = ["New", "Ready", "NotReady"] as const;
export type BackupRepositoryPhase = (typeof backupRepositoryPhases)[number];

export const backupRepositorySpecSchema = object({
  backupStorageLocation: text.describe("name of the BackupStorageLocation"),
  maintenanceFrequency: goDuration.describe(
    "how often maintenance runs; 0s until the controller fills it in",
  ),
  repositoryConfig: nullable(textMap.describe("cacheLimitMB, fullMaintenanceInterval")),
  repositoryType: optional(z.enum(["kopia", "restic", ""])),
  resticIdentifier: optional(text.describe("deprecated; required by Velero 1.12 to 1.16")),
  volumeNamespace: text.describe("namespace whose volumes are stored"),
});
export interface BackupRepositorySpec extends z.infer<typeof backupRepositorySpecSchema> {}

export const maintenanceRecordSchema = object({
  completeTimestamp: nullable(dateTime),
  message: optional(text),
  result: optional(z.enum(["Succeeded", "Failed"])),
  startTimestamp: nullable(dateTime),
});
/** One run of maintenance. */
export interface MaintenanceRecord extends z.infer<typeof maintenanceRecordSchema> {}

export const backupRepositoryStatusSchema = object({
  lastMaintenanceTime: nullable(dateTime.describe("last success")),
  message: optional(text.describe("why it is NotReady")),
  phase: optional(z.enum(backupRepositoryPhases)),
  recentMaintenance: optional(
    z.array(maintenanceRecordSchema).describe("latest runs, oldest first"),
  ),
});
export interface BackupRepositoryStatus extends z.infer<typeof backupRepositoryStatusSchema> {}

export const backupRepositorySchema = kindSchema("velero.io/v1", "BackupRepository", {
  spec: backupRepositorySpecSchema,
  status: optional(backupRepositoryStatusSchema),
});
export interface BackupRepository extends z.infer<typeof backupRepositorySchema> {}

export const backupRepositories: Resource<BackupRepository> = {
  group: "velero.io",
  version: "v1",
  kind: "BackupRepository",
  plural: "backuprepositories",
  namespaced: true,
};

export const backupRepositoryKind: CustomKind<BackupRepository> = {
  resource: backupRepositories,
  schema: backupRepositorySchema,
  singular: "backuprepository",
  specOptional: true,
  description: "The repository for the volumes of one namespace in one storage location.",
  columns: [
    ageColumn,
    { name: "Repository Type", type: "string", jsonPath: ".spec.repositoryType" },
  ],
};
