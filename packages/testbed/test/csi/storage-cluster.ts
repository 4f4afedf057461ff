/** A cluster with classes for volumes and their snapshots, and pods that use claims. */
import type { Cluster } from "../../src/cluster.ts";
import { resources } from "../../src/csi/storage-names.ts";
import type { Json } from "../../src/kube-object.ts";
import {
  createPod,
  logOf,
  openCluster,
  phase,
  shell,
  until,
  untilGone,
  untilPod,
} from "../kubelet/running-cluster.ts";
import { createSnapshotKinds } from "./snapshot-kinds.ts";

export async function openWithStorage(options: Json = {}): Promise<Cluster> {
  const cluster = await openCluster({ csi: { canMount: false }, ...options });
  createKinds(cluster);
  return cluster;
}

export function createKinds(cluster: Cluster): void {
  const { api } = cluster;
  createSnapshotKinds(api);
  const meta = (name: string): Json => ({ metadata: { name } });
  const fstype = "csi.storage.k8s.io/fstype";
  for (const [name, more] of Object.entries<Json>({
    standard: {},
    late: { volumeBindingMode: "WaitForFirstConsumer" },
    ext4: { parameters: { [fstype]: "ext4" } },
    xfs: { parameters: { [fstype]: "xfs" } },
  }))
    api.create(resources.storageClasses, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      ...meta(name),
      provisioner: "csi.testbed.dm",
      ...more,
    });
  api.create(resources.snapshotClasses, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotClass",
    ...meta("standard"),
    driver: "csi.testbed.dm",
    deletionPolicy: "Delete",
  });
}

export function createClaim({ api }: Cluster, name: string, spec: Json = {}): void {
  api.create(resources.claims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "standard",
      resources: { requests: { storage: "1Mi" } },
      ...spec,
    },
  });
}

export async function cut({ api }: Cluster, name: string, claim: string): Promise<void> {
  api.create(resources.snapshots, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshot",
    metadata: { name, namespace: "default" },
    spec: { volumeSnapshotClassName: "standard", source: { persistentVolumeClaimName: claim } },
  });
  await until(
    api,
    resources.snapshots,
    (one) => one.metadata.name === name && one.status?.readyToUse === true,
  );
}

export const from = (name: string): Json => ({
  dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name },
});

/** A pod with the claim at /data, a directory or a device. */
export function createUser(
  { api }: Cluster,
  name: string,
  claimName: string,
  script: string,
  spec: Json = {},
  isBlock = false,
): void {
  const place = isBlock
    ? { volumeDevices: [{ name: "v", devicePath: "/data" }] }
    : { volumeMounts: [{ name: "v", mountPath: "/data" }] };
  createPod(api, name, {
    terminationGracePeriodSeconds: 0,
    containers: [shell(script, place)],
    volumes: [{ name: "v", persistentVolumeClaim: { claimName } }],
    ...spec,
  });
}

export async function read(
  cluster: Cluster,
  name: string,
  claim: string,
  script: string,
  isBlock = false,
): Promise<string> {
  createUser(cluster, name, claim, script, {}, isBlock);
  await untilPod(cluster.api, name, phase("Succeeded"));
  return logOf(cluster, name);
}

export async function deletePod({ api }: Cluster, name: string): Promise<void> {
  api.delete("pods", "default", name);
  await untilGone(api, name);
}
