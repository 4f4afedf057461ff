/**
 * One pod on each node that the template allows. A changed template replaces them one after the other, each when the rest is ready.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, NewObject, StoredObject } from "../kube-object.ts";
import { matchesPodAffinityToNodes } from "../scheduler.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { controllerOf, ownerKeys } from "./owner.ts";
import { isDeleting, isOver, isReady, podFromTemplate, templateHash } from "./pod-template.ts";
import { writeStatus } from "./status-writer.ts";
import { toleratesTaints } from "./taints.ts";
import { nowMs } from "./timestamp.ts";

const resource = "daemonsets.apps";
const hashLabel = "controller-revision-hash";

/** What every daemon lives through. */
const daemonTolerations = [
  "not-ready:NoExecute",
  "unreachable:NoExecute",
  "disk-pressure:NoSchedule",
  "memory-pressure:NoSchedule",
  "pid-pressure:NoSchedule",
  "unschedulable:NoSchedule",
].map((text) => {
  const [key, effect] = text.split(":");
  return { key: `node.kubernetes.io/${key}`, operator: "Exists", effect };
});

/** Pause before a failed daemon pod is made again, doubling. */
const failurePauseMs = { first: 1_000, longest: 900_000 };

export function startDaemonSetController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const events = createEventRecorder(api, { component: "daemonset-controller" });
  const sets = new Set<string>();
  /** By `set uid/node`. */
  const failures = new Map<string, { count: number; retryAtMs: number }>();

  /** Nodes that may have a pod now, and those whose pod may stay. */
  const placement = (set: StoredObject, node: StoredObject): { run: boolean; stay: boolean } => {
    const pod = { spec: daemonSpec(set.spec.template.spec ?? {}) };
    if (!matchesPodAffinityToNodes(pod, node)) return { run: false, stay: false };
    const stay = toleratesTaints(pod, node, ["NoExecute"]).untolerated === undefined;
    const run = stay && toleratesTaints(pod, node, ["NoSchedule"]).untolerated === undefined;
    return { run, stay };
  };

  return startController({
    name: "daemonset",
    api,
    logger,
    watches: {
      [resource]: ({ type, object }) => {
        const key = keyOf(object);
        if (type === "DELETED") sets.delete(key);
        else sets.add(key);
        return [key];
      },
      pods: ({ object }) => ownerKeys(object, "DaemonSet"),
      nodes: () => [...sets],
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const set = api.get(resource, namespace, name);
      if (set === undefined || isDeleting(set)) return undefined;
      const { uid, generation } = set.metadata;
      const hash = templateHash(set.spec.template);
      const now = nowMs(api.clock);
      const own = api.list("pods", namespace).filter((pod) => controllerOf(pod)?.uid === uid);
      const nodes = api.list("nodes");
      const remove = (pod: StoredObject): void => {
        api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
        events.record(set, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
      };

      let againMs: number | undefined;
      const byNode = new Map<string, StoredObject[]>();
      for (const pod of own) {
        const node = nodeOf(pod);
        byNode.set(node, [...(byNode.get(node) ?? []), pod]);
      }
      const current: StoredObject[] = [];
      let desired = 0;
      let misscheduled = 0;
      for (const node of nodes) {
        const { run, stay } = placement(set, node);
        const here = byNode.get(node.metadata.name) ?? [];
        byNode.delete(node.metadata.name);
        const alive = here.filter((pod) => !isDeleting(pod));
        if (run || (stay && alive.length > 0)) desired++;
        if (!stay) {
          misscheduled += alive.length;
          for (const pod of alive) remove(pod);
          continue;
        }
        const failureKey = `${uid}/${node.metadata.name}`;
        const over = alive.filter(isOver);
        for (const pod of over) {
          const count = (failures.get(failureKey)?.count ?? 0) + 1;
          const pauseMs = Math.min(failurePauseMs.first * 2 ** (count - 1), failurePauseMs.longest);
          failures.set(failureKey, { count, retryAtMs: now + pauseMs });
          events.record(
            set,
            "Warning",
            "FailedDaemonPod",
            `Found failed daemon pod ${namespace}/${pod.metadata.name} on node ${node.metadata.name}, will try to kill it`,
          );
          remove(pod);
        }
        const live = alive.filter((pod) => !over.includes(pod));
        for (const pod of live.slice(1)) remove(pod);
        const [one] = live;
        if (one !== undefined) {
          current.push(one);
          if (isReady(one)) failures.delete(failureKey);
        } else if (run && here.length === over.length) {
          const retryAtMs = failures.get(failureKey)?.retryAtMs ?? 0;
          if (now < retryAtMs) {
            againMs = Math.min(againMs ?? Number.POSITIVE_INFINITY, retryAtMs - now);
            continue;
          }
          // The old one must be gone first: both would want the same of the node.
          if (over.some((pod) => api.get("pods", namespace, pod.metadata.name) !== undefined))
            continue;
          const pod = api.create("pods", daemonPod(set, node.metadata.name, hash));
          events.record(set, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
          current.push(pod);
        }
      }
      // Nodes that are no more: their pods are the pod garbage collector's.
      const updated = current.filter(({ metadata }) => metadata.labels?.[hashLabel] === hash);
      const ready = current.filter(isReady);
      if (set.spec.updateStrategy?.type !== "OnDelete") {
        const limit = maxUnavailable(set, desired);
        const outdated = current.filter((pod) => !updated.includes(pod));
        let unavailable = desired - ready.length;
        for (const pod of outdated) {
          // One that is not ready is no loss.
          if (isReady(pod) && unavailable >= limit) continue;
          if (isReady(pod)) unavailable++;
          remove(pod);
        }
      }
      writeStatus(api, resource, set, {
        ...set.status,
        currentNumberScheduled: current.length,
        desiredNumberScheduled: desired,
        numberMisscheduled: misscheduled,
        numberReady: ready.length,
        numberAvailable: ready.length === 0 ? undefined : ready.length,
        numberUnavailable: desired === ready.length ? undefined : desired - ready.length,
        updatedNumberScheduled: updated.length,
        observedGeneration: generation,
      });
      return againMs;
    },
  });
}

function daemonSpec(spec: Json): Json {
  return {
    ...spec,
    tolerations: [
      ...(spec.tolerations ?? []),
      ...daemonTolerations,
      ...(spec.hostNetwork === true
        ? [
            {
              key: "node.kubernetes.io/network-unavailable",
              operator: "Exists",
              effect: "NoSchedule",
            },
          ]
        : []),
    ],
  };
}

/** For the scheduler: this node and no other. */
function daemonPod(set: StoredObject, nodeName: string, hash: string): NewObject {
  const pod = podFromTemplate(set, set.spec.template, {
    generateName: `${set.metadata.name}-`,
    labels: { [hashLabel]: hash, "pod-template-generation": String(set.metadata.generation) },
  });
  const spec = daemonSpec(pod.spec);
  const required =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const matchFields = [{ key: "metadata.name", operator: "In", values: [nodeName] }];
  const terms = (required ?? [{}]).map((term: Json) => ({ ...term, matchFields }));
  return {
    ...pod,
    spec: {
      ...spec,
      affinity: {
        ...spec.affinity,
        nodeAffinity: {
          ...spec.affinity?.nodeAffinity,
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms },
        },
      },
    },
  };
}

function nodeOf({ spec }: StoredObject): string {
  if (spec?.nodeName !== undefined) return spec.nodeName;
  const terms =
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms?.[0]?.matchFields?.[0]?.values?.[0] ?? "";
}

function maxUnavailable(set: StoredObject, desired: number): number {
  const stated = set.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
  if (typeof stated === "number") return Math.max(1, stated);
  return Math.max(1, Math.ceil((desired * Number.parseInt(stated, 10)) / 100));
}
