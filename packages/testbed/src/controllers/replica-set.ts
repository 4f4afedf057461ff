/**
 * Keeps so many pods of a template. Of those that are too many the youngest and least ready go first.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { adopterKeys, adoptOrphans, controllerOf, ownerKeys } from "./owner.ts";
import { isActive, isDeleting, isReady, podFromTemplate } from "./pod-template.ts";
import { writeStatus } from "./status-writer.ts";

const resource = "replicasets.apps";

export function startReplicaSetController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const events = createEventRecorder(api, { component: "replicaset-controller" });
  return startController({
    name: "replicaset",
    api,
    logger,
    watches: {
      [resource]: ({ object }) => [keyOf(object)],
      pods: ({ object }) => [
        ...ownerKeys(object, "ReplicaSet"),
        ...adopterKeys(api, object, resource),
      ],
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const set = api.get(resource, namespace, name);
      if (set === undefined || isDeleting(set)) return undefined;
      adoptOrphans(api, set, "pods", isActive);
      const wanted: number = set.spec?.replicas ?? 1;
      const pods = api
        .list("pods", namespace)
        .filter((pod) => controllerOf(pod)?.uid === set.metadata.uid)
        .filter(isActive);
      for (let count = pods.length; count < wanted; count++) {
        const pod = api.create(
          "pods",
          podFromTemplate(set, set.spec.template, { generateName: `${name}-` }),
        );
        events.record(set, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
        pods.push(pod);
      }
      for (const pod of [...pods].sort(leastWanted).slice(0, Math.max(0, pods.length - wanted))) {
        api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
        events.record(set, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
        pods.splice(pods.indexOf(pod), 1);
      }
      const ready = pods.filter(isReady).length;
      writeStatus(api, resource, set, {
        ...set.status,
        replicas: pods.length,
        fullyLabeledReplicas: pods.length,
        readyReplicas: ready,
        availableReplicas: ready,
        observedGeneration: set.metadata.generation,
      });
      return undefined;
    },
  });
}

function leastWanted(a: StoredObject, b: StoredObject): number {
  const rank = (pod: StoredObject): number =>
    (pod.spec?.nodeName === undefined ? 0 : 2) + (isReady(pod) ? 1 : 0);
  return (
    rank(a) - rank(b) ||
    b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp) ||
    a.metadata.name.localeCompare(b.metadata.name)
  );
}
