/**
 * Takes a node whose heartbeat has stopped for lost: `Ready` becomes Unknown, a taint keeps new pods away, its pods are no longer
 * ready and, when their toleration is over, are deleted; which ends when the node comes back, or its Node object goes, or it
 * gets the taint `node.kubernetes.io/out-of-service`.
 * Proof: test/controllers/node-lifecycle.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { leaseNamespace } from "../kubelet/heartbeat.ts";
import { type Condition, mergeConditions } from "../kubelet/pod-status.ts";
import { type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { isDeleting, isOver } from "./pod-template.ts";
import { type Taint, toleratesTaints } from "./taints.ts";
import { nowMs, timestampOf } from "./timestamp.ts";

export interface NodeLifecycleOptions {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
  /** Without a heartbeat for so long a node is lost. Default: 40 s, as upstream. */
  readonly graceMs?: number | undefined;
  /** How long pods of a lost node are tolerated at most, whatever they say themselves. Default: as they say. */
  readonly longestTolerationMs?: number | undefined;
}

export const defaultNodeGraceMs = 40_000;

const unreachable: readonly Taint[] = [
  { key: "node.kubernetes.io/unreachable", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unreachable", effect: "NoExecute" },
];
const outOfService = "node.kubernetes.io/out-of-service";

export function startNodeLifecycle(options: NodeLifecycleOptions): RunningController {
  const { api, logger, graceMs = defaultNodeGraceMs } = options;
  const events = createEventRecorder(api, { component: "node-controller" });
  /** When each lost node was found to be. */
  const lostAtMs = new Map<string, number>();

  const setNode = (node: StoredObject, ready: boolean): void => {
    const { name } = node.metadata;
    api.modify("nodes", "", name, ({ spec }) => {
      const kept: (Taint & { timeAdded?: string })[] = (spec.taints ?? []).filter(
        ({ key }: Taint) => key !== unreachable[0]?.key,
      );
      const timeAdded = timestampOf(nowMs(api.clock));
      if (!ready) kept.push(...unreachable.map((taint) => ({ ...taint, timeAdded })));
      if (kept.length === 0) delete spec.taints;
      else spec.taints = kept;
    });
    if (ready) return;
    api.modify(
      "nodes",
      "",
      name,
      (one) => {
        one.status = {
          ...one.status,
          conditions: mergeConditions(one.status?.conditions ?? [], nowMs(api.clock), [
            {
              type: "Ready",
              status: "Unknown",
              reason: "NodeStatusUnknown",
              message: "Kubelet stopped posting node status.",
            },
          ]),
        };
      },
      { subresource: "status" },
    );
    events.record(node, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
  };

  return startController({
    name: "node-lifecycle",
    api,
    logger,
    watches: {
      "leases.coordination.k8s.io": ({ object }) =>
        object.metadata.namespace === leaseNamespace ? [object.metadata.name] : [],
      nodes: ({ object }) => [object.metadata.name],
      pods: ({ type, object }) =>
        type === "ADDED" && lostAtMs.has(object.spec?.nodeName) ? [object.spec.nodeName] : [],
    },
    reconcile(name) {
      const node = api.get("nodes", "", name);
      if (node === undefined) {
        lostAtMs.delete(name);
        return undefined;
      }
      const now = nowMs(api.clock);
      const lease = api.get("leases.coordination.k8s.io", leaseNamespace, name);
      const renewedMs = Date.parse(lease?.spec?.renewTime ?? node.metadata.creationTimestamp);
      const taints: Taint[] = node.spec?.taints ?? [];
      const tainted = taints.some(({ key }) => key === unreachable[0]?.key);
      if (now < renewedMs + graceMs) {
        lostAtMs.delete(name);
        // The node itself says that it is ready; the taint is ours.
        if (tainted) setNode(node, true);
        return renewedMs + graceMs - now;
      }
      if (!tainted || readyOf(node)?.status !== "Unknown") setNode(node, false);
      const lostMs = lostAtMs.get(name) ?? (tainted ? taintedMs(taints, now) : now);
      lostAtMs.set(name, lostMs);
      const pods = api.list("pods").filter(({ spec }) => spec?.nodeName === name);
      let againMs: number | undefined;
      for (const pod of pods) {
        markUnready(api, pod);
        if (isOver(pod)) continue;
        if (taints.some(({ key }) => key === outOfService)) {
          removePod(api, pod, "DeletionByTaintManager", "the node is out of service");
          continue;
        }
        if (isDeleting(pod)) continue;
        const { untolerated, forMs } = toleratesTaints(
          pod,
          { ...node, spec: { taints: unreachable } },
          ["NoExecute"],
        );
        const tolerated =
          untolerated === undefined
            ? Math.min(
                forMs,
                forMs === Number.POSITIVE_INFINITY ? forMs : (options.longestTolerationMs ?? forMs),
              )
            : 0;
        const leftMs = lostMs + tolerated - now;
        if (leftMs > 0) {
          if (leftMs !== Number.POSITIVE_INFINITY) againMs = Math.min(againMs ?? leftMs, leftMs);
          continue;
        }
        const { namespace = "" } = pod.metadata;
        events.record(
          pod,
          "Normal",
          "TaintManagerEviction",
          `Marking for deletion Pod ${namespace}/${pod.metadata.name}`,
        );
        setReason(api, pod, name);
        api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
      }
      return againMs;
    },
  });
}

function readyOf(node: StoredObject): Condition | undefined {
  return node.status?.conditions?.find(({ type }: Condition) => type === "Ready");
}

function taintedMs(taints: readonly (Taint & { timeAdded?: string })[], now: number): number {
  const taint = taints.find(({ key }) => key === unreachable[0]?.key);
  return taint?.timeAdded === undefined ? now : Date.parse(taint.timeAdded);
}

function markUnready(api: ClusterApi, pod: StoredObject): void {
  const conditions: Condition[] = pod.status?.conditions ?? [];
  if (isOver(pod) || !conditions.some((one) => one.type === "Ready" && one.status === "True"))
    return;
  const { namespace = "", name, uid } = pod.metadata;
  api.modify(
    "pods",
    namespace,
    name,
    (one) => {
      if (one.metadata.uid !== uid) return;
      one.status.conditions = mergeConditions(one.status.conditions ?? [], nowMs(api.clock), [
        { type: "Ready", status: "False", reason: "NodeNotReady" },
      ]);
    },
    { subresource: "status" },
  );
}

function setReason(api: ClusterApi, pod: StoredObject, nodeName: string): void {
  const { namespace = "", name, uid } = pod.metadata;
  api.modify(
    "pods",
    namespace,
    name,
    (one) => {
      if (one.metadata.uid !== uid) return;
      one.status = {
        ...one.status,
        reason: "NodeLost",
        message: `Node ${nodeName} which was running pod ${name} is unresponsive`,
      };
    },
    { subresource: "status" },
  );
}

/** Ends a pod without its kubelet: for nodes that will not answer any more. */
export function removePod(
  api: ClusterApi,
  pod: StoredObject,
  reason: string,
  message: string,
): void {
  const { namespace = "", name, uid } = pod.metadata;
  if (!isOver(pod)) {
    api.modify(
      "pods",
      namespace,
      name,
      (one: Json) => {
        if (one.metadata.uid !== uid) return;
        one.status = {
          ...one.status,
          phase: "Failed",
          conditions: mergeConditions(one.status?.conditions ?? [], nowMs(api.clock), [
            { type: "DisruptionTarget", status: "True", reason, message },
          ]),
        };
      },
      { subresource: "status" },
    );
  }
  api.delete("pods", namespace, name, { uid, gracePeriodSeconds: 0 });
}
