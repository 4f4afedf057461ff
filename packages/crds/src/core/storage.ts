/**
 * Claims, volumes and their classes, with the fields that a data mover reads or writes.
 * Proof: test/core-kinds.test.ts.
 * @module
 */
import type { LabelSelector, ObjectReference } from "../fields.ts";
import type { KubeObject, Resource } from "../kube-object.ts";
import type { Condition, NodeSelector, ResourceRequirements } from "./pod.ts";

export type VolumeMode = "Filesystem" | "Block";

export interface TypedLocalReference {
  apiGroup?: string | null;
  kind: string;
  name: string;
  namespace?: string;
}

export interface PersistentVolumeClaimSpec {
  accessModes?: string[];
  /** Absent: the default class. Empty: no class, so no dynamic volume. */
  storageClassName?: string;
  /** `Filesystem` when absent. */
  volumeMode?: VolumeMode;
  /** The volume that the claim is, or shall be, bound to. */
  volumeName?: string;
  resources?: ResourceRequirements;
  selector?: LabelSelector;
  dataSource?: TypedLocalReference;
  dataSourceRef?: TypedLocalReference;
}

export interface PersistentVolumeClaim extends KubeObject {
  spec: PersistentVolumeClaimSpec;
  status?: {
    phase?: "Pending" | "Bound" | "Lost";
    accessModes?: string[];
    capacity?: Record<string, string>;
    conditions?: Condition[];
  };
}

export const persistentVolumeClaims: Resource<PersistentVolumeClaim> = {
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  namespaced: true,
};

export interface PersistentVolumeSpec {
  capacity?: Record<string, string>;
  accessModes?: string[];
  storageClassName?: string;
  volumeMode?: VolumeMode;
  persistentVolumeReclaimPolicy?: "Retain" | "Delete" | "Recycle";
  claimRef?: ObjectReference;
  mountOptions?: string[];
  csi?: {
    driver: string;
    volumeHandle: string;
    fsType?: string;
    readOnly?: boolean;
    volumeAttributes?: Record<string, string>;
  };
  hostPath?: { path: string; type?: string };
  local?: { path: string; fsType?: string };
  nodeAffinity?: { required?: NodeSelector };
}

export interface PersistentVolume extends KubeObject {
  spec: PersistentVolumeSpec;
  status?: {
    phase?: "Pending" | "Available" | "Bound" | "Released" | "Failed";
    reason?: string;
    message?: string;
  };
}

export const persistentVolumes: Resource<PersistentVolume> = {
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  namespaced: false,
};

export interface StorageClass extends KubeObject {
  provisioner: string;
  parameters?: Record<string, string>;
  reclaimPolicy?: "Delete" | "Retain";
  volumeBindingMode?: "Immediate" | "WaitForFirstConsumer";
  allowVolumeExpansion?: boolean;
  mountOptions?: string[];
}

export const storageClasses: Resource<StorageClass> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "StorageClass",
  plural: "storageclasses",
  namespaced: false,
};

export interface VolumeAttachment extends KubeObject {
  spec: {
    attacher: string;
    nodeName: string;
    source: { persistentVolumeName?: string };
  };
  status?: { attached: boolean };
}

export const volumeAttachments: Resource<VolumeAttachment> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttachment",
  plural: "volumeattachments",
  namespaced: false,
};

export interface CSIDriver extends KubeObject {
  spec: {
    attachRequired?: boolean;
    podInfoOnMount?: boolean;
    fsGroupPolicy?: string;
    volumeLifecycleModes?: string[];
  };
}

export const csiDrivers: Resource<CSIDriver> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  plural: "csidrivers",
  namespaced: false,
};
