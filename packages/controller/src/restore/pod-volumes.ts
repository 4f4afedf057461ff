/**
 * Volumes of pods that were backed up by their files: what a pod to restore has to wait for. Pure.
 * Proof: test/restore/pod-volume-restores.test.ts.
 * @module
 */
import type { Pod, PodVolumeBackup } from "@dm/crds";
import {
  type BackedUpVolumes,
  backedUpVolumes,
  type RestoreWaitSettings,
} from "../pod-volume/index.ts";

export interface PodVolumes {
  /** Of the whole backup; none when the Restore leaves out claims or volumes. */
  readonly backedUp: readonly PodVolumeBackup[];
  /** The init container that waits; undefined when this server has none. */
  readonly wait: RestoreWaitSettings | undefined;
}

/** What there is for a pod; everything is refused without something that waits for it. */
export function volumesOfPod(
  { backedUp, wait }: PodVolumes,
  pod: Pod,
  sourceNamespace: string,
): BackedUpVolumes {
  const found = backedUpVolumes(pod, backedUp, sourceNamespace);
  if (wait) return found;
  const reason = "no image is configured for the init container that waits for its files";
  return {
    restorable: [],
    refused: [
      ...found.refused,
      ...found.restorable.map(({ spec: { volume } }) => ({ volume, reason })),
    ],
  };
}
