/**
 * From what became of a pod's containers to its status: phase, conditions, container statuses, as a kubelet writes them.
 * Proof: test/kubelet/pod-status.test.ts.
 * @module
 */
import { timestampOf } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";

export interface ContainerEnd {
  readonly containerID: string;
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason: string;
  readonly message?: string | undefined;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

/** One container as its kubelet sees it. None of `waiting`, `running`, `ended`: nobody has looked at it yet. */
export interface ContainerView {
  readonly name: string;
  readonly image: string;
  readonly restartCount: number;
  readonly waiting?: { readonly reason: string; readonly message?: string | undefined } | undefined;
  readonly running?: { readonly containerID: string; readonly startedAtMs: number } | undefined;
  /** The end of the current attempt. */
  readonly ended?: ContainerEnd | undefined;
  /** The end of the attempt before. */
  readonly lastEnded?: ContainerEnd | undefined;
  readonly ready: boolean;
}

export interface PodView {
  readonly initContainers: readonly ContainerView[];
  readonly containers: readonly ContainerView[];
  readonly startTime: string;
  readonly hostIP: string;
  readonly podIP?: string | undefined;
  /** The volumes are there. */
  readonly sandboxReady: boolean;
  /** The pod was ended from outside: `DeadlineExceeded`, `Evicted`. */
  readonly failure?: { readonly reason: string; readonly message: string } | undefined;
  /** The pod is going and nothing will be started again. */
  readonly stopping: boolean;
}

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

export function podPhase(pod: StoredObject, view: PodView): PodPhase {
  const policy: string = pod.spec?.restartPolicy ?? "Always";
  const all = [...view.initContainers, ...view.containers];
  const anyRuns = all.some(({ running }) => running !== undefined);
  if (view.failure !== undefined && !anyRuns) return "Failed";
  for (const { ended } of view.initContainers) {
    if (ended === undefined) {
      if (view.stopping && !anyRuns) return "Failed";
      return "Pending";
    }
    if (ended.exitCode === 0) continue;
    return policy === "Never" || (view.stopping && !anyRuns) ? "Failed" : "Pending";
  }
  const counts = { running: 0, waiting: 0, stopped: 0, succeeded: 0 };
  for (const { running, ended, lastEnded } of view.containers) {
    const last = ended ?? (running === undefined ? lastEnded : undefined);
    if (running !== undefined) counts.running++;
    else if (last === undefined) counts.waiting++;
    else {
      counts.stopped++;
      if (last.exitCode === 0) counts.succeeded++;
    }
  }
  if (view.stopping && counts.running === 0) {
    return counts.succeeded === view.containers.length ? "Succeeded" : "Failed";
  }
  if (counts.waiting > 0) return "Pending";
  if (counts.running > 0 || policy === "Always") return "Running";
  if (counts.succeeded === view.containers.length) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}

/** The status to write, from the one that stands there: conditions keep the time of their last change. */
export function podStatus(pod: StoredObject, view: PodView, nowMs: number): Json {
  const phase = podPhase(pod, view);
  const over = phase === "Succeeded" || phase === "Failed";
  const old = pod.status ?? {};
  const status: Json = {
    ...old,
    phase,
    hostIP: view.hostIP,
    hostIPs: [{ ip: view.hostIP }],
    startTime: view.startTime,
    qosClass: qosClass(pod),
    containerStatuses: view.containers.map((one) => containerStatus(one, "ContainerCreating")),
  };
  if (view.podIP !== undefined) {
    status.podIP = view.podIP;
    status.podIPs = [{ ip: view.podIP }];
  }
  if (view.initContainers.length > 0) {
    status.initContainerStatuses = view.initContainers.map((one) =>
      containerStatus(one, "PodInitializing"),
    );
    if (!initialized(view)) {
      for (const one of status.containerStatuses) {
        if (one.state.waiting?.reason === "ContainerCreating") {
          one.state.waiting.reason = "PodInitializing";
        }
      }
    }
  }
  if (view.failure !== undefined) Object.assign(status, view.failure);

  const unready = view.containers.filter(({ ready }) => !ready).map(({ name }) => name);
  const completed = phase === "Succeeded" ? { reason: "PodCompleted" } : undefined;
  const failed = phase === "Failed" ? { reason: "PodFailed" } : undefined;
  const ready =
    over || unready.length > 0
      ? {
          status: "False",
          ...(completed ??
            failed ?? {
              reason: "ContainersNotReady",
              message: `containers with unready status: [${unready.join(" ")}]`,
            }),
        }
      : { status: "True" };
  const waitingInit = view.initContainers.filter(({ ended }) => ended?.exitCode !== 0);
  status.conditions = mergeConditions(old.conditions ?? [], nowMs, [
    {
      type: "PodReadyToStartContainers",
      status: view.sandboxReady && !over ? "True" : "False",
    },
    initialized(view)
      ? { type: "Initialized", status: "True", ...completed }
      : {
          type: "Initialized",
          status: "False",
          reason: "ContainersNotInitialized",
          message: `containers with incomplete status: [${waitingInit.map(({ name }) => name).join(" ")}]`,
        },
    { type: "Ready", ...ready },
    { type: "ContainersReady", ...ready },
  ]);
  return status;
}

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastProbeTime?: string | null;
}

/** Replaces by type; `lastTransitionTime` moves only when `status` does. */
export function mergeConditions(
  old: readonly Condition[],
  nowMs: number,
  changes: readonly Condition[],
): Condition[] {
  const merged = [...old];
  for (const change of changes) {
    const index = merged.findIndex(({ type }) => type === change.type);
    const before = merged[index];
    const lastTransitionTime =
      before?.status === change.status && before.lastTransitionTime !== undefined
        ? before.lastTransitionTime
        : timestampOf(nowMs);
    const after = { ...change, lastTransitionTime };
    if (index < 0) merged.push(after);
    else merged[index] = after;
  }
  return merged;
}

function initialized(view: PodView): boolean {
  return view.initContainers.every(({ ended }) => ended?.exitCode === 0);
}

function containerStatus(view: ContainerView, untouched: string): Json {
  const { running, ended, waiting, lastEnded } = view;
  let state: Json;
  if (running !== undefined) state = { running: { startedAt: timestampOf(running.startedAtMs) } };
  else if (waiting !== undefined) state = { waiting: withoutUndefined(waiting) };
  else if (ended !== undefined) state = { terminated: terminated(ended) };
  else state = { waiting: { reason: untouched } };
  const last = state.waiting === undefined ? lastEnded : (ended ?? lastEnded);
  const containerID = running?.containerID ?? ended?.containerID;
  return {
    name: view.name,
    state,
    lastState: last === undefined ? {} : { terminated: terminated(last) },
    ready: view.ready,
    restartCount: view.restartCount,
    image: view.image,
    imageID: running === undefined && ended === undefined ? "" : `host/${view.image}`,
    ...(containerID === undefined ? {} : { containerID }),
    started: running !== undefined,
  };
}

function terminated(end: ContainerEnd): Json {
  return {
    exitCode: end.exitCode,
    ...(end.signal === undefined || end.signal === 0 ? {} : { signal: end.signal }),
    reason: end.reason,
    ...(end.message === undefined || end.message === "" ? {} : { message: end.message }),
    startedAt: timestampOf(end.startedAtMs),
    finishedAt: timestampOf(end.finishedAtMs),
    containerID: end.containerID,
  };
}

function withoutUndefined(value: object): Json {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));
}

function qosClass(pod: StoredObject): string {
  const containers: Json[] = pod.spec?.containers ?? [];
  const resources = containers.map((one) => one.resources ?? {});
  const stated = (map: Json): string[] =>
    Object.keys(map ?? {}).filter((name) => name === "cpu" || name === "memory");
  if (resources.every(({ limits, requests }) => stated({ ...limits, ...requests }).length === 0)) {
    return "BestEffort";
  }
  const guaranteed = resources.every(
    ({ limits = {}, requests = limits }) =>
      stated(limits).length === 2 &&
      limits.cpu === (requests.cpu ?? limits.cpu) &&
      limits.memory === (requests.memory ?? limits.memory),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
