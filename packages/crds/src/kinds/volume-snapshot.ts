/**
 * VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass (snapshot.storage.k8s.io/v1), as far as a data mover uses them.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind } from "../custom-kind.ts";
import {
  dateTime,
  flag,
  int64,
  kindSchema,
  object,
  objectReferenceSchema,
  optional,
  text,
  textMap,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";

const group = "snapshot.storage.k8s.io";
const approvedBy = "https://github.com/kubernetes-csi/external-snapshotter/pull/814";
const contentApprovedBy = "https://github.com/kubernetes-csi/external-snapshotter/pull/955";

export const deletionPolicySchema = z.enum(["Delete", "Retain"]);
export type DeletionPolicy = z.infer<typeof deletionPolicySchema>;

export const volumeSnapshotErrorSchema = object({
  message: optional(text),
  time: optional(dateTime),
});

export const volumeSnapshotSchema = kindSchema(`${group}/v1`, "VolumeSnapshot", {
  spec: object({
    source: object({
      persistentVolumeClaimName: optional(text.describe("claim to take a snapshot of")),
      volumeSnapshotContentName: optional(text.describe("content that is there already")),
    }).describe("exactly one of both"),
    volumeSnapshotClassName: optional(text),
  }),
  status: optional(
    object({
      boundVolumeSnapshotContentName: optional(text),
      creationTime: optional(dateTime),
      error: optional(volumeSnapshotErrorSchema),
      readyToUse: optional(flag),
      restoreSize: optional(
        text.meta({
          description: "quantity: smallest volume that can be made of it",
          pattern:
            "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$",
          "x-kubernetes-int-or-string": true,
        }),
      ),
      volumeGroupSnapshotName: optional(text),
    }),
  ),
});
export interface VolumeSnapshot extends z.infer<typeof volumeSnapshotSchema> {}

export const volumeSnapshots: Resource<VolumeSnapshot> = {
  group,
  version: "v1",
  kind: "VolumeSnapshot",
  plural: "volumesnapshots",
  namespaced: true,
};

export const volumeSnapshotKind: CustomKind<VolumeSnapshot> = {
  resource: volumeSnapshots,
  schema: volumeSnapshotSchema,
  singular: "volumesnapshot",
  shortNames: ["vs"],
  statusSubresource: true,
  approvedBy,
  description: "Asks for the snapshot of a volume.",
  columns: [
    { name: "ReadyToUse", type: "boolean", jsonPath: ".status.readyToUse" },
    { name: "SourcePVC", type: "string", jsonPath: ".spec.source.persistentVolumeClaimName" },
    {
      name: "SourceSnapshotContent",
      type: "string",
      jsonPath: ".spec.source.volumeSnapshotContentName",
    },
    { name: "RestoreSize", type: "string", jsonPath: ".status.restoreSize" },
    { name: "SnapshotClass", type: "string", jsonPath: ".spec.volumeSnapshotClassName" },
    {
      name: "SnapshotContent",
      type: "string",
      jsonPath: ".status.boundVolumeSnapshotContentName",
    },
    { name: "CreationTime", type: "date", jsonPath: ".status.creationTime" },
    ageColumn,
  ],
};

export const volumeSnapshotContentSchema = kindSchema(`${group}/v1`, "VolumeSnapshotContent", {
  spec: object({
    deletionPolicy: deletionPolicySchema.describe("what happens to the snapshot in the storage"),
    driver: text,
    source: object({
      snapshotHandle: optional(text.describe("snapshot that is there already")),
      volumeHandle: optional(text.describe("volume to take a snapshot of")),
    }).describe("exactly one of both"),
    sourceVolumeMode: optional(text),
    volumeSnapshotClassName: optional(text),
    volumeSnapshotRef: objectReferenceSchema,
  }),
  status: optional(
    object({
      creationTime: optional(int64.describe("nanoseconds since 1970")),
      error: optional(volumeSnapshotErrorSchema),
      readyToUse: optional(flag),
      restoreSize: optional(int64.meta({ format: "int64", minimum: 0 })),
      snapshotHandle: optional(text),
      volumeGroupSnapshotHandle: optional(text),
    }),
  ),
});
export interface VolumeSnapshotContent extends z.infer<typeof volumeSnapshotContentSchema> {}

export const volumeSnapshotContents: Resource<VolumeSnapshotContent> = {
  group,
  version: "v1",
  kind: "VolumeSnapshotContent",
  plural: "volumesnapshotcontents",
  namespaced: false,
};

export const volumeSnapshotContentKind: CustomKind<VolumeSnapshotContent> = {
  resource: volumeSnapshotContents,
  schema: volumeSnapshotContentSchema,
  singular: "volumesnapshotcontent",
  shortNames: ["vsc", "vscs"],
  statusSubresource: true,
  approvedBy: contentApprovedBy,
  description: "A snapshot as the storage has it.",
  columns: [
    { name: "ReadyToUse", type: "boolean", jsonPath: ".status.readyToUse" },
    { name: "RestoreSize", type: "integer", jsonPath: ".status.restoreSize" },
    { name: "DeletionPolicy", type: "string", jsonPath: ".spec.deletionPolicy" },
    { name: "Driver", type: "string", jsonPath: ".spec.driver" },
    { name: "VolumeSnapshotClass", type: "string", jsonPath: ".spec.volumeSnapshotClassName" },
    { name: "VolumeSnapshot", type: "string", jsonPath: ".spec.volumeSnapshotRef.name" },
    {
      name: "VolumeSnapshotNamespace",
      type: "string",
      jsonPath: ".spec.volumeSnapshotRef.namespace",
    },
    ageColumn,
  ],
};

export const volumeSnapshotClassSchema = kindSchema(`${group}/v1`, "VolumeSnapshotClass", {
  deletionPolicy: deletionPolicySchema,
  driver: text,
  parameters: optional(textMap),
});
export interface VolumeSnapshotClass extends z.infer<typeof volumeSnapshotClassSchema> {}

export const volumeSnapshotClasses: Resource<VolumeSnapshotClass> = {
  group,
  version: "v1",
  kind: "VolumeSnapshotClass",
  plural: "volumesnapshotclasses",
  namespaced: false,
};

export const volumeSnapshotClassKind: CustomKind<VolumeSnapshotClass> = {
  resource: volumeSnapshotClasses,
  schema: volumeSnapshotClassSchema,
  singular: "volumesnapshotclass",
  shortNames: ["vsclass", "vsclasses"],
  approvedBy,
  description: "How a driver takes snapshots.",
  columns: [
    { name: "Driver", type: "string", jsonPath: ".driver" },
    { name: "DeletionPolicy", type: "string", jsonPath: ".deletionPolicy" },
    ageColumn,
  ],
};
