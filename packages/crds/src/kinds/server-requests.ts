/**
 * ServerStatusRequest and DownloadRequest (velero.io/v1): questions that clients put to the server.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { z } from "zod";
import type { CustomKind } from "../custom-kind.ts";
import { dateTime, kindSchema, nullable, object, optional, text } from "../fields.ts";
import type { Resource } from "../kube-object.ts";

export const requestPhases = ["New", "Processed"] as const;
export type RequestPhase = (typeof requestPhases)[number];

export const serverStatusRequestSchema = kindSchema("velero.io/v1", "ServerStatusRequest", {
  spec: optional(object({})),
  status: optional(
    object({
      phase: optional(z.enum(requestPhases)),
      plugins: nullable(z.array(object({ kind: text, name: text }))),
      processedTimestamp: nullable(dateTime),
      serverVersion: optional(text),
    }),
  ),
});
export interface ServerStatusRequest extends z.infer<typeof serverStatusRequestSchema> {}

export const serverStatusRequests: Resource<ServerStatusRequest> = {
  group: "velero.io",
  version: "v1",
  kind: "ServerStatusRequest",
  plural: "serverstatusrequests",
  namespaced: true,
};

export const serverStatusRequestKind: CustomKind<ServerStatusRequest> = {
  resource: serverStatusRequests,
  schema: serverStatusRequestSchema,
  singular: "serverstatusrequest",
  shortNames: ["ssr"],
  description: "Asks the server for its version and plugins.",
};

/** Files of a backup or restore that can be asked for. */
export const downloadTargetKinds = [
  "BackupLog",
  "BackupContents",
  "BackupVolumeSnapshots",
  "BackupItemOperations",
  "BackupResourceList",
  "BackupResults",
  "RestoreLog",
  "RestoreResults",
  "RestoreResourceList",
  "RestoreItemOperations",
  "CSIBackupVolumeSnapshots",
  "CSIBackupVolumeSnapshotContents",
  "BackupVolumeInfos",
  "RestoreVolumeInfo",
] as const;
export type DownloadTargetKind = (typeof downloadTargetKinds)[number];

export const downloadRequestSchema = kindSchema("velero.io/v1", "DownloadRequest", {
  spec: object({
    target: object({
      kind: z.enum(downloadTargetKinds),
      name: text.describe("name of the backup or restore"),
    }),
  }),
  status: optional(
    object({
      downloadURL: optional(text),
      expiration: nullable(dateTime.describe("when the URL ends and the request goes")),
      phase: optional(z.enum(requestPhases)),
    }),
  ),
});
export interface DownloadRequest extends z.infer<typeof downloadRequestSchema> {}

export const downloadRequests: Resource<DownloadRequest> = {
  group: "velero.io",
  version: "v1",
  kind: "DownloadRequest",
  plural: "downloadrequests",
  namespaced: true,
};

export const downloadRequestKind: CustomKind<DownloadRequest> = {
  resource: downloadRequests,
  schema: downloadRequestSchema,
  singular: "downloadrequest",
  specOptional: true,
  description: "Asks for a URL under which a file of a backup or restore can be read.",
};
