/**
 * VolumeSnapshotBackup and VolumeSnapshotRestore (datamover.oadp.openshift.io/v1alpha1), the VolSync data mover of OADP 1.1 and 1.2.
 * They are only recognised, so that its backups can be refused by name; nothing here makes them.
 * Proof: test/volsync.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind } from "../custom-kind.ts";
import {
  anyFields,
  dateTime,
  flag,
  kindSchema,
  object,
  objectReferenceSchema,
  optional,
  text,
} from "../fields.ts";
import type { KubeObject, Resource } from "../kube-object.ts";

const group = "datamover.oadp.openshift.io";

const secretReference = object({ name: optional(text) });
const sourcePVCData = object({
  name: optional(text),
  size: optional(text),
  storageClassName: optional(text),
});
const replication = object({
  completionTimestamp: optional(dateTime),
  name: optional(text),
  startTimestamp: optional(dateTime),
});
const commonStatus = {
  batchingStatus: optional(text),
  completionTimestamp: optional(dateTime),
  conditions: optional(z.array(anyFields)),
  phase: optional(text),
  startTimestamp: optional(dateTime),
};

export const volumeSnapshotBackupSchema = kindSchema(`${group}/v1alpha1`, "VolumeSnapshotBackup", {
  spec: optional(
    object({
      protectedNamespace: optional(text),
      resticSecretRef: optional(secretReference),
      volumeSnapshotContent: optional(objectReferenceSchema),
    }),
  ),
  status: optional(
    object({
      ...commonStatus,
      completed: optional(flag),
      replicationSourceData: optional(replication),
      resticrepository: optional(text),
      sourcePVCData: optional(sourcePVCData),
      volumeSnapshotClassName: optional(text),
    }),
  ),
});
export interface VolumeSnapshotBackup extends z.infer<typeof volumeSnapshotBackupSchema> {}

export const volumeSnapshotBackups: Resource<VolumeSnapshotBackup> = {
  group,
  version: "v1alpha1",
  kind: "VolumeSnapshotBackup",
  plural: "volumesnapshotbackups",
  namespaced: true,
};

export const volumeSnapshotBackupKind: CustomKind<VolumeSnapshotBackup> = {
  resource: volumeSnapshotBackups,
  schema: volumeSnapshotBackupSchema,
  singular: "volumesnapshotbackup",
  shortNames: ["vsb"],
  statusSubresource: true,
  description: "One volume in a backup of the VolSync data mover of OADP 1.1 and 1.2.",
  columns: [
    { name: "PVC Name", type: "string", jsonPath: ".status.sourcePVCData.name" },
    {
      name: "VolumeSnapshotContent",
      type: "string",
      jsonPath: ".spec.volumeSnapshotContent.name",
    },
    { name: "Phase", type: "string", jsonPath: ".status.phase" },
    { name: "BatchingStatus", type: "string", jsonPath: ".status.batchingStatus" },
    ageColumn,
  ],
};

export const volumeSnapshotRestoreSchema = kindSchema(
  `${group}/v1alpha1`,
  "VolumeSnapshotRestore",
  {
    spec: optional(
      object({
        protectedNamespace: optional(text),
        resticSecretRef: optional(secretReference),
        volumeSnapshotMoverBackupRef: optional(
          object({
            resticrepository: optional(text),
            sourcePVCData: optional(sourcePVCData),
            volumeSnapshotClassName: optional(text),
          }),
        ),
      }),
    ),
    status: optional(
      object({
        ...commonStatus,
        replicationDestinationData: optional(replication),
        snapshotHandle: optional(text),
        volumeSnapshotContentName: optional(text),
      }),
    ),
  },
);
export interface VolumeSnapshotRestore extends z.infer<typeof volumeSnapshotRestoreSchema> {}

export const volumeSnapshotRestores: Resource<VolumeSnapshotRestore> = {
  group,
  version: "v1alpha1",
  kind: "VolumeSnapshotRestore",
  plural: "volumesnapshotrestores",
  namespaced: true,
};

export const volumeSnapshotRestoreKind: CustomKind<VolumeSnapshotRestore> = {
  resource: volumeSnapshotRestores,
  schema: volumeSnapshotRestoreSchema,
  singular: "volumesnapshotrestore",
  shortNames: ["vsr"],
  statusSubresource: true,
  description: "One volume in a restore of the VolSync data mover of OADP 1.1 and 1.2.",
  columns: [
    {
      name: "PVC Name",
      type: "string",
      jsonPath: ".spec.volumeSnapshotMoverBackupRef.sourcePVCData.name",
    },
    {
      name: "VolumeSnapshotContent",
      type: "string",
      jsonPath: ".status.volumeSnapshotContentName",
    },
    { name: "Phase", type: "string", jsonPath: ".status.phase" },
    { name: "BatchingStatus", type: "string", jsonPath: ".status.batchingStatus" },
    ageColumn,
  ],
};

/** Marks left by VolSync's objects for the mover. */
const replicationLabels = [`${group}/vsb`, `${group}/vsr`];

/** Whether an object belongs to the VolSync data mover: one of its own kinds, or one that VolSync carried out for it. */
export function isVolSyncDataMoverObject(object: KubeObject): boolean {
  if (object.apiVersion?.startsWith(`${group}/`)) {
    return object.kind === "VolumeSnapshotBackup" || object.kind === "VolumeSnapshotRestore";
  }
  if (!object.apiVersion?.startsWith("volsync.backube/")) return false;
  return replicationLabels.some((label) => object.metadata.labels?.[label] !== undefined);
}

/** Entry of `<backup>-resource-list.json` that tells a backup of the VolSync data mover; cheap to look for. */
export const volSyncResourceListEntry = `${group}/v1alpha1/VolumeSnapshotBackup`;

/** Directory in the tarball of such a backup. Decisive. */
export const volSyncTarballDirectory = `resources/volumesnapshotbackups.${group}/`;

/**
 * Why a restore of such a backup is refused, as one line of `status.validationErrors`.
 * @example volSyncRefusal("nightly", found) // "backup nightly was made by the OADP 1.2 VolSync data mover …"
 */
export function volSyncRefusal(backupName: string, found: VolumeSnapshotBackup): string {
  const { namespace = "", name = "" } = found.metadata;
  const repository = found.status?.resticrepository ?? "unknown";
  return (
    `backup ${backupName} was made by the OADP 1.2 VolSync data mover (found VolumeSnapshotBackup ` +
    `${namespace}/${name}, restic repository ${repository}); this data mover cannot restore its volumes. ` +
    "Restore it with OADP 1.2, or take a new backup."
  );
}
