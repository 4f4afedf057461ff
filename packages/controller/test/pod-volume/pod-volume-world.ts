/**
 * A whole embedded cluster with one node, a node agent in this process and movers as processes of their own, a storage location in a
 * directory with a repository, and pods whose volumes are directories.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  backupRepositoryLabels,
  backupRepositoryName,
  crdManifests,
  isFinalPhase,
  labels,
  type Pod,
} from "@dm/crds";
import {
  connectOrCreateVeleroRepository,
  openVeleroStore,
  type VeleroLocation,
  veleroDefaultPassword,
} from "@dm/snapshot/velero";
import { type Cluster, type NewObject, type StoredObject, startCluster } from "@dm/testbed";
import { addNodeAgent } from "../../src/node-agent/node-agent.ts";
import {
  createEventRecorder,
  createManager,
  jsonLogger,
  type NodeKubeClient,
  nodeKubeClient,
} from "../../src/runtime/index.ts";

export const operator = "velero";
export const location = "default";

const mover = join(import.meta.dirname, "../mover/mover-child.ts");
/** As the program of an image does: until the file is in every volume. */
const wait = `IFS=:; for p in $RESTORE_PATHS; do until [ -f "$p/.velero/$1" ]; do sleep 0.05; done; done`;

export class PodVolumeWorld implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly folder: string;
  readonly store: VeleroLocation;
  readonly log: string[] = [];
  readonly #client: NodeKubeClient;
  readonly #stop = new AbortController();
  #agent: Promise<void> | undefined;

  private constructor(cluster: Cluster, folder: string) {
    this.cluster = cluster;
    this.folder = folder;
    this.store = { provider: "fs", config: { fspath: join(folder, "store") } };
    this.#client = nodeKubeClient({ kubeconfig: cluster.kubeconfig });
  }

  static async start(namespaces: readonly string[]): Promise<PodVolumeWorld> {
    const cluster = await startCluster({
      csi: { canMount: false },
      images: {
        "dm:1": [process.execPath, "--conditions=@dm/source", mover],
        "wait:1": ["/bin/sh", "-c", wait, "wait"],
        "sh:1": ["/bin/sh", "-c"],
      },
      times: { restartMs: 20, mountRetryMs: 20, retryMs: 20 },
    });
    const folder = await mkdtemp(join(tmpdir(), "dm-pod-volumes-"));
    const world = new PodVolumeWorld(cluster, folder);
    for (const crd of crdManifests())
      world.make("customresourcedefinitions.apiextensions.k8s.io", crd);
    for (const name of [operator, ...namespaces])
      world.make("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    world.make("storageclasses.storage.k8s.io", {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "fast" },
      provisioner: "csi.testbed.dm",
    });
    world.make("clusterrolebindings.rbac.authorization.k8s.io", {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "movers" },
      roleRef: {
        apiGroup: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        name: "cluster-admin",
      },
      subjects: [{ kind: "ServiceAccount", name: "default", namespace: operator }],
    });
    world.make("backupstoragelocations.velero.io", {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: location, namespace: operator },
      spec: { ...world.store, objectStorage: { bucket: "backups" } },
    });
    const password = Buffer.from(veleroDefaultPassword).toString("base64");
    world.make("secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "velero-repo-credentials", namespace: operator },
      data: { "repository-password": password },
    });
    return world;
  }

  get api() {
    return this.cluster.api;
  }

  make(resource: string, object: object): StoredObject {
    return this.api.create(resource, object as NewObject);
  }

  /** A repository of this namespace, new or from these blobs, and the object that says so. */
  async makeRepository(namespace: string, blobs?: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const store = await openVeleroStore(this.store, namespace, { create: true });
    if (blobs) for (const [id, bytes] of blobs) await store.put(id, bytes);
    else {
      const password = veleroDefaultPassword;
      await using made = await connectOrCreateVeleroRepository(store, { password });
      void made;
    }
    const key = { volumeNamespace: namespace, backupStorageLocation: location };
    const name = backupRepositoryName(key);
    this.make("backuprepositories.velero.io", {
      apiVersion: "velero.io/v1",
      kind: "BackupRepository",
      metadata: { name, namespace: operator, labels: backupRepositoryLabels(key) },
      spec: { ...key, repositoryType: "kopia", maintenanceFrequency: "1h0m0s" },
      status: { phase: "Ready" },
    });
  }

  startAgent(): void {
    const [node] = this.cluster.nodes;
    if (node === undefined) throw new Error("no node");
    const client = this.#client;
    const logger = jsonLogger({ write: (line) => this.log.push(line) });
    const manager = createManager({ client, logger });
    addNodeAgent(manager, {
      client,
      recorder: createEventRecorder(client, { component: "node-agent", host: node.name }),
      namespace: operator,
      node: node.name,
      agentSelector: `${labels.role}=node-agent`,
      template: {
        image: "dm:1",
        program: [],
        logArgs: [],
        imagePullSecrets: [],
        env: [{ name: "NODE_NAME", value: node.name }],
        envFrom: [],
        volumes: [],
        volumeMounts: [],
        tolerations: [],
        labels: {},
        annotations: {},
      },
      hostPods: { root: node.podsDirectory },
      settings: { podVolumes: true, exposePollMs: 100, queuePollMs: 100, peekMs: 2_000 },
      podLog: (key, limits) => client.podLog(key, limits),
      logger,
    });
    this.#agent = manager.run(this.#stop.signal);
  }

  claim(namespace: string, name: string): void {
    this.make("persistentvolumeclaims", {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace },
      spec: {
        storageClassName: "fast",
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "10Mi" } },
      },
    });
  }

  /** As a client sends it. */
  async pod(pod: Pod): Promise<Pod> {
    return this.make("pods", pod) as never as Pod;
  }

  getPod(namespace: string, name: string): Pod | undefined {
    return this.api.get("pods", namespace, name) as never as Pod | undefined;
  }

  async until<T>(what: () => T | undefined | false): Promise<T> {
    for (let round = 0; round < 1_200; round++) {
      const found = what();
      if (found !== undefined && found !== false) return found;
      await pause(25);
    }
    throw new Error(`still not: ${what}\n${this.log.slice(-20).join("\n")}`);
  }

  running(namespace: string, name: string): Promise<Pod> {
    return this.until(() => {
      const pod = this.getPod(namespace, name);
      return pod?.status?.phase === "Running" && pod;
    });
  }

  /** The status once it is final. */
  async ended(kind: "PodVolumeBackup" | "PodVolumeRestore", name: string) {
    const resource = `${kind.toLowerCase()}s.velero.io`;
    const object = await this.until(() => {
      const found = this.api.get(resource, operator, name);
      return isFinalPhase(found?.status?.phase) && found;
    });
    return object.status;
  }

  async removePod(namespace: string, name: string): Promise<void> {
    this.api.delete("pods", namespace, name, { gracePeriodSeconds: 0 });
    await this.until(() => this.getPod(namespace, name) === undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#agent;
    this.#client.close();
    await this.cluster.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
