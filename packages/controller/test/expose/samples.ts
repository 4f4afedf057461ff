// Objects that the tests of exposers begin with.
import type { DaemonSet, DataDownload, DataUpload, OwnerReference } from "@dm/crds";

export const namespace = "velero";

export const nodeAgent: DaemonSet = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "node-agent", namespace },
  spec: {
    selector: { matchLabels: { name: "node-agent" } },
    template: {
      metadata: {
        labels: { name: "node-agent", role: "node-agent", "azure.workload.identity/use": "true" },
        annotations: { "iam.amazonaws.com/role": "backup", other: "no" },
      },
      spec: {
        serviceAccountName: "velero",
        imagePullSecrets: [{ name: "registry" }],
        dnsPolicy: "ClusterFirst",
        dnsConfig: { nameservers: ["10.0.0.1"] },
        tolerations: [
          { key: "CriticalAddonsOnly", operator: "Exists" },
          { key: "gpu", operator: "Exists" },
        ],
        containers: [
          { name: "proxy", image: "proxy:1" },
          {
            name: "node-agent",
            image: "dm:1",
            command: ["node", "/app/dm-controller.js", "node-agent", "--node-agent-configmap=na"],
            args: ["--log-level=debug", "--metrics=:8085"],
            env: [
              {
                name: "VELERO_NAMESPACE",
                valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } },
              },
            ],
            envFrom: [{ secretRef: { name: "proxy" } }],
            volumeMounts: [
              { name: "cloud-credentials", mountPath: "/credentials" },
              { name: "host-pods", mountPath: "/host_pods", mountPropagation: "HostToContainer" },
            ],
          },
        ],
        volumes: [
          { name: "cloud-credentials", secret: { secretName: "cloud-credentials" } },
          { name: "host-pods", hostPath: { path: "/var/lib/kubelet/pods" } },
        ],
      },
    },
  },
};

export const owner: OwnerReference = {
  apiVersion: "velero.io/v2alpha1",
  kind: "DataUpload",
  name: "backup-1",
  uid: "6b1f",
  controller: true,
};

export function dataUpload(spec: Partial<DataUpload["spec"]> = {}): DataUpload {
  return {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataUpload",
    metadata: { name: "backup-1", namespace },
    spec: {
      backupStorageLocation: "default",
      csiSnapshot: { storageClass: "fast", snapshotClass: "snap", volumeSnapshot: "velero-db-x" },
      datamover: "dm",
      operationTimeout: "10m0s",
      snapshotType: "CSI",
      sourceNamespace: "shop",
      sourcePVC: "db",
      ...spec,
    },
  };
}

export function dataDownload(spec: Partial<DataDownload["spec"]> = {}): DataDownload {
  return {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataDownload",
    metadata: { name: "restore-1", namespace },
    spec: {
      backupStorageLocation: "default",
      datamover: "dm",
      operationTimeout: "10m0s",
      snapshotID: "0123456789abcdef0123456789abcdef",
      sourceNamespace: "shop",
      targetVolume: { namespace: "shop", pvc: "db", pv: "" },
      ...spec,
    },
  };
}
