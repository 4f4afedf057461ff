/**
 * The pod that has mounted the volume of a PodVolumeBackup or PodVolumeRestore, as far as the data path depends on it. Pure.
 * Proof: test/pod-volume/client-pod.test.ts.
 * @module
 */
import type { Pod } from "@dm/crds";
import { restoreWaitContainer } from "./restore-wait.ts";

/**
 * - `starting`: its volumes are not mounted, or other init containers run.
 * - `waiting`: its init container waits for the files of a restore.
 * - `running`: its containers run; there is nothing more to wait for.
 * - `over`: it has ended, or is gone, or another one has its name. Its volumes may be unmounted.
 */
export interface ClientPod {
  readonly state: "starting" | "waiting" | "running" | "over";
  readonly node?: string | undefined;
}

/** @param uid of the pod that is meant; empty: any of that name */
export function clientPodOf(pod: Pod | undefined, uid: string): ClientPod {
  if (pod === undefined || (uid !== "" && pod.metadata.uid !== uid)) return { state: "over" };
  return { state: stateOf(pod), node: pod.spec.nodeName };
}

function stateOf({ metadata, spec, status }: Pod): ClientPod["state"] {
  const { phase, containerStatuses = [], initContainerStatuses = [] } = status ?? {};
  if (phase === "Succeeded" || phase === "Failed") return "over";
  const hasEnded = ({ state }: { state?: { terminated?: unknown } }): boolean =>
    state?.terminated !== undefined;
  if (
    metadata.deletionTimestamp &&
    containerStatuses.length > 0 &&
    containerStatuses.every(hasEnded)
  )
    return "over";
  if (phase === "Running") return "running";
  const isWait = ({ name }: { name: string }): boolean => name === restoreWaitContainer;
  if (!spec.initContainers?.some(isWait)) return "starting";
  const state = initContainerStatuses.find(isWait)?.state;
  if (state?.running) return "waiting";
  return state?.terminated?.exitCode === 0 ? "running" : "starting";
}
