/**
 * The claims that hosting pods hold their volume by: one made of the volume snapshot, one beside the target of a restore, and one
 * for the mover's cache. Pure functions of what was found.
 * Proof: test/expose/claims.test.ts.
 * @module
 */
import {
  type OwnerReference,
  type PersistentVolumeClaim,
  type VolumeMode,
  annotations as wellKnown,
} from "@dm/crds";
import type { BackupClaimSettings, CacheClaimSettings } from "./exposer-settings.ts";

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

export function volumeModeOf(claim: PersistentVolumeClaim): VolumeMode {
  return claim.spec.volumeMode ?? "Filesystem";
}

/** The claim whose volume is filled from the volume snapshot of the same name. */
export function backupClaim(input: {
  readonly namespace: string;
  readonly owner: OwnerReference;
  readonly sourceStorageClass: string;
  readonly volumeMode: VolumeMode;
  /** A quantity. */
  readonly size: string;
  readonly settings: BackupClaimSettings | undefined;
}): PersistentVolumeClaim {
  const { owner, settings } = input;
  const annotations = settings?.annotations ?? {};
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: owner.name,
      namespace: input.namespace,
      ...(Object.keys(annotations).length > 0 && { annotations: { ...annotations } }),
      ownerReferences: [owner],
    },
    spec: {
      accessModes: [settings?.readOnly ? "ReadOnlyMany" : "ReadWriteOnce"],
      storageClassName: settings?.storageClass ?? input.sourceStorageClass,
      volumeMode: input.volumeMode,
      dataSource: {
        apiGroup: "snapshot.storage.k8s.io",
        kind: "VolumeSnapshot",
        name: owner.name,
      },
      resources: { requests: { storage: input.size } },
    },
  };
}

/**
 * A claim like the target, which it is filled in place of: the target has a selector that no volume matches until the end. With a
 * node chosen for the target, only that choice is taken over of its labels and annotations.
 */
export function restoreClaim(input: {
  readonly namespace: string;
  readonly owner: OwnerReference;
  readonly target: PersistentVolumeClaim;
  readonly selectedNode: string | undefined;
}): PersistentVolumeClaim {
  const { owner, target, selectedNode } = input;
  const { accessModes, storageClassName, volumeMode, resources } = target.spec;
  const decoration =
    selectedNode === undefined
      ? { labels: { ...target.metadata.labels }, annotations: ownAnnotations(target) }
      : { annotations: { [wellKnown.selectedNode]: selectedNode } };
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: owner.name,
      namespace: input.namespace,
      ...decoration,
      ownerReferences: [owner],
    },
    spec: {
      ...(accessModes && { accessModes }),
      ...(storageClassName !== undefined && { storageClassName }),
      ...(volumeMode && { volumeMode }),
      ...(resources && { resources }),
    },
  };
}

export function cacheClaimName(owner: OwnerReference): string {
  return `${owner.name}-cache`;
}

/** Undefined when the snapshot is known to be so small that a cache of its own is not worth a volume. */
export function cacheClaim(input: {
  readonly namespace: string;
  readonly owner: OwnerReference;
  readonly settings: CacheClaimSettings;
  readonly limitMB: number;
  /** Bytes, when known. */
  readonly snapshotSize: number | undefined;
  readonly selectedNode: string | undefined;
}): PersistentVolumeClaim | undefined {
  const { owner, settings, snapshotSize, selectedNode } = input;
  const threshold = (settings.residentThresholdInMB ?? 0) * 2 ** 20;
  if (snapshotSize !== undefined && snapshotSize > 0 && snapshotSize < threshold) return undefined;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: cacheClaimName(owner),
      namespace: input.namespace,
      ...(selectedNode && { annotations: { [wellKnown.selectedNode]: selectedNode } }),
      ownerReferences: [owner],
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: settings.storageClass,
      volumeMode: "Filesystem",
      // A fifth more than the cache's limit, which is a soft one.
      resources: { requests: { storage: `${Math.ceil((input.limitMB * 1.2) / 1024)}Gi` } },
    },
  };
}

/** Without what belongs to the target's own life: its binding, and what kubectl notes for itself. */
function ownAnnotations(target: PersistentVolumeClaim): Record<string, string> {
  const foreign: string[] = [wellKnown.bindCompleted, wellKnown.boundByController, lastApplied];
  return Object.fromEntries(
    Object.entries(target.metadata.annotations ?? {}).filter(([key]) => !foreign.includes(key)),
  );
}
