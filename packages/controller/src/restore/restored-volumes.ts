/**
 * The end of restored volumes: each gets the reclaim policy and the labels that the one in the backup had.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type Backup,
  labels,
  labelValue,
  type PersistentVolume,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  persistentVolumes,
  type Restore,
  type StorageClass,
  storageClasses,
} from "@dm/crds";
import { nowOf, settingsOf } from "../backup/backup-deps.ts";
import { listAll } from "../backup/list-all.ts";
import type { VolumeInfo } from "../bucket/backup-files.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { sameJson } from "../runtime/merge-patch.ts";
import { keyOf, keyText } from "../runtime/object-key.ts";
import { type AnyObject, targetNamespace } from "./actions/action.ts";
import { isMadeBy } from "./existing.ts";
import type { FollowedRestore } from "./follow-restore.ts";
import type { PlanMessage } from "./plan-restore.ts";
import type { RestoreDeps } from "./restore-deps.ts";
import { readVolumeInfos } from "./restore-files.ts";

export interface AdjustedVolumes {
  readonly isWaiting: boolean;
  readonly errors: readonly PlanMessage[];
}

/** All volumes of claims that the Restore has made, and whose data is there. */
export async function adjustVolumes(
  deps: RestoreDeps,
  restore: Restore,
  backup: Backup,
  { ofDownloads, ofPodVolumes }: FollowedRestore,
  options: KubeCallOptions,
): Promise<AdjustedVolumes> {
  const { client } = deps;
  // Whoever uses an empty claim decides when it is bound.
  if (restore.spec?.restorePVs === false) return { isWaiting: false, errors: [] };
  const infos = await readVolumeInfos(deps, backup, options);
  const wanted = infos.filter(
    ({ backupMethod, pvInfo }) =>
      pvInfo && (backupMethod === "CSISnapshot" || backupMethod === "PodVolumeBackup"),
  );
  if (wanted.length === 0) return { isWaiting: false, errors: [] };
  const filled = new Set(
    ofDownloads.completed.map(({ spec: { targetVolume } }) =>
      keyText({ namespace: targetVolume.namespace, name: targetVolume.pvc }),
    ),
  );
  const isFilled = (claim: PersistentVolumeClaim): boolean =>
    claim.spec.selector?.matchLabels?.[labels.dynamicPVRestore] === undefined ||
    filled.has(keyText(keyOf(claim)));
  const ends = [...ofDownloads.completed, ...ofPodVolumes.completed].map(({ status }) =>
    Date.parse(status?.completionTimestamp ?? ""),
  );
  const sinceMs = Math.max(
    Date.parse(restore.status?.startTimestamp ?? ""),
    ...ends.filter(Boolean),
  );
  const mayWait = nowOf(deps).getTime() - sinceMs < settingsOf(deps).resourceTimeoutMs;
  const labelSelector = `${labels.restoreName}=${labelValue(restore.metadata.name ?? "")}`;
  const claims = await listAll(client, persistentVolumeClaims, { ...options, labelSelector });
  const errors: PlanMessage[] = [];
  let isWaiting = false;
  for (const claim of claims) {
    const { name = "", namespace = "" } = claim.metadata;
    const info = wanted.find(
      ({ pvcName, pvcNamespace }) =>
        pvcName === name && targetNamespace(restore, pvcNamespace ?? "") === namespace,
    );
    const isOurs = isMadeBy(restore, claim as unknown as AnyObject);
    if (!info?.pvInfo || !isOurs || !isFilled(claim)) continue;
    const end = await adjustVolume(client, claim, info.pvInfo, options);
    if (end === "done") continue;
    if (end === "not bound" && mayWait) isWaiting = true;
    else {
      const reason = end === "not bound" ? "is not bound to its restored volume" : end.error;
      errors.push({ namespace, message: `persistentvolumeclaims/${name}: ${reason}` });
    }
  }
  return { isWaiting, errors };
}

type VolumeEnd = "done" | "not bound" | { readonly error: string };

async function adjustVolume(
  client: KubeClient,
  claim: PersistentVolumeClaim,
  wanted: NonNullable<VolumeInfo["pvInfo"]>,
  options: KubeCallOptions,
): Promise<VolumeEnd> {
  const name = claim.spec.volumeName;
  if (claim.status?.phase !== "Bound" || !name)
    return (await waitsForConsumer(client, claim, options)) ? "done" : "not bound";
  const volume = await client.get(persistentVolumes, { name }, options);
  if (volume === undefined) return "not bound";
  const patch = patchFor(volume, wanted);
  if (patch === undefined) return "done";
  try {
    await client.patch(persistentVolumes, { name }, patch, options);
    return "done";
  } catch (error) {
    if (!isDmError(error) || !["DM_KUBE_INVALID", "DM_KUBE_FORBIDDEN"].includes(error.code))
      throw error;
    return { error: error.message };
  }
}

/** Such a claim is bound whenever a pod comes for it, which may be never. */
async function waitsForConsumer(
  client: KubeClient,
  { spec }: PersistentVolumeClaim,
  options: KubeCallOptions,
): Promise<boolean> {
  const name = spec.storageClassName ?? "";
  const found: StorageClass | undefined = name
    ? await client.get(storageClasses, { name }, options)
    : undefined;
  return found?.volumeBindingMode === "WaitForFirstConsumer";
}

const policies = ["Retain", "Delete", "Recycle"];

function patchFor(
  { metadata, spec }: PersistentVolume,
  { labels, reclaimPolicy }: NonNullable<VolumeInfo["pvInfo"]>,
): object | undefined {
  const wantedLabels = { ...metadata.labels, ...labels };
  const isOtherPolicy =
    policies.includes(reclaimPolicy) && spec.persistentVolumeReclaimPolicy !== reclaimPolicy;
  const isOtherLabels = !sameJson(wantedLabels, metadata.labels ?? {});
  if (!isOtherPolicy && !isOtherLabels) return undefined;
  return {
    ...(isOtherLabels && { metadata: { labels } }),
    ...(isOtherPolicy && { spec: { persistentVolumeReclaimPolicy: reclaimPolicy } }),
  };
}
