/**
 * The parts of the node agent's configuration that concern hosting pods and their claims, under the names that they have in the
 * configuration. Whoever reads the ConfigMap has left out what is invalid.
 * Proof: test/expose/hosting-pod.test.ts, test/expose/claims.test.ts.
 * @module
 */

import type { LabelSelector } from "@dm/crds";

export type { LabelSelector };

/** Where hosting pods may run: those of one storage class, or of all when it names none. */
export interface LoadAffinity {
  readonly nodeSelector: LabelSelector;
  readonly storageClass?: string | undefined;
}

/** How the claim that is made of a snapshot differs from the source, by the source's storage class. */
export interface BackupClaimSettings {
  readonly storageClass?: string | undefined;
  /** `ReadOnlyMany` and a read-only mount: drivers with shallow snapshots then copy nothing. */
  readonly readOnly?: boolean | undefined;
  /** No SELinux relabelling of the mounted volume; takes `readOnly`. */
  readonly spcNoRelabeling?: boolean | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** Quantities as Kubernetes spells them. */
export interface PodResources {
  readonly cpuRequest?: string | undefined;
  readonly cpuLimit?: string | undefined;
  readonly memoryRequest?: string | undefined;
  readonly memoryLimit?: string | undefined;
  readonly ephemeralStorageRequest?: string | undefined;
  readonly ephemeralStorageLimit?: string | undefined;
}

/** A claim for the mover's cache; without it the cache lies in the container. */
export interface CacheClaimSettings {
  readonly storageClass: string;
  /** Snapshots smaller than this get none. */
  readonly residentThresholdInMB?: number | undefined;
}

export interface ExposerSettings {
  readonly loadAffinity?: readonly LoadAffinity[] | undefined;
  readonly backupPVC?: Readonly<Record<string, BackupClaimSettings>> | undefined;
  readonly restorePVC?: { readonly ignoreDelayBinding?: boolean | undefined } | undefined;
  readonly podResources?: PodResources | undefined;
  readonly podLabels?: Readonly<Record<string, string>> | undefined;
  readonly podAnnotations?: Readonly<Record<string, string>> | undefined;
  readonly priorityClassName?: string | undefined;
  readonly cachePVC?: CacheClaimSettings | undefined;
  /** Privileged containers for pods' volumes; by default the SELinux type `spc_t` and few capabilities have to do. */
  readonly privilegedFsBackup?: boolean | undefined;
}
