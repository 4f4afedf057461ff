/** A namespace with objects that a restore must change before they can be made again, and what is stable in them afterwards. */
import type { NewObject, StoredObject } from "@dm/testbed";
import type { ServerScene } from "./server-scene.ts";

export const zoo = "zoo";

/** In the order in which they are made. */
export function fillZoo(scene: ServerScene): void {
  const make = (resource: string, apiVersion: string, kind: string, name: string, more: object) => {
    const { metadata, ...rest } = more as { metadata?: object };
    const managedFields = [
      {
        manager: "kubectl-create",
        operation: "Update",
        apiVersion,
        time: "2026-11-22T10:00:00Z",
        fieldsType: "FieldsV1",
        fieldsV1: { "f:metadata": { "f:labels": {} } },
      },
    ];
    const given = { name, namespace: zoo, ...metadata };
    const object = { apiVersion, kind, metadata: given, ...rest } as NewObject;
    const created = scene.server.cluster.create(resource, object);
    // As everything has them that somebody makes over HTTP; Velero compares them.
    scene.server.cluster.modify(resource, zoo, name, (stored) => {
      stored.metadata["managedFields"] = managedFields;
    });
    return created;
  };
  const container = { name: "c", image: "registry.example.com/c:1" };
  const template = (labels: object): object => ({
    metadata: { labels },
    spec: { containers: [container] },
  });
  scene.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: zoo, labels: { team: "zoo" }, annotations: { note: "kept" } },
  });
  const port = { name: "http", port: 80, targetPort: 8080 };
  const selector = { app: "web" };
  make("services", "v1", "Service", "web", { spec: { selector, ports: [port] } });
  make("services", "v1", "Service", "headless", {
    spec: { clusterIP: "None", selector, ports: [port] },
  });
  make("services", "v1", "Service", "outside", {
    spec: { type: "NodePort", selector, ports: [port, { name: "b", port: 81, nodePort: 30_321 }] },
  });
  make("services", "v1", "Service", "applied", {
    metadata: {
      annotations: {
        "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify({
          spec: { type: "NodePort", ports: [{ port: 80, nodePort: 30_322 }] },
        }),
      },
    },
    spec: { type: "NodePort", selector, ports: [{ port: 80, nodePort: 30_322 }] },
  });
  make("secrets", "v1", "Secret", "robot-token-x1x2x", {
    metadata: { annotations: { "kubernetes.io/service-account.name": "robot" } },
    type: "kubernetes.io/service-account-token",
    data: { token: "eA==" },
  });
  make("secrets", "v1", "Secret", "pull", { type: "Opaque", data: { a: "Yg==" } });
  make("serviceaccounts", "v1", "ServiceAccount", "robot", {
    secrets: [{ name: "robot-token-x1x2x" }, { name: "pull" }],
    imagePullSecrets: [{ name: "pull" }, { name: "robot-token-x1x2x" }],
  });
  make("roles.rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1", "Role", "look", {
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
  });
  make(
    "rolebindings.rbac.authorization.k8s.io",
    "rbac.authorization.k8s.io/v1",
    "RoleBinding",
    "look",
    {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "look" },
      subjects: [{ kind: "ServiceAccount", name: "robot", namespace: zoo }],
    },
  );
  const storage = { accessModes: ["ReadWriteOnce"], storageClassName: "fast" };
  scene.create("persistentvolumes", {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "pv-zoo" },
    spec: {
      ...storage,
      capacity: { storage: "1Mi" },
      csi: { driver: "csi.example.com", volumeHandle: "v" },
      persistentVolumeReclaimPolicy: "Retain",
    },
  });
  make("persistentvolumeclaims", "v1", "PersistentVolumeClaim", "bound", {
    metadata: {
      annotations: {
        "volume.kubernetes.io/selected-node": "node-1",
        "pv.kubernetes.io/bind-completed": "yes",
        mine: "kept",
      },
    },
    spec: { ...storage, volumeName: "pv-zoo", resources: { requests: { storage: "1Mi" } } },
  });
  const isBound = (object: StoredObject): void => {
    object.status = { phase: "Bound" };
  };
  const subresource = { subresource: "status" } as const;
  scene.server.cluster.modify("persistentvolumeclaims", zoo, "bound", isBound, subresource);
  const deployment = make("deployments.apps", "apps/v1", "Deployment", "web", {
    spec: { replicas: 2, selector: { matchLabels: selector }, template: template(selector) },
  });
  const owner = (object: StoredObject): object => ({
    ownerReferences: [
      {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name: object.metadata.name,
        uid: object.metadata.uid,
        controller: true,
      },
    ],
  });
  const set = make("replicasets.apps", "apps/v1", "ReplicaSet", "web-1", {
    metadata: { labels: selector, ...owner(deployment) },
    spec: { replicas: 2, selector: { matchLabels: selector }, template: template(selector) },
  });
  make("pods", "v1", "Pod", "web-1-aaaaa", {
    metadata: { labels: selector, ...owner(set) },
    spec: { nodeName: "node-1", containers: [container] },
  });
  const token = "kube-api-access-abcde";
  make("pods", "v1", "Pod", "alone", {
    metadata: { labels: { app: "alone" } },
    spec: {
      nodeName: "node-1",
      priority: 7,
      serviceAccountName: "robot",
      containers: [
        { ...container, volumeMounts: [{ name: token, mountPath: "/var/run/secrets/token" }] },
      ],
      volumes: [{ name: token, projected: { sources: [{ serviceAccountToken: { path: "t" } }] } }],
    },
  });
  make("jobs.batch", "batch/v1", "Job", "once", {
    spec: {
      manualSelector: true,
      selector: { matchLabels: { "controller-uid": "1-2-3", job: "once" } },
      template: {
        metadata: { labels: { "controller-uid": "1-2-3", job: "once" } },
        spec: { restartPolicy: "Never", containers: [container] },
      },
    },
  });
  make("cronjobs.batch", "batch/v1", "CronJob", "nightly", {
    spec: {
      schedule: "0 1 * * *",
      jobTemplate: {
        spec: { template: { spec: { restartPolicy: "Never", containers: [container] } } },
      },
    },
  });
  make("statefulsets.apps", "apps/v1", "StatefulSet", "db", {
    spec: {
      serviceName: "headless",
      selector: { matchLabels: { app: "db" } },
      template: template({ app: "db" }),
    },
  });
  make("networkpolicies.networking.k8s.io", "networking.k8s.io/v1", "NetworkPolicy", "closed", {
    spec: { podSelector: {} },
  });
  make("poddisruptionbudgets.policy", "policy/v1", "PodDisruptionBudget", "one", {
    spec: { minAvailable: 1, selector: { matchLabels: selector } },
  });
  make("configmaps", "v1", "ConfigMap", "settings", {
    metadata: { labels: { ...selector, long: "x".repeat(63) }, finalizers: ["example.com/hold"] },
    data: { a: "1" },
  });
}

const kinds = [
  "namespaces",
  "services",
  "secrets",
  "serviceaccounts",
  "roles.rbac.authorization.k8s.io",
  "rolebindings.rbac.authorization.k8s.io",
  "persistentvolumeclaims",
  "deployments.apps",
  "replicasets.apps",
  "pods",
  "jobs.batch",
  "cronjobs.batch",
  "statefulsets.apps",
  "networkpolicies.networking.k8s.io",
  "poddisruptionbudgets.policy",
  "configmaps",
];

/** The objects of a namespace by kind and name; names of their own begin with the side. Without what is new for each: ids, times, addresses and ports that are given out. */
export function stableObjects(
  scene: ServerScene,
  namespace: string,
  side: string,
): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const kind of kinds) {
    const objects =
      kind === "namespaces"
        ? [scene.server.cluster.get(kind, "", namespace)]
        : scene.server.cluster.list(kind, namespace);
    for (const object of objects) {
      if (!object) continue;
      const { creationTimestamp, generation, managedFields, resourceVersion, uid, ...metadata } =
        object.metadata as Record<string, unknown>;
      // A Namespace that ours makes says so, by which a server that goes on after another knows it.
      if (kind === "namespaces") {
        const {
          "velero.io/backup-name": _of,
          "velero.io/restore-name": _by,
          ...labels
        } = object.metadata.labels ?? {};
        metadata["labels"] = labels;
      }
      const text = JSON.stringify({ ...object, metadata })
        .replaceAll(`${side}-`, "")
        .replaceAll(/"10\.\d+\.\d+\.\d+"/g, '"ADDRESS"')
        .replaceAll(/"controller-uid":"[0-9a-f-]{36}"/g, '"controller-uid":"UID"')
        .replaceAll(/"nodePort":(?!3032)\d+/g, '"nodePort":0');
      found[`${kind}/${object.metadata.name.replace(`${side}-`, "")}`] = JSON.parse(text);
    }
  }
  return found;
}
