/** A namespace in which much has gone wrong, in the API server of the testbed, without controllers. */
import { crdManifests } from "@dm/crds";
import type { ClusterApi, NewObject, StoredObject } from "@dm/testbed";

type Fields = Readonly<Record<string, unknown>>;

const velero = "velero.io/v1";
const plurals: Readonly<Record<string, string>> = {
  Backup: "backups.velero.io",
  Restore: "restores.velero.io",
  DataUpload: "datauploads.velero.io",
  DataDownload: "datadownloads.velero.io",
  PodVolumeBackup: "podvolumebackups.velero.io",
  Schedule: "schedules.velero.io",
  DeleteBackupRequest: "deletebackuprequests.velero.io",
  BackupRepository: "backuprepositories.velero.io",
  BackupStorageLocation: "backupstoragelocations.velero.io",
  VolumeSnapshot: "volumesnapshots.snapshot.storage.k8s.io",
  DataProtectionApplication: "dataprotectionapplications.oadp.openshift.io",
  PersistentVolumeClaim: "persistentvolumeclaims",
  Pod: "pods",
  Event: "events",
  Secret: "secrets",
  ConfigMap: "configmaps",
  Namespace: "namespaces",
  DaemonSet: "daemonsets.apps",
  Deployment: "deployments.apps",
};

export interface Made {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly object[];
}

/** An object with its status. */
export function make(
  api: ClusterApi,
  apiVersion: string,
  kind: string,
  { name, namespace = "velero", ...meta }: Made,
  fields: Fields = {},
): StoredObject {
  const resource = plurals[kind] ?? "";
  const isCluster = kind === "Namespace";
  const metadata = { name, ...(isCluster ? {} : { namespace }), ...meta };
  const { status, ...rest } = fields;
  const made = api.create(resource, { apiVersion, kind, metadata, ...rest } as NewObject);
  if (status === undefined) return made;
  const hasSubresource = ["Pod", "PersistentVolumeClaim", "DaemonSet", "Deployment"].includes(kind);
  return api.update(
    resource,
    { ...structuredClone(made), status } as StoredObject,
    hasSubresource || kind === "VolumeSnapshot" ? { subresource: "status" } : {},
  );
}

const labelled = { "velero.io/backup-name": "nightly" };
const container = { name: "mover", image: "example.com/dm:1" };

export function scene(api: ClusterApi): void {
  for (const crd of crdManifests())
    api.create("customresourcedefinitions.apiextensions.k8s.io", crd as unknown as NewObject);
  for (const name of ["velero", "shop"]) make(api, "v1", "Namespace", { name });
  make(
    api,
    velero,
    "BackupStorageLocation",
    { name: "default" },
    {
      spec: { provider: "aws", objectStorage: { bucket: "backups" }, config: { region: "here" } },
      status: { phase: "Available" },
    },
  );
  make(
    api,
    velero,
    "Backup",
    { name: "nightly", labels: { "velero.io/schedule-name": "daily" } },
    {
      spec: { storageLocation: "default", includedNamespaces: ["shop"] },
      status: { phase: "PartiallyFailed", errors: 1 },
    },
  );
  make(
    api,
    "velero.io/v2alpha1",
    "DataUpload",
    { name: "up-1", labels: labelled },
    {
      spec: {
        backupStorageLocation: "default",
        csiSnapshot: { storageClass: "fast", volumeSnapshot: "snap-1" },
        datamover: "dm",
        operationTimeout: "10m0s",
        snapshotType: "CSI",
        sourceNamespace: "shop",
        sourcePVC: "data",
      },
      status: { phase: "Failed", message: "timeout on preparing data upload" },
    },
  );
  const pod = make(
    api,
    "v1",
    "Pod",
    { name: "up-1" },
    {
      spec: { containers: [container] },
      status: {
        phase: "Pending",
        conditions: [
          {
            type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message: "0/2 nodes are available: 2 Insufficient cpu.",
          },
        ],
      },
    },
  );
  make(
    api,
    "v1",
    "Event",
    { name: "up-1.1" },
    {
      involvedObject: { kind: "Pod", name: "up-1", namespace: "velero", uid: pod.metadata.uid },
      type: "Warning",
      reason: "FailedScheduling",
      message: "0/2 nodes are available: 2 Insufficient cpu.",
      lastTimestamp: "2026-11-25T12:00:00Z",
    },
  );
  const claim = {
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  };
  make(api, "v1", "PersistentVolumeClaim", { name: "up-1" }, claim);
  make(api, "v1", "PersistentVolumeClaim", { name: "data", namespace: "shop" }, claim);
  make(
    api,
    "snapshot.storage.k8s.io/v1",
    "VolumeSnapshot",
    { name: "snap-1", namespace: "shop", labels: labelled },
    { spec: { source: { persistentVolumeClaimName: "data" } }, status: { readyToUse: true } },
  );
  make(api, "v1", "Pod", { name: "web", namespace: "shop" }, { spec: { containers: [container] } });
  make(
    api,
    velero,
    "PodVolumeBackup",
    { name: "pvb-1", labels: labelled },
    {
      spec: {
        backupStorageLocation: "default",
        node: "node-1",
        pod: { kind: "Pod", name: "web", namespace: "shop" },
        repoIdentifier: "",
        uploaderType: "kopia",
        volume: "cache",
      },
      status: { phase: "InProgress" },
    },
  );
  make(
    api,
    velero,
    "Restore",
    { name: "back" },
    {
      spec: { backupName: "nightly" },
      status: { phase: "WaitingForPluginOperations" },
    },
  );
  make(
    api,
    "velero.io/v2alpha1",
    "DataDownload",
    { name: "down-1", labels: { "velero.io/restore-name": "back" } },
    {
      spec: {
        backupStorageLocation: "default",
        datamover: "dm",
        operationTimeout: "10m0s",
        snapshotID: "k1",
        sourceNamespace: "shop",
        targetVolume: { namespace: "shop", pvc: "data", pv: "" },
      },
      status: { phase: "Accepted" },
    },
  );
  make(
    api,
    velero,
    "Schedule",
    { name: "daily" },
    {
      spec: { schedule: "@daily", template: { storageLocation: "default" } },
      status: { phase: "Enabled" },
    },
  );
  make(
    api,
    velero,
    "DeleteBackupRequest",
    { name: "gone" },
    {
      spec: { backupName: "nightly" },
      status: { phase: "Processed", errors: ["error deleting the backup: busy"] },
    },
  );
  make(
    api,
    velero,
    "BackupRepository",
    { name: "shop-default-kopia" },
    {
      spec: {
        backupStorageLocation: "default",
        maintenanceFrequency: "1h0m0s",
        repositoryType: "kopia",
        resticIdentifier: "",
        volumeNamespace: "shop",
      },
      status: { phase: "Ready" },
    },
  );
  const application = make(
    api,
    "oadp.openshift.io/v1alpha1",
    "DataProtectionApplication",
    { name: "main" },
    {
      spec: { configuration: {} },
      status: { conditions: [{ type: "Reconciled", status: "False", message: "cannot be nil" }] },
    },
  );
  const bucket = { provider: "aws", objectStorage: { bucket: "other" } };
  const { uid } = application.metadata;
  const owner = { apiVersion: "oadp.openshift.io/v1alpha1", kind: application.kind, name: "main" };
  const ownerReferences = [{ ...owner, uid }];
  make(
    api,
    velero,
    "BackupStorageLocation",
    { name: "main-1", ownerReferences },
    {
      spec: bucket,
      status: { phase: "Available" },
    },
  );
  workload(api, "DaemonSet", "node-agent", { numberReady: 1, desiredNumberScheduled: 1 });
  workload(api, "Deployment", "velero", { readyReplicas: 1 });
}

/** With one pod that runs. */
function workload(api: ClusterApi, kind: string, name: string, status: Fields): void {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [container] } };
  const spec = { selector: { matchLabels: labels }, template };
  make(api, "apps/v1", kind, { name }, { spec, status });
  make(
    api,
    "v1",
    "Pod",
    { name: `${name}-1`, labels },
    {
      spec: { containers: [container], nodeName: "node-1" },
      status: { phase: "Running" },
    },
  );
}
