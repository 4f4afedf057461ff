/**
 * The columns of built-in kinds in `kubectl get`, as a real server prints them.
 * Proof: test/api-server/table.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { ageOf, humanDuration } from "./age.ts";

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}

export interface Printer {
  readonly columns: readonly Column[];
  cells(object: StoredObject, nowMs: number): Json[];
}

type Cell = readonly [
  name: string,
  value: (object: StoredObject, nowMs: number) => Json,
  priority?: number,
];

function printer(...cells: readonly Cell[]): Printer {
  return {
    columns: cells.map(([name, , priority = 0]) => ({
      name,
      type: numbers.has(name) ? "integer" : "string",
      format: name === "Name" ? "name" : "",
      description: "",
      priority,
    })),
    cells: (object, nowMs) => cells.map(([, value]) => value(object, nowMs)),
  };
}

const numbers = new Set(["Desired", "Current", "Up-to-date", "Available", "Count", "Value"]);

const none = "<none>";
const name: Cell = ["Name", ({ metadata }) => metadata.name];
const age: Cell = ["Age", ({ metadata }, nowMs) => ageOf(metadata.creationTimestamp, nowMs)];

function joined(values: Json, separator = ","): string {
  return Array.isArray(values) && values.length > 0 ? values.join(separator) : "";
}

const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

function accessModes(modes: Json): string {
  const given = new Set<string>(modes ?? []);
  return Object.entries(shortModes)
    .filter(([long]) => given.has(long))
    .map(([, short]) => short)
    .join(",");
}

function labelText(labels: Json): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? none : entries.map(([key, value]) => `${key}=${value}`).join(",");
}

function selectorText(selector: Json): string {
  const expressions = (selector?.matchExpressions ?? []).map(
    (one: Json) => `${one.key} ${String(one.operator).toLowerCase()} (${joined(one.values)})`,
  );
  const labels = Object.keys(selector?.matchLabels ?? {}).length > 0;
  const texts = [...(labels ? [labelText(selector.matchLabels)] : []), ...expressions];
  return texts.length === 0 ? none : texts.join(",");
}

const templateCells: readonly Cell[] = [
  ["Containers", ({ spec }) => containerFields(spec?.template?.spec, "name"), 1],
  ["Images", ({ spec }) => containerFields(spec?.template?.spec, "image"), 1],
];
const selectorCell: Cell = ["Selector", ({ spec }) => selectorText(spec?.selector), 1];

function containerFields(spec: Json, field: string): string {
  return joined((spec?.containers ?? []).map((one: Json) => one[field]));
}

/** Phase, or that it is on its way out. */
function phase({ metadata, status }: StoredObject): string {
  return metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating";
}

function podStatus(pod: StoredObject): string {
  const { spec, status, metadata } = pod;
  let reason: string = status?.reason || status?.phase || "Unknown";
  const initial: Json[] = status?.initContainerStatuses ?? [];
  let starting = false;
  for (const [at, { state, restartCount, ready }] of initial.entries()) {
    if (state?.terminated?.exitCode === 0 || (ready && restartCount === undefined)) continue;
    starting = true;
    if (state?.terminated) {
      const { reason: why, signal, exitCode } = state.terminated;
      reason = `Init:${why || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`)}`;
    } else if (state?.waiting?.reason && state.waiting.reason !== "PodInitializing") {
      reason = `Init:${state.waiting.reason}`;
    } else reason = `Init:${at}/${(spec?.initContainers ?? []).length}`;
    break;
  }
  if (!starting) {
    let running = false;
    for (const { state, ready } of [...((status?.containerStatuses ?? []) as Json[])].reverse()) {
      if (state?.waiting?.reason) reason = state.waiting.reason;
      else if (state?.terminated) {
        const { reason: why, signal, exitCode } = state.terminated;
        reason = why || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);
      } else if (ready && state?.running) running = true;
    }
    if (reason === "Completed" && running) {
      const isReady = (status?.conditions ?? []).some(
        (one: Json) => one.type === "Ready" && one.status === "True",
      );
      reason = isReady ? "Running" : "NotReady";
    }
  }
  if (metadata.deletionTimestamp === undefined) return reason;
  return status?.reason === "NodeLost" ? "Unknown" : "Terminating";
}

function podRestarts({ status }: StoredObject, nowMs: number): string {
  let count = 0;
  let lastMs = 0;
  for (const one of status?.containerStatuses ?? []) {
    count += one.restartCount ?? 0;
    const finished = Date.parse(one.lastState?.terminated?.finishedAt ?? "");
    if (finished > lastMs) lastMs = finished;
  }
  const ago = lastMs > 0 && count > 0 ? ` (${humanDuration(nowMs - lastMs)} ago)` : "";
  return `${count}${ago}`;
}

function nodeStatus({ spec, status }: StoredObject): string {
  const ready = (status?.conditions ?? []).find((one: Json) => one.type === "Ready");
  const words = [ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady"];
  if (spec?.unschedulable) words.push("SchedulingDisabled");
  return words.join(",");
}

const rolePrefix = "node-role.kubernetes.io/";

function nodeRoles({ metadata }: StoredObject): string {
  const roles = Object.keys(metadata.labels ?? {}).filter((one) => one.startsWith(rolePrefix));
  return roles.length === 0 ? none : roles.map((one) => one.slice(rolePrefix.length)).join(",");
}

function address({ status }: StoredObject, type: string): string {
  return (status?.addresses ?? []).find((one: Json) => one.type === type)?.address ?? none;
}

function jobStatus({ metadata, status }: StoredObject): string {
  const has = (type: string): boolean =>
    (status?.conditions ?? []).some((one: Json) => one.type === type && one.status === "True");
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  if (has("SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}

function jobDuration({ status }: StoredObject, nowMs: number): string {
  if (!status?.startTime) return "";
  const end = status.completionTime ? Date.parse(status.completionTime) : nowMs;
  return humanDuration(end - Date.parse(status.startTime));
}

function eventTime(event: StoredObject): string | undefined {
  return event["series"]?.lastObservedTime ?? event["lastTimestamp"] ?? event["eventTime"];
}

function eventSeen(event: StoredObject, nowMs: number): string {
  const last = eventTime(event);
  return last ? ageOf(last, nowMs) : ageOf(event.metadata.creationTimestamp, nowMs);
}

function subjects(object: StoredObject, kind: string): string {
  const found = (object["subjects"] ?? []).filter((one: Json) => one.kind === kind);
  return found
    .map((one: Json) => (kind === "ServiceAccount" ? `${one.namespace}/${one.name}` : one.name))
    .join(", ");
}

const roleCells: readonly Cell[] = [
  name,
  ["Role", (object) => `${object["roleRef"]?.kind}/${object["roleRef"]?.name}`],
  age,
  ["Users", (object) => subjects(object, "User"), 1],
  ["Groups", (object) => subjects(object, "Group"), 1],
  ["ServiceAccounts", (object) => subjects(object, "ServiceAccount"), 1],
];

const createdAt: Cell = ["Created At", ({ metadata }) => metadata.creationTimestamp];

function dataCount(...fields: readonly string[]): Cell {
  return [
    "Data",
    (object) => fields.reduce((sum, field) => sum + Object.keys(object[field] ?? {}).length, 0),
  ];
}

function ports({ spec }: StoredObject): string {
  const texts = (spec?.ports ?? []).map(
    (one: Json) => `${one.port}${one.nodePort ? `:${one.nodePort}` : ""}/${one.protocol ?? "TCP"}`,
  );
  return texts.length === 0 ? none : texts.join(",");
}

/** By resource. */
export const printers: Readonly<Record<string, Printer>> = {
  pods: printer(
    name,
    [
      "Ready",
      ({ spec, status }) => {
        const ready = (status?.containerStatuses ?? []).filter((one: Json) => one.ready).length;
        return `${ready}/${(spec?.containers ?? []).length}`;
      },
    ],
    ["Status", podStatus],
    ["Restarts", podRestarts],
    age,
    ["IP", ({ status }) => status?.podIP ?? none, 1],
    ["Node", ({ spec }) => spec?.nodeName ?? none, 1],
    ["Nominated Node", ({ status }) => status?.nominatedNodeName ?? none, 1],
    ["Readiness Gates", () => none, 1],
  ),
  persistentvolumeclaims: printer(
    name,
    ["Status", phase],
    ["Volume", ({ spec }) => spec?.volumeName ?? ""],
    ["Capacity", ({ spec, status }) => (spec?.volumeName ? (status?.capacity?.storage ?? "") : "")],
    [
      "Access Modes",
      ({ spec, status }) => (spec?.volumeName ? accessModes(status?.accessModes) : ""),
    ],
    ["StorageClass", ({ spec }) => spec?.storageClassName ?? ""],
    ["VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>"],
    age,
    ["VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", 1],
  ),
  persistentvolumes: printer(
    name,
    ["Capacity", ({ spec }) => spec?.capacity?.storage ?? ""],
    ["Access Modes", ({ spec }) => accessModes(spec?.accessModes)],
    ["Reclaim Policy", ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? ""],
    ["Status", phase],
    [
      "Claim",
      ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace}/${spec.claimRef.name}` : ""),
    ],
    ["StorageClass", ({ spec }) => spec?.storageClassName ?? ""],
    ["VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>"],
    ["Reason", ({ status }) => status?.reason ?? ""],
    age,
    ["VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", 1],
  ),
  nodes: printer(
    name,
    ["Status", nodeStatus],
    ["Roles", nodeRoles],
    age,
    ["Version", ({ status }) => status?.nodeInfo?.kubeletVersion ?? ""],
    ["Internal-IP", (node) => address(node, "InternalIP"), 1],
    ["External-IP", (node) => address(node, "ExternalIP"), 1],
    ["OS-Image", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", 1],
    ["Kernel-Version", ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>", 1],
    [
      "Container-Runtime",
      ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
      1,
    ],
  ),
  namespaces: printer(name, ["Status", ({ status }) => status?.phase ?? ""], age),
  configmaps: printer(name, dataCount("data", "binaryData"), age),
  secrets: printer(name, ["Type", (object) => object["type"] ?? ""], dataCount("data"), age),
  serviceaccounts: printer(name, ["Secrets", (object) => (object["secrets"] ?? []).length], age),
  services: printer(
    name,
    ["Type", ({ spec }) => spec?.type ?? ""],
    ["Cluster-IP", ({ spec }) => spec?.clusterIP || none],
    ["External-IP", ({ spec }) => spec?.externalName || none],
    ["Port(s)", ports],
    age,
    ["Selector", ({ spec }) => labelText(spec?.selector), 1],
  ),
  endpoints: printer(
    name,
    [
      "Endpoints",
      (object) => {
        const texts = (object["subsets"] ?? []).flatMap((subset: Json) =>
          (subset.addresses ?? []).map((one: Json) => `${one.ip}:${subset.ports?.[0]?.port ?? ""}`),
        );
        return texts.length === 0 ? none : texts.join(",");
      },
    ],
    age,
  ),
  events: printer(
    ["Last Seen", eventSeen],
    ["Type", (event) => event["type"] ?? ""],
    ["Reason", (event) => event["reason"] ?? ""],
    [
      "Object",
      ({ involvedObject }) =>
        `${String(involvedObject?.kind ?? "").toLowerCase()}/${involvedObject?.name}`,
    ],
    ["Subobject", ({ involvedObject }) => involvedObject?.fieldPath ?? "", 1],
    ["Source", ({ source }) => [source?.component, source?.host].filter(Boolean).join(", "), 1],
    ["Message", (event) => String(event["message"] ?? "").trim()],
    [
      "First Seen",
      (event, nowMs) =>
        ageOf(
          event["firstTimestamp"] ?? event["eventTime"] ?? event.metadata.creationTimestamp,
          nowMs,
        ),
      1,
    ],
    ["Count", (event) => event["series"]?.count ?? event["count"] ?? 1, 1],
    ["Name", ({ metadata }) => metadata.name, 1],
  ),
  "deployments.apps": printer(
    name,
    ["Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`],
    ["Up-to-date", ({ status }) => status?.updatedReplicas ?? 0],
    ["Available", ({ status }) => status?.availableReplicas ?? 0],
    age,
    ...templateCells,
    selectorCell,
  ),
  "daemonsets.apps": printer(
    name,
    ["Desired", ({ status }) => status?.desiredNumberScheduled ?? 0],
    ["Current", ({ status }) => status?.currentNumberScheduled ?? 0],
    ["Ready", ({ status }) => status?.numberReady ?? 0],
    ["Up-to-date", ({ status }) => status?.updatedNumberScheduled ?? 0],
    ["Available", ({ status }) => status?.numberAvailable ?? 0],
    ["Node Selector", ({ spec }) => labelText(spec?.template?.spec?.nodeSelector)],
    age,
    ...templateCells,
    selectorCell,
  ),
  "statefulsets.apps": printer(
    name,
    ["Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`],
    age,
    ...templateCells,
  ),
  "replicasets.apps": printer(
    name,
    ["Desired", ({ spec }) => spec?.replicas ?? 0],
    ["Current", ({ status }) => status?.replicas ?? 0],
    ["Ready", ({ status }) => status?.readyReplicas ?? 0],
    age,
    ...templateCells,
    selectorCell,
  ),
  "controllerrevisions.apps": printer(
    name,
    [
      "Controller",
      ({ metadata }) => {
        const owner = metadata.ownerReferences?.find(({ controller }) => controller);
        return owner ? `${owner.kind.toLowerCase()}/${owner.name}` : none;
      },
    ],
    ["Revision", (object) => object["revision"] ?? 0],
    age,
  ),
  "jobs.batch": printer(
    name,
    ["Status", jobStatus],
    [
      "Completions",
      ({ spec, status }) =>
        spec?.completions === undefined
          ? `${status?.succeeded ?? 0}/1 of ${spec?.parallelism ?? 1}`
          : `${status?.succeeded ?? 0}/${spec.completions}`,
    ],
    ["Duration", jobDuration],
    age,
    ...templateCells,
    selectorCell,
  ),
  "storageclasses.storage.k8s.io": printer(
    [
      "Name",
      ({ metadata }) =>
        metadata.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true"
          ? `${metadata.name} (default)`
          : metadata.name,
    ],
    ["Provisioner", (object) => object["provisioner"] ?? ""],
    ["ReclaimPolicy", (object) => object["reclaimPolicy"] ?? "Delete"],
    ["VolumeBindingMode", (object) => object["volumeBindingMode"] ?? "Immediate"],
    ["AllowVolumeExpansion", (object) => object["allowVolumeExpansion"] ?? false],
    age,
  ),
  "csidrivers.storage.k8s.io": printer(
    name,
    ["AttachRequired", ({ spec }) => spec?.attachRequired ?? true],
    ["PodInfoOnMount", ({ spec }) => spec?.podInfoOnMount ?? false],
    ["StorageCapacity", ({ spec }) => spec?.storageCapacity ?? false],
    [
      "TokenRequests",
      ({ spec }) => joined(spec?.tokenRequests?.map((one: Json) => one.audience)) || "<unset>",
    ],
    ["RequiresRepublish", ({ spec }) => spec?.requiresRepublish ?? false],
    ["Modes", ({ spec }) => joined(spec?.volumeLifecycleModes)],
    age,
  ),
  "csinodes.storage.k8s.io": printer(
    name,
    ["Drivers", ({ spec }) => (spec?.drivers ?? []).length],
    age,
  ),
  "volumeattachments.storage.k8s.io": printer(
    name,
    ["Attacher", ({ spec }) => spec?.attacher ?? ""],
    ["PV", ({ spec }) => spec?.source?.persistentVolumeName ?? ""],
    ["Node", ({ spec }) => spec?.nodeName ?? ""],
    ["Attached", ({ status }) => status?.attached ?? false],
    age,
  ),
  "leases.coordination.k8s.io": printer(
    name,
    ["Holder", ({ spec }) => spec?.holderIdentity ?? ""],
    age,
  ),
  "customresourcedefinitions.apiextensions.k8s.io": printer(name, createdAt),
  "roles.rbac.authorization.k8s.io": printer(name, createdAt),
  "clusterroles.rbac.authorization.k8s.io": printer(name, createdAt),
  "rolebindings.rbac.authorization.k8s.io": printer(...roleCells),
  "clusterrolebindings.rbac.authorization.k8s.io": printer(...roleCells),
  "priorityclasses.scheduling.k8s.io": printer(
    name,
    ["Value", (object) => object["value"] ?? 0],
    ["Global-Default", (object) => object["globalDefault"] ?? false],
    age,
    ["PreemptionPolicy", (object) => object["preemptionPolicy"] ?? "PreemptLowerPriority", 1],
  ),
};
