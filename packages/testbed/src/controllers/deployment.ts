/**
 * Keeps one ReplicaSet for each template a Deployment has had: the newest at full size, older ones only as long as the newest is
 * not available (`RollingUpdate`), or gone before it begins (`Recreate`).
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { mergeConditions } from "../kubelet/pod-status.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import {
  adopterKeys,
  adoptOrphans,
  controllerOf,
  controllerReference,
  ownerKeys,
} from "./owner.ts";
import { isDeleting, isOver, templateHash } from "./pod-template.ts";
import { writeStatus } from "./status-writer.ts";
import { nowMs } from "./timestamp.ts";

const resource = "deployments.apps";
const replicaSets = "replicasets.apps";
const revisionAnnotation = "deployment.kubernetes.io/revision";
const hashLabel = "pod-template-hash";

export function startDeploymentController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const events = createEventRecorder(api, { component: "deployment-controller" });

  const scale = (deployment: StoredObject, set: StoredObject, replicas: number): void => {
    const from: number = set.spec.replicas ?? 1;
    if (from === replicas) return;
    const { namespace = "", name } = set.metadata;
    api.modify(replicaSets, namespace, name, (one) => {
      one.spec.replicas = replicas;
    });
    const way = replicas > from ? "up" : "down";
    events.record(
      deployment,
      "Normal",
      "ScalingReplicaSet",
      `Scaled ${way} replica set ${name} from ${from} to ${replicas}`,
    );
  };

  const setRevision = (deployment: StoredObject, set: StoredObject, revision: number): void => {
    const annotate = (of: string, { metadata }: StoredObject): void => {
      api.modify(of, metadata.namespace ?? "", metadata.name, (one) => {
        one.metadata.annotations = {
          ...one.metadata.annotations,
          [revisionAnnotation]: String(revision),
        };
      });
    };
    annotate(replicaSets, set);
    annotate(resource, deployment);
  };

  /** Also such as are about to go: they still hold what the new ones want. */
  const havePods = (sets: readonly StoredObject[]): boolean => {
    const uids = new Set(sets.map(({ metadata }) => metadata.uid));
    if (uids.size === 0) return false;
    return api
      .list("pods", sets[0]?.metadata.namespace)
      .some((pod) => uids.has(controllerOf(pod)?.uid ?? "") && !isOver(pod));
  };

  return startController({
    name: "deployment",
    api,
    logger,
    watches: {
      [resource]: ({ object }) => [keyOf(object)],
      [replicaSets]: ({ object }) => [
        ...ownerKeys(object, "Deployment"),
        ...adopterKeys(api, object, resource),
      ],
      // With Recreate the last of the old pods is waited for.
      pods: ({ type, object }) => {
        if (type !== "DELETED") return [];
        return ownerKeys(object, "ReplicaSet").flatMap((key) => {
          const { namespace, name } = parseKey(key);
          const set = api.get(replicaSets, namespace, name);
          return set === undefined ? [] : ownerKeys(set, "Deployment");
        });
      },
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const deployment = api.get(resource, namespace, name);
      if (deployment === undefined || isDeleting(deployment)) return undefined;
      const { spec, metadata } = deployment;
      adoptOrphans(api, deployment, replicaSets);
      const wanted: number = spec.replicas ?? 1;
      const hash = templateHash(spec.template);
      const sets = api
        .list(replicaSets, namespace)
        .filter((set) => controllerOf(set)?.uid === metadata.uid && !isDeleting(set));
      const older = sets.filter((set) => set.metadata.labels?.[hashLabel] !== hash);
      let newest = sets.find((set) => set.metadata.labels?.[hashLabel] === hash);

      const recreate = spec.strategy?.type === "Recreate";
      const waits = recreate && havePods(older);
      if (newest === undefined) {
        const labels = { ...spec.template.metadata?.labels, [hashLabel]: hash };
        const revision = 1 + Math.max(0, ...older.map(revisionOf));
        newest = api.create(replicaSets, {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          metadata: {
            name: `${name}-${hash}`,
            namespace,
            labels,
            annotations: { [revisionAnnotation]: String(revision) },
            ownerReferences: [controllerReference(deployment)],
          },
          spec: {
            replicas: waits ? 0 : wanted,
            selector: {
              ...spec.selector,
              matchLabels: { ...spec.selector?.matchLabels, [hashLabel]: hash },
            },
            template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
          },
        });
        events.record(
          deployment,
          "Normal",
          "ScalingReplicaSet",
          `Scaled up replica set ${newest.metadata.name} from 0 to ${waits ? 0 : wanted}`,
        );
        setRevision(deployment, newest, revision);
      } else {
        scale(deployment, newest, waits ? 0 : wanted);
        const latest = Math.max(0, ...older.map(revisionOf));
        // An older template is wanted again: it is the newest revision now.
        if (revisionOf(newest) < latest) setRevision(deployment, newest, latest + 1);
      }

      const available: number = newest.status?.availableReplicas ?? 0;
      for (const set of older)
        scale(deployment, set, recreate ? 0 : Math.max(0, wanted - available));
      const empty = older
        .filter((set) => set.spec.replicas === 0 && (set.status?.replicas ?? 0) === 0)
        .sort((a, b) => revisionOf(b) - revisionOf(a));
      for (const set of empty.slice(spec.revisionHistoryLimit ?? 10)) {
        api.delete(replicaSets, namespace, set.metadata.name, { uid: set.metadata.uid });
      }
      writeStatus(api, resource, deployment, statusOf(api, deployment, newest, older));
      return undefined;
    },
  });
}

function statusOf(
  api: ClusterApi,
  { spec, status, metadata }: StoredObject,
  newest: StoredObject,
  older: readonly StoredObject[],
): object {
  const wanted: number = spec.replicas ?? 1;
  const sum = (field: string): number =>
    [newest, ...older].reduce((total, set) => total + (set.status?.[field] ?? 0), 0);
  const available = sum("availableReplicas");
  const updated: number = newest.status?.replicas ?? 0;
  const unavailable = Math.max(0, wanted - available);
  const complete =
    updated === wanted && newest.status?.availableReplicas === wanted && sum("replicas") === wanted;
  return {
    ...status,
    observedGeneration: metadata.generation,
    replicas: sum("replicas"),
    updatedReplicas: updated,
    readyReplicas: sum("readyReplicas"),
    availableReplicas: available,
    unavailableReplicas: unavailable === 0 ? undefined : unavailable,
    conditions: mergeConditions(status?.conditions ?? [], nowMs(api.clock), [
      available >= wanted
        ? {
            type: "Available",
            status: "True",
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.",
          }
        : {
            type: "Available",
            status: "False",
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.",
          },
      {
        type: "Progressing",
        status: "True",
        reason: complete ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
        message: `ReplicaSet "${newest.metadata.name}" ${complete ? "has successfully progressed." : "is progressing."}`,
      },
    ]),
  };
}

function revisionOf({ metadata }: StoredObject): number {
  return Number(metadata.annotations?.[revisionAnnotation] ?? 0);
}
