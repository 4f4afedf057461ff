/**
 * Finds a node for each pod: selectors, required affinity, taints, where its volumes can be; the emptiest of what is left. Claims
 * that wait for their first consumer are told the node and waited for.
 * Proof: test/controllers/scheduler.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "./cluster-api.ts";
import {
  keyOf,
  parseKey,
  type RunningController,
  startController,
} from "./controllers/controller.ts";
import { createEventRecorder, type EventRecorder } from "./controllers/event-recorder.ts";
import { controllerOf } from "./controllers/owner.ts";
import { isOver } from "./controllers/pod-template.ts";
import { parseQuantity, podRequests } from "./controllers/resource-quantity.ts";
import {
  matchesNodeSelectorTerms,
  matchesRequirement,
  matchesSelector,
} from "./controllers/selector.ts";
import { toleratesTaints } from "./controllers/taints.ts";
import { nowMs } from "./controllers/timestamp.ts";
import type { Json, StoredObject } from "./kube-object.ts";
import { mergeConditions } from "./kubelet/pod-status.ts";

export const selectedNodeAnnotation = "volume.kubernetes.io/selected-node";

export interface SchedulerOptions {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}

export function startScheduler({ api, logger }: SchedulerOptions): RunningController {
  const events = createEventRecorder(api, { component: "default-scheduler" });
  /** Pods that count for the load of nodes, and those that wait. */
  const pods = new Map<string, StoredObject>();
  const waiting = new Set<string>();
  const allWaiting = (): Iterable<string> => [...waiting];
  return startController({
    name: "scheduler",
    api,
    logger,
    watches: {
      pods: ({ type, object }) => {
        const key = keyOf(object);
        if (type === "DELETED" || isOver(object)) {
          waiting.delete(key);
          // Its place is free.
          return pods.delete(object.metadata.uid) ? allWaiting() : [];
        }
        pods.set(object.metadata.uid, object);
        if (object.spec?.nodeName !== undefined) {
          waiting.delete(key);
          return [];
        }
        waiting.add(key);
        return [key];
      },
      // Only what a pod may have waited for: heartbeats and binding of others are no news.
      nodes: allWaiting,
      persistentvolumeclaims: ({ object }) =>
        allOf(pods, waiting, object.metadata.namespace, object.metadata.name),
      persistentvolumes: ({ object }) => {
        const claim = object.spec?.claimRef;
        return claim === undefined ? [] : allOf(pods, waiting, claim.namespace, claim.name);
      },
      "storageclasses.storage.k8s.io": allWaiting,
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const pod = api.get("pods", namespace, name);
      if (pod === undefined || pod.spec?.nodeName !== undefined || isOver(pod)) return undefined;
      if (pod.metadata.deletionTimestamp !== undefined) return undefined;
      if ((pod.spec?.schedulerName ?? "default-scheduler") !== "default-scheduler") {
        return undefined;
      }
      schedule(api, events, pod, [...pods.values()]);
      return undefined;
    },
  });
}

function allOf(
  pods: ReadonlyMap<string, StoredObject>,
  waiting: ReadonlySet<string>,
  namespace: string | undefined,
  claim: string,
): string[] {
  const keys: string[] = [];
  for (const pod of pods.values()) {
    const key = keyOf(pod);
    if (!waiting.has(key) || pod.metadata.namespace !== namespace) continue;
    if (claimNames(pod).includes(claim)) keys.push(key);
  }
  return keys;
}

function claimNames(pod: StoredObject): string[] {
  return (pod.spec?.volumes ?? []).flatMap(
    ({ persistentVolumeClaim }: Json) => persistentVolumeClaim?.claimName ?? [],
  );
}

function schedule(
  api: ClusterApi,
  events: EventRecorder,
  pod: StoredObject,
  others: readonly StoredObject[],
): void {
  const nodes = api.list("nodes");
  if (nodes.length === 0) {
    refuse(api, events, pod, "no nodes available to schedule pods");
    return;
  }
  const claims = readClaims(api, pod);
  if (typeof claims === "string") {
    refuse(api, events, pod, unavailable(nodes.length, claims));
    return;
  }
  const reasons = new Map<string, number>();
  const feasible = nodes.filter((node) => {
    const refusal = nodeRefusal(pod, node, claims);
    const refusals = refusal === undefined ? missingResources(pod, node, others) : [refusal];
    for (const reason of refusals) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return refusals.length === 0;
  });
  if (feasible.length === 0) {
    const text = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
    refuse(api, events, pod, unavailable(nodes.length, text.join(", ")));
    return;
  }
  const unbound = claims.filter(({ volume }) => volume === undefined);
  // A node that was promised before stays the choice while it can be.
  const promised = unbound.map(({ claim }) => claim.metadata.annotations?.[selectedNodeAnnotation]);
  const node =
    feasible.find(({ metadata }) => promised.includes(metadata.name)) ??
    bestNode(pod, feasible, others);
  const nodeName = node.metadata.name;
  for (const { claim } of unbound) {
    if (claim.metadata.annotations?.[selectedNodeAnnotation] === nodeName) continue;
    const { namespace = "", name } = claim.metadata;
    api.modify("persistentvolumeclaims", namespace, name, ({ metadata }) => {
      metadata.annotations = { ...metadata.annotations, [selectedNodeAnnotation]: nodeName };
    });
  }
  // Their binding brings the pod here again.
  if (unbound.length > 0) return;
  bind(api, events, pod, nodeName);
}

function bind(api: ClusterApi, events: EventRecorder, pod: StoredObject, nodeName: string): void {
  const { namespace = "", name, uid } = pod.metadata;
  const bound = api.modify("pods", namespace, name, (one) => {
    if (one.metadata.uid === uid) one.spec.nodeName = nodeName;
  });
  if (bound?.metadata.uid !== uid) return;
  setScheduled(api, pod, { type: "PodScheduled", status: "True" });
  events.record(
    pod,
    "Normal",
    "Scheduled",
    `Successfully assigned ${namespace}/${name} to ${nodeName}`,
  );
}

function refuse(api: ClusterApi, events: EventRecorder, pod: StoredObject, message: string): void {
  const old = (pod.status?.conditions ?? []).find(({ type }: Json) => type === "PodScheduled");
  if (old?.status === "False" && old.message === message) return;
  setScheduled(api, pod, {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
  });
  events.record(pod, "Warning", "FailedScheduling", message);
}

function setScheduled(
  api: ClusterApi,
  { metadata: { namespace = "", name, uid } }: StoredObject,
  condition: { type: string; status: string; reason?: string; message?: string },
): void {
  api.modify(
    "pods",
    namespace,
    name,
    (pod) => {
      if (pod.metadata.uid !== uid) return;
      const old = pod.status?.conditions ?? [];
      pod.status = {
        phase: "Pending",
        ...pod.status,
        conditions: mergeConditions(old, nowMs(api.clock), [condition]),
      };
    },
    { subresource: "status" },
  );
}

function unavailable(nodeCount: number, reasons: string): string {
  const none = `0/${nodeCount} nodes are available`;
  return `${none}: ${reasons}. preemption: ${none}: ${nodeCount} Preemption is not helpful for scheduling.`;
}

interface SeenClaim {
  readonly claim: StoredObject;
  /** Undefined while it waits for its consumer. */
  readonly volume: StoredObject | undefined;
  readonly storageClass: StoredObject | undefined;
}

/** A text says why the pod can be on no node at all. */
function readClaims(api: ClusterApi, pod: StoredObject): SeenClaim[] | string {
  const seen: SeenClaim[] = [];
  for (const name of claimNames(pod)) {
    const claim = api.get("persistentvolumeclaims", pod.metadata.namespace ?? "", name);
    if (claim === undefined) return `persistentvolumeclaim "${name}" not found`;
    if (claim.metadata.deletionTimestamp !== undefined) {
      return `persistentvolumeclaim "${name}" is being deleted`;
    }
    if (claim.status?.phase === "Lost")
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName}"`;
    if (claim.spec?.volumeName !== undefined && claim.status?.phase === "Bound") {
      const volume = api.get("persistentvolumes", "", claim.spec.volumeName);
      if (volume === undefined) return `persistentvolume "${claim.spec.volumeName}" not found`;
      seen.push({ claim, volume, storageClass: undefined });
      continue;
    }
    const className: string | undefined = claim.spec?.storageClassName;
    const storageClass =
      className === undefined || className === ""
        ? undefined
        : api.get("storageclasses.storage.k8s.io", "", className);
    const waits = storageClass?.["volumeBindingMode"] === "WaitForFirstConsumer";
    // With a volume named, binding is only a matter of time; there is nothing to be chosen.
    if (!waits || claim.spec?.volumeName !== undefined) {
      return "pod has unbound immediate PersistentVolumeClaims";
    }
    seen.push({ claim, volume: undefined, storageClass });
  }
  return seen;
}

function nodeRefusal(
  pod: StoredObject,
  node: StoredObject,
  claims: readonly SeenClaim[],
): string | undefined {
  if (node.spec?.unschedulable === true && !isDaemon(pod)) return "node(s) were unschedulable";
  const { untolerated } = toleratesTaints(pod, node, ["NoSchedule", "NoExecute"]);
  if (untolerated !== undefined) {
    return `node(s) had untolerated taint {${untolerated.key}: ${untolerated.value ?? ""}}`;
  }
  if (!matchesPodAffinityToNodes(pod, node)) {
    return "node(s) didn't match Pod's node affinity/selector";
  }
  for (const { volume, storageClass } of claims) {
    if (volume !== undefined) {
      const terms = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms;
      if (terms !== undefined && !matchesNodeSelectorTerms(terms, node)) {
        return "node(s) had volume node affinity conflict";
      }
    } else if (!inAllowedTopology(storageClass, node)) {
      return "node(s) didn't find available persistent volumes to bind";
    }
  }
  return undefined;
}

/** What the node has not enough of, beside the pods that it has. A node that does not say what it has has enough. */
function missingResources(
  pod: StoredObject,
  node: StoredObject,
  others: readonly StoredObject[],
): string[] {
  const allocatable: Record<string, string> | undefined = node.status?.allocatable;
  if (allocatable === undefined) return [];
  const wanted = podRequests(pod.spec);
  const here = others.filter(({ spec }) => spec?.nodeName === node.metadata.name);
  return [...wanted].flatMap(([name, amount]) => {
    const used = here.reduce((sum, { spec }) => sum + (podRequests(spec).get(name) ?? 0), 0);
    if (used + amount <= parseQuantity(allocatable[name] ?? "0")) return [];
    return name === "pods" ? "Too many pods" : `Insufficient ${name}`;
  });
}

/** `nodeSelector` and required node affinity. */
export function matchesPodAffinityToNodes(pod: { spec?: Json }, node: StoredObject): boolean {
  const { nodeSelector, affinity } = pod.spec ?? {};
  if (
    nodeSelector !== undefined &&
    !matchesSelector({ matchLabels: nodeSelector }, node.metadata.labels)
  ) {
    return false;
  }
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesNodeSelectorTerms(required.nodeSelectorTerms ?? [], node);
}

function isDaemon(pod: StoredObject): boolean {
  return pod.metadata.ownerReferences?.some(({ kind }) => kind === "DaemonSet") === true;
}

function inAllowedTopology(storageClass: StoredObject | undefined, node: StoredObject): boolean {
  const terms: Json[] = storageClass?.["allowedTopologies"] ?? [];
  if (terms.length === 0) return true;
  return terms.some((term) =>
    (term.matchLabelExpressions ?? []).every(({ key, values }: Json) =>
      matchesRequirement({ key, operator: "In", values }, node.metadata.labels ?? {}),
    ),
  );
}

/** Preferred affinity first, then the spread that the pod asks for, then the fewest pods, then the name. */
function bestNode(
  pod: StoredObject,
  nodes: readonly StoredObject[],
  others: readonly StoredObject[],
): StoredObject {
  const scored = nodes.map((node) => {
    const here = others.filter(({ spec }) => spec?.nodeName === node.metadata.name);
    const spread = (pod.spec?.topologySpreadConstraints ?? []).reduce(
      (sum: number, { topologyKey, labelSelector }: Json) => {
        const domain = node.metadata.labels?.[topologyKey];
        const inDomain = new Set(
          nodes
            .filter(({ metadata }) => metadata.labels?.[topologyKey] === domain)
            .map(({ metadata }) => metadata.name),
        );
        return (
          sum +
          others.filter(
            ({ metadata, spec }) =>
              metadata.namespace === pod.metadata.namespace &&
              inDomain.has(spec?.nodeName) &&
              matchesSelector(labelSelector, metadata.labels),
          ).length
        );
      },
      0,
    );
    // Without a word from the pod, those of one owner stay apart, so that one node does not take them all.
    const owner = controllerOf(pod)?.uid;
    const siblings =
      owner === undefined ? 0 : here.filter((one) => controllerOf(one)?.uid === owner).length;
    return { node, preferred: preference(pod, node), spread, siblings, load: here.length };
  });
  scored.sort(
    (a, b) =>
      b.preferred - a.preferred ||
      a.spread - b.spread ||
      a.siblings - b.siblings ||
      a.load - b.load ||
      (a.node.metadata.name < b.node.metadata.name ? -1 : 1),
  );
  return (scored[0] as (typeof scored)[number]).node;
}

function preference(pod: StoredObject, node: StoredObject): number {
  const terms: Json[] =
    pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.reduce(
    (sum, { weight, preference: term }) =>
      sum + (matchesNodeSelectorTerms([term], node) ? weight : 0),
    0,
  );
}
