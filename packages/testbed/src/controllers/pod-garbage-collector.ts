/**
 * Pods that no kubelet will ever end: of nodes that are no more, and those that were deleted before they had a node.
 * Proof: test/controllers/node-lifecycle.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { removePod } from "./node-lifecycle.ts";

export function startPodGarbageCollector({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const nodeOf = ({ spec }: StoredObject): string | undefined => spec?.nodeName;
  return startController({
    name: "pod-garbage-collector",
    api,
    logger,
    watches: {
      pods: ({ type, object }) => (type === "DELETED" ? [] : [keyOf(object)]),
      nodes: ({ type, object }) =>
        type === "DELETED"
          ? api
              .list("pods")
              .filter((pod) => nodeOf(pod) === object.metadata.name)
              .map(keyOf)
          : [],
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const pod = api.get("pods", namespace, name);
      if (pod === undefined) return undefined;
      const node = nodeOf(pod);
      if (node === undefined) {
        if (pod.metadata.deletionTimestamp === undefined) return undefined;
        if ((pod.metadata.deletionGracePeriodSeconds ?? 0) === 0) return undefined;
      } else if (api.get("nodes", "", node) !== undefined) return undefined;
      removePod(api, pod, "DeletionByPodGC", "PodGC: node no longer exists");
      return undefined;
    },
  });
}
