/**
 * The end of a restored volume: it gets the reclaim policy and the labels that the one in the backup had.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type DataDownload,
  type PersistentVolume,
  persistentVolumeClaims,
  persistentVolumes,
} from "@dm/crds";
import type { VolumeInfo } from "../bucket/backup-files.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { sameJson } from "../runtime/merge-patch.ts";

export type VolumeEnd = "done" | "not bound" | { readonly error: string };

export async function adjustVolume(
  client: KubeClient,
  { spec }: DataDownload,
  info: VolumeInfo | undefined,
  options: KubeCallOptions,
): Promise<VolumeEnd> {
  if (!info?.pvInfo) return "done";
  const { namespace, pvc } = spec.targetVolume;
  const claim = await client.get(persistentVolumeClaims, { namespace, name: pvc }, options);
  // Gone by now: somebody else's decision.
  if (claim === undefined) return "done";
  const name = claim.spec.volumeName;
  if (claim.status?.phase !== "Bound" || !name) return "not bound";
  const volume = await client.get(persistentVolumes, { name }, options);
  if (volume === undefined) return "not bound";
  const patch = patchFor(volume, info.pvInfo);
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

const policies = ["Retain", "Delete", "Recycle"];

function patchFor(
  { metadata, spec }: PersistentVolume,
  { labels = {}, reclaimPolicy }: NonNullable<VolumeInfo["pvInfo"]>,
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
