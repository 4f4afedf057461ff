/**
 * From which nodes a volume of a class that waits for its first consumer can be reached: from those of the source volume, since a
 * snapshot stays where its volume is.
 * Proof: test/expose/csi-snapshot-exposer.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import {
  type NodeSelectorTerm,
  type PersistentVolumeClaim,
  persistentVolumes,
  storageClasses,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Exposure } from "./exposure.ts";

export async function waitsForConsumer(
  exposure: Exposure,
  storageClass: string | undefined,
  options: KubeCallOptions,
): Promise<boolean> {
  if (storageClass === undefined || storageClass === "") return false;
  const { client } = exposure.context;
  const found = await client.get(storageClasses, { name: storageClass }, options);
  return found?.volumeBindingMode === "WaitForFirstConsumer";
}

/** @throws {NotFoundError} `DM_EXPOSE_SOURCE_VOLUME_NOT_FOUND` */
export async function topologyOf(
  exposure: Exposure,
  storageClass: string,
  source: PersistentVolumeClaim | undefined,
  options: KubeCallOptions,
): Promise<readonly NodeSelectorTerm[]> {
  if (source === undefined || !(await waitsForConsumer(exposure, storageClass, options))) return [];
  const name = source.spec.volumeName ?? "";
  const volume = await exposure.context.client.get(persistentVolumes, { name }, options);
  if (volume === undefined)
    throw new NotFoundError(
      "DM_EXPOSE_SOURCE_VOLUME_NOT_FOUND",
      `error getting volume topology for PV ${name}: it is not there`,
      { volume: name },
    );
  return volume.spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
}
