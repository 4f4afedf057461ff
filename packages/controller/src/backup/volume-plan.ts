/**
 * How each volume of a Backup is taken: by its files, by a snapshot, or not at all. A volume goes one way only. Pure.
 * Proof: test/backup/volume-plan.test.ts.
 * @module
 */
import type { BackupSpec, PersistentVolumeClaim, Pod } from "@dm/crds";
import { type BoundClaim, type DueVolume, dueVolumes } from "../pod-volume/index.ts";
import { keyOf } from "./plan-blocks.ts";
import type { VolumePolicy } from "./volume-policy.ts";

export type ClaimPlan =
  | { readonly do: "snapshot" }
  | { readonly do: "files" }
  | { readonly do: "skip"; readonly reason: string };

export interface VolumePlan {
  /** Of a pod, what is backed up by its files. A claim that pods share is the first one's. */
  readonly due: ReadonlyMap<Pod, readonly DueVolume[]>;
  readonly claims: ReadonlyMap<PersistentVolumeClaim, ClaimPlan>;
  /** Volumes that should be backed up by their files, and cannot be. */
  readonly skipped: readonly { readonly pod: Pod; readonly reason: string }[];
}

export function planVolumes(
  spec: BackupSpec,
  pods: readonly Pod[],
  claims: readonly BoundClaim[],
  policy?: VolumePolicy | undefined,
): VolumePlan {
  const byNamespace = new Map<string, Map<string, BoundClaim>>();
  for (const bound of claims) {
    const { name = "", namespace = "" } = bound.claim.metadata;
    const own = byNamespace.get(namespace) ?? new Map<string, BoundClaim>();
    byNamespace.set(namespace, own.set(name, bound));
  }
  const due = new Map<Pod, DueVolume[]>();
  const taken = new Set<PersistentVolumeClaim>();
  const unreachable = new Set<string>();
  const skipped: { pod: Pod; reason: string }[] = [];
  for (const pod of pods) {
    const own = byNamespace.get(pod.metadata.namespace ?? "") ?? new Map();
    const found = dueVolumes(pod, own, {
      defaultVolumesToFsBackup: spec.defaultVolumesToFsBackup ?? false,
      actionOf: (podVolume, bound) =>
        policy?.({ podVolume, volume: bound?.volume, claim: bound?.claim }),
    });
    due.set(
      pod,
      found.due.filter(({ claim }) => claim === undefined || !taken.has(claim)),
    );
    for (const { claim } of found.due) if (claim) taken.add(claim);
    for (const { reason, volume } of found.skipped) {
      skipped.push({ pod, reason });
      const claimName = pod.spec.volumes?.find(({ name }) => name === volume);
      unreachable.add(
        `${pod.metadata.namespace}/${claimName?.persistentVolumeClaim?.claimName ?? ""}`,
      );
    }
  }
  const plans = new Map<PersistentVolumeClaim, ClaimPlan>();
  for (const { claim, volume } of claims) {
    const isFiles = taken.has(claim);
    plans.set(
      claim,
      planOf(spec, policy?.({ volume, claim }), isFiles, unreachable.has(keyOf(claim))),
    );
  }
  return { due, claims: plans, skipped };
}

function planOf(
  spec: BackupSpec,
  action: ReturnType<VolumePolicy>,
  isFiles: boolean,
  isUnreachable: boolean,
): ClaimPlan {
  if (isFiles) return { do: "files" };
  if (action === "snapshot") return { do: "snapshot" };
  if (action === "fs-backup" || isUnreachable)
    return { do: "skip", reason: "no running pod mounts it, and its files were to be backed up" };
  if (action !== undefined) return { do: "skip", reason: "skipped due to resource policy" };
  if (spec.snapshotVolumes === false) return { do: "skip", reason: "no snapshots wanted" };
  return { do: "snapshot" };
}
