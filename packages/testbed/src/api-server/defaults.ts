/**
 * What a real server fills into objects of built-in kinds: the defaults of their types, and what the admission plug-ins that are
 * on everywhere add (default service account, default storage class, protection of volumes in use).
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { isObject } from "./json.ts";
import { assignAddresses } from "./service-addresses.ts";

export interface DefaultingWorld {
  /** Objects of a resource. */
  list(resource: string): Iterable<StoredObject>;
  get(resource: string, key: string): StoredObject | undefined;
}

type Defaulter = (object: StoredObject, world: DefaultingWorld) => void;

const notReadyTolerations = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(
  (key) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 }),
);

/** Fills fields that are missing. */
function fill(target: Json, defaults: Record<string, Json>): void {
  for (const [name, value] of Object.entries(defaults)) {
    if (target[name] === undefined || target[name] === null) target[name] = value;
  }
}

function specOf(object: StoredObject): Json {
  if (!isObject(object.spec)) object.spec = {};
  return object.spec;
}

/** Names of the token volumes that a real server mounts into every container are not made here. */
function podSpec(spec: Json): void {
  fill(spec, {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    securityContext: {},
    schedulerName: "default-scheduler",
  });
  if (spec.serviceAccountName !== undefined)
    fill(spec, { serviceAccount: spec.serviceAccountName });
  else if (spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount;
  for (const list of [spec.initContainers, spec.containers]) {
    if (!Array.isArray(list)) continue;
    for (const container of list) {
      if (!isObject(container)) continue;
      const tag = String(container["image"] ?? "");
      const latest = !tag.includes("@") && (/:latest$/.test(tag) || !/:[^/]*$/.test(tag));
      fill(container, {
        resources: {},
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
        imagePullPolicy: latest ? "Always" : "IfNotPresent",
      });
      for (const port of container["ports"] ?? []) fill(port, { protocol: "TCP" });
      for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
        if (!isObject(container[probe])) continue;
        fill(container[probe], {
          timeoutSeconds: 1,
          periodSeconds: 10,
          successThreshold: 1,
          failureThreshold: 3,
        });
      }
      for (const variable of container["env"] ?? []) {
        const field = variable?.valueFrom?.fieldRef;
        if (isObject(field)) fill(field, { apiVersion: "v1" });
      }
    }
  }
  for (const volume of spec.volumes ?? []) {
    if (!isObject(volume)) continue;
    for (const source of ["secret", "configMap", "downwardAPI", "projected"]) {
      if (isObject(volume[source])) fill(volume[source], { defaultMode: 420 });
    }
    if (isObject(volume["hostPath"])) fill(volume["hostPath"], { type: "" });
    for (const item of volume["downwardAPI"]?.items ?? []) {
      if (isObject(item.fieldRef)) fill(item.fieldRef, { apiVersion: "v1" });
    }
  }
}

function template(spec: Json): void {
  if (!isObject(spec.template)) return;
  spec.template.metadata ??= {};
  if (spec.template.metadata.creationTimestamp === undefined) {
    spec.template.metadata.creationTimestamp = null;
  }
  if (isObject(spec.template.spec)) podSpec(spec.template.spec);
}

const rollingUpdate = {
  type: "RollingUpdate",
  rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" },
};

const byResource: Readonly<Record<string, Defaulter>> = {
  namespaces(object) {
    const { metadata } = object;
    metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
    fill(specOf(object), { finalizers: ["kubernetes"] });
    object.status ??= { phase: "Active" };
  },
  nodes(object) {
    specOf(object);
    object.status ??= {};
  },
  pods(object) {
    const spec = specOf(object);
    fill(spec, { serviceAccountName: spec.serviceAccount ?? "default" });
    podSpec(spec);
    fill(spec, { enableServiceLinks: true, preemptionPolicy: "PreemptLowerPriority", priority: 0 });
    const tolerations: Json[] = Array.isArray(spec.tolerations) ? spec.tolerations : [];
    for (const toleration of notReadyTolerations) {
      const covered = tolerations.some(
        (one) =>
          (one.key === toleration.key || (one.key ?? "") === "") &&
          ((one.effect ?? "") === "" || one.effect === "NoExecute"),
      );
      if (!covered) tolerations.push({ ...toleration });
    }
    spec.tolerations = tolerations;
    object.status ??= { phase: "Pending", qosClass: qualityOfService(spec) };
  },
  persistentvolumeclaims(object, world) {
    const spec = specOf(object);
    fill(spec, { volumeMode: "Filesystem", resources: {} });
    if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource };
    else if (spec.dataSourceRef && !spec.dataSource && !spec.dataSourceRef.namespace) {
      spec.dataSource = { ...spec.dataSourceRef };
    }
    if (spec.storageClassName === undefined || spec.storageClassName === null) {
      const name = defaultStorageClass(world);
      if (name !== undefined) spec.storageClassName = name;
    }
    object.status ??= { phase: "Pending" };
  },
  persistentvolumes(object) {
    const spec = specOf(object);
    fill(spec, { persistentVolumeReclaimPolicy: "Retain", volumeMode: "Filesystem" });
    if (isObject(spec.claimRef))
      fill(spec.claimRef, { kind: "PersistentVolumeClaim", apiVersion: "v1" });
    object.status ??= { phase: "Pending" };
  },
  "storageclasses.storage.k8s.io"(object) {
    fill(object, { reclaimPolicy: "Delete", volumeBindingMode: "Immediate" });
  },
  "csidrivers.storage.k8s.io"(object) {
    fill(specOf(object), {
      attachRequired: true,
      fsGroupPolicy: "ReadWriteOnceWithFSType",
      podInfoOnMount: false,
      requiresRepublish: false,
      seLinuxMount: false,
      storageCapacity: false,
      volumeLifecycleModes: ["Persistent"],
    });
  },
  "volumeattachments.storage.k8s.io"(object) {
    object.status ??= { attached: false };
  },
  secrets(object) {
    fill(object, { type: "Opaque" });
    mergeStringData(object);
  },
  services(object, world) {
    const spec = specOf(object);
    fill(spec, { type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" });
    assignAddresses(object, world.list("services"));
    for (const port of spec.ports ?? []) fill(port, { protocol: "TCP", targetPort: port.port });
    object.status ??= { loadBalancer: {} };
  },
  "deployments.apps"(object) {
    const spec = specOf(object);
    fill(spec, {
      replicas: 1,
      strategy: { ...rollingUpdate },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
    });
    template(spec);
    object.status ??= {};
  },
  "daemonsets.apps"(object) {
    const spec = specOf(object);
    fill(spec, {
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
      revisionHistoryLimit: 10,
    });
    template(spec);
    object.status ??= {
      currentNumberScheduled: 0,
      desiredNumberScheduled: 0,
      numberMisscheduled: 0,
      numberReady: 0,
    };
  },
  "statefulsets.apps"(object) {
    const spec = specOf(object);
    fill(spec, {
      replicas: 1,
      podManagementPolicy: "OrderedReady",
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      revisionHistoryLimit: 10,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
    });
    template(spec);
    object.status ??= { replicas: 0, availableReplicas: 0 };
  },
  "replicasets.apps"(object) {
    const spec = specOf(object);
    fill(spec, { replicas: 1 });
    template(spec);
    object.status ??= { replicas: 0 };
  },
  "poddisruptionbudgets.policy"(object) {
    object.status ??= {};
  },
  "cronjobs.batch"(object) {
    fill(specOf(object), {
      concurrencyPolicy: "Allow",
      suspend: false,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
    });
    object.status ??= {};
  },
  "jobs.batch"(object) {
    const spec = specOf(object);
    if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
    fill(spec, { parallelism: 1, backoffLimit: 6, completionMode: "NonIndexed", suspend: false });
    fill(spec, { podReplacementPolicy: "TerminatingOrFailed" });
    template(spec);
    object.status ??= {};
    const { name, uid } = object.metadata;
    if (spec.manualSelector === true || spec.selector !== undefined) return;
    spec.selector = { matchLabels: { "batch.kubernetes.io/controller-uid": uid } };
    spec.template ??= {};
    spec.template.metadata ??= {};
    const { metadata } = spec.template;
    metadata.labels = {
      ...metadata.labels,
      "batch.kubernetes.io/controller-uid": uid,
      "batch.kubernetes.io/job-name": name,
      "controller-uid": uid,
      "job-name": name,
    };
  },
  "customresourcedefinitions.apiextensions.k8s.io"(object) {
    const spec = specOf(object);
    spec.names ??= {};
    const { kind = "" } = spec.names;
    fill(spec.names, {
      singular: String(kind).toLowerCase(),
      listKind: `${kind}List`,
    });
    fill(spec, { conversion: { strategy: "None" } });
  },
  "clusterrolebindings.rbac.authorization.k8s.io": defaultSubjects,
  "rolebindings.rbac.authorization.k8s.io": defaultSubjects,
  "clusterroles.rbac.authorization.k8s.io"(object) {
    object["rules"] ??= null;
  },
};

function defaultSubjects(object: StoredObject): void {
  if (isObject(object["roleRef"]))
    fill(object["roleRef"], { apiGroup: "rbac.authorization.k8s.io" });
  for (const subject of object["subjects"] ?? []) {
    if (subject.kind !== "ServiceAccount") fill(subject, { apiGroup: "rbac.authorization.k8s.io" });
    else if (subject.namespace === undefined && object.metadata.namespace !== undefined) {
      // A real server asks for it; kubectl writes it always.
      subject.namespace = object.metadata.namespace;
    }
  }
}

/** On create only: protection that a deletion waits for. */
const protectedBy: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "kubernetes.io/pvc-protection",
  persistentvolumes: "kubernetes.io/pv-protection",
};

/** Fills in what is missing, in place. Idempotent. */
export function applyBuiltInDefaults(
  resource: string,
  object: StoredObject,
  world: DefaultingWorld,
): void {
  byResource[resource]?.(object, world);
}

export function addProtection(resource: string, object: StoredObject): void {
  const finalizer = protectedBy[resource];
  if (finalizer === undefined) return;
  const { metadata } = object;
  if (metadata.finalizers?.includes(finalizer)) return;
  metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
}

function defaultStorageClass(world: DefaultingWorld): string | undefined {
  let newest: StoredObject | undefined;
  for (const one of world.list("storageclasses.storage.k8s.io")) {
    const { annotations, creationTimestamp } = one.metadata;
    if (annotations?.["storageclass.kubernetes.io/is-default-class"] !== "true") continue;
    if (newest === undefined || creationTimestamp > newest.metadata.creationTimestamp) newest = one;
  }
  return newest?.metadata.name;
}

function mergeStringData(object: StoredObject): void {
  const texts = object["stringData"];
  delete object["stringData"];
  if (!isObject(texts)) return;
  const data: Record<string, Json> = { ...object["data"] };
  for (const [name, text] of Object.entries(texts)) {
    data[name] = Buffer.from(String(text)).toString("base64");
  }
  object["data"] = data;
}

function qualityOfService(spec: Json): string {
  const containers: Json[] = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  const entries = containers.map(({ resources }) => ({
    requests: resources?.requests ?? {},
    limits: resources?.limits ?? {},
  }));
  const none = entries.every(
    ({ requests, limits }) => Object.keys(requests).length + Object.keys(limits).length === 0,
  );
  if (none) return "BestEffort";
  const guaranteed = entries.every(({ requests, limits }) =>
    ["cpu", "memory"].every(
      (name) =>
        limits[name] !== undefined &&
        (requests[name] === undefined || requests[name] === limits[name]),
    ),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
