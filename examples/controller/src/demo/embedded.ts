/**
 * The embedded cluster as the demo wants it: two nodes, a storage class with snapshots, the custom resources, the controllers.
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type NodeKubeClient, nodeKubeClient } from "@dm/controller/runtime";
import { crdManifests, type KubeObject } from "@dm/crds";
import { type Cluster, type ClusterOptions, startCluster } from "@dm/testbed";

/** Programs beside this one, each with all that it needs. */
export interface Programs {
  readonly controller: string;
  readonly demoPod: string;
}

export const storageClass = "demo";
export const snapshotClass = "demo-snapshots";
export const image = "dm";

/** The built programs in the folder of the running one. */
export function builtPrograms(): Programs {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  return {
    controller: join(folder, "dm-controller.js"),
    demoPod: join(folder, "demo-pod.js"),
  };
}

export interface Embedded {
  readonly cluster: Cluster;
  readonly client: NodeKubeClient;
}

export async function startEmbedded(
  directory: string,
  programs: Programs,
  options: Pick<ClusterOptions, "images" | "times" | "nodes"> = {},
): Promise<Embedded> {
  const cluster = await startCluster({
    directory,
    nodes: 2,
    ...options,
    images: {
      ...options.images,
      [image]: { argv: [process.execPath, programs.controller], isEntrypoint: true },
    },
  });
  return { cluster, client: nodeKubeClient({ kubeconfig: cluster.kubeconfig }) };
}

/** What a cluster with a CSI driver has before anybody installs a data mover. */
export function storageObjects(provisioner: string): KubeObject[] {
  return [
    ...crdManifests({ kinds: ["VolumeSnapshot", "VolumeSnapshotContent", "VolumeSnapshotClass"] }),
    object("storage.k8s.io/v1", "StorageClass", storageClass, {
      provisioner,
      reclaimPolicy: "Delete",
      volumeBindingMode: "Immediate",
      allowVolumeExpansion: true,
    }),
    object("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass", snapshotClass, {
      driver: provisioner,
      deletionPolicy: "Delete",
    }),
  ] as KubeObject[];
}

const object = (apiVersion: string, kind: string, name: string, more: object): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name },
  ...more,
});
