/**
 * The finalizers `kubernetes.io/pvc-protection` and `kubernetes.io/pv-protection`: a claim that a scheduled pod uses stays, and a
 * volume that is bound stays, until they no longer are.
 * Proof: test/csi/protection.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import type { StoredObject } from "../kube-object.ts";
import { finalizers, resources } from "./storage-names.ts";
import {
  addFinalizer,
  claimKey,
  claimNamesOf,
  isDeleting,
  removeFinalizer,
} from "./storage-object.ts";

export function startProtection(options: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const { api, logger } = options;
  /** Scheduled pods by claim; watches tell. */
  const users = new Map<string, Set<string>>();

  const note = (pod: StoredObject, isGone: boolean): string[] => {
    const keys = claimNamesOf(pod).map((name) => `${pod.metadata.namespace}/${name}`);
    for (const key of keys) {
      const pods = users.get(key) ?? new Set();
      if (isGone) pods.delete(pod.metadata.uid);
      else if (pod.spec.nodeName) pods.add(pod.metadata.uid);
      if (pods.size > 0) users.set(key, pods);
      else users.delete(key);
    }
    return keys;
  };

  return startController({
    name: "protection",
    api,
    logger,
    watches: {
      pods: ({ type, object }) => note(object, type === "DELETED").map((key) => `claim:${key}`),
      [resources.claims]: ({ object }) => [`claim:${claimKey(object)}`],
      [resources.volumes]: ({ object }) => [`volume:${object.metadata.name}`],
    },
    reconcile(key) {
      if (key.startsWith("volume:")) {
        const volume = api.get(resources.volumes, "", key.slice("volume:".length));
        if (!volume) return undefined;
        if (!isDeleting(volume))
          addFinalizer(api, resources.volumes, volume, finalizers.volumeProtection);
        else if (volume.status?.phase !== "Bound")
          removeFinalizer(api, resources.volumes, volume, finalizers.volumeProtection);
        return undefined;
      }
      const name = key.slice("claim:".length);
      const slash = name.indexOf("/");
      const claim = api.get(resources.claims, name.slice(0, slash), name.slice(slash + 1));
      if (!claim) return undefined;
      if (!isDeleting(claim))
        addFinalizer(api, resources.claims, claim, finalizers.claimProtection);
      else if (!users.has(name))
        removeFinalizer(api, resources.claims, claim, finalizers.claimProtection);
      return undefined;
    },
  });
}
