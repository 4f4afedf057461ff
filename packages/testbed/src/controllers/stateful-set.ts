/**
 * Pods with names that stay and claims of their own, made and replaced one after the other.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { adopterKeys, adoptOrphans, controllerOf, ownerKeys } from "./owner.ts";
import { isDeleting, isReady, podFromTemplate, templateHash } from "./pod-template.ts";
import { writeStatus } from "./status-writer.ts";

const resource = "statefulsets.apps";
const hashLabel = "controller-revision-hash";

export function startStatefulSetController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const events = createEventRecorder(api, { component: "statefulset-controller" });

  const makeClaims = (set: StoredObject, ordinal: number): void => {
    const { namespace = "", name } = set.metadata;
    for (const template of set.spec.volumeClaimTemplates ?? []) {
      const claimName = `${template.metadata.name}-${name}-${ordinal}`;
      if (api.get("persistentvolumeclaims", namespace, claimName) !== undefined) continue;
      api.create("persistentvolumeclaims", {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: {
          name: claimName,
          namespace,
          labels: { ...template.metadata.labels, ...set.spec.selector?.matchLabels },
        },
        spec: structuredClone(template.spec),
      });
    }
  };

  const makePod = (set: StoredObject, ordinal: number, hash: string): StoredObject => {
    const name = `${set.metadata.name}-${ordinal}`;
    const pod = podFromTemplate(set, set.spec.template, {
      name,
      labels: {
        [hashLabel]: hash,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": String(ordinal),
      },
    });
    const claims: Json[] = (set.spec.volumeClaimTemplates ?? []).map((template: Json) => ({
      name: template.metadata.name,
      persistentVolumeClaim: { claimName: `${template.metadata.name}-${name}` },
    }));
    const names = new Set(claims.map((one) => one.name));
    const others = (pod.spec.volumes ?? []).filter((one: Json) => !names.has(one.name));
    pod.spec = { ...pod.spec, hostname: name, volumes: [...others, ...claims] };
    return api.create("pods", pod);
  };

  return startController({
    name: "statefulset",
    api,
    logger,
    watches: {
      [resource]: ({ object }) => [keyOf(object)],
      pods: ({ object }) => [
        ...ownerKeys(object, "StatefulSet"),
        ...adopterKeys(api, object, resource),
      ],
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const set = api.get(resource, namespace, name);
      if (set === undefined || isDeleting(set)) return undefined;
      const isOrdinal = ({ metadata }: StoredObject): boolean =>
        metadata.name.startsWith(`${name}-`) && /^\d+$/.test(metadata.name.slice(name.length + 1));
      adoptOrphans(api, set, "pods", isOrdinal);
      const wanted: number = set.spec.replicas ?? 1;
      const hash = templateHash(set.spec.template);
      const parallel = set.spec.podManagementPolicy === "Parallel";
      const byOrdinal = new Map<number, StoredObject>();
      for (const pod of api.list("pods", namespace)) {
        if (controllerOf(pod)?.uid !== set.metadata.uid) continue;
        byOrdinal.set(Number(pod.metadata.name.slice(name.length + 1)), pod);
      }
      const remove = (pod: StoredObject): void => {
        if (isDeleting(pod)) return;
        api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
        events.record(
          set,
          "Normal",
          "SuccessfulDelete",
          `delete Pod ${pod.metadata.name} in StatefulSet ${name} successful`,
        );
      };

      let settled = true;
      for (let ordinal = 0; ordinal < wanted && (settled || parallel); ordinal++) {
        const pod = byOrdinal.get(ordinal);
        if (pod === undefined) {
          makeClaims(set, ordinal);
          const created = makePod(set, ordinal, hash);
          byOrdinal.set(ordinal, created);
          events.record(
            set,
            "Normal",
            "SuccessfulCreate",
            `create Pod ${created.metadata.name} in StatefulSet ${name} successful`,
          );
        } else if (pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded") {
          remove(pod);
        }
        const now = byOrdinal.get(ordinal);
        if (now === undefined || isDeleting(now) || !isReady(now)) settled = false;
      }
      const surplus = [...byOrdinal.keys()].filter((one) => one >= wanted).sort((a, b) => b - a);
      if (settled || parallel) {
        for (const ordinal of parallel ? surplus : surplus.slice(0, 1)) {
          remove(byOrdinal.get(ordinal) as StoredObject);
        }
      }
      const isCurrent = ({ metadata }: StoredObject): boolean =>
        metadata.labels?.[hashLabel] === hash;
      if (settled && surplus.length === 0 && set.spec.updateStrategy?.type !== "OnDelete") {
        const partition: number = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
        const outdated = [...byOrdinal]
          .filter(([ordinal, pod]) => ordinal >= partition && !isCurrent(pod))
          .sort(([a], [b]) => b - a);
        if (outdated[0] !== undefined) remove(outdated[0][1]);
      }
      const pods = [...byOrdinal.values()].filter((pod) => !isDeleting(pod));
      const ready = pods.filter(isReady).length;
      const updated = pods.filter(isCurrent).length;
      writeStatus(api, resource, set, {
        ...set.status,
        observedGeneration: set.metadata.generation,
        replicas: pods.length,
        readyReplicas: ready,
        availableReplicas: ready,
        currentReplicas: updated,
        updatedReplicas: updated,
        currentRevision: `${name}-${hash}`,
        updateRevision: `${name}-${hash}`,
        collisionCount: 0,
      });
      return undefined;
    },
  });
}
