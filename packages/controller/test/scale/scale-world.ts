/**
 * A cluster of whose parts only two are played: kubelets, which say that a pod runs, and movers, which tell progress and their result
 * as real ones do, by Events and a termination message. Storage, scheduler and controllers are those of the testbed.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nsPerMs, systemClock } from "@dm/core";
import { crdManifests, isFinalPhase, labels } from "@dm/crds";
import {
  type ApiServer,
  type ClusterApi,
  CsiDriver,
  createApiServer,
  type NewObject,
  type StoredObject,
  startControllers,
  startScheduler,
  startStorage,
} from "@dm/testbed";
import { dataPathReasons, encodeBackupResult, encodeProgress } from "../../src/mover/index.ts";

export const operator = "velero";
export const app = "app";
export const uploads = "datauploads.velero.io";
const claims = "persistentvolumeclaims";
const snapshots = "volumesnapshots.snapshot.storage.k8s.io";
const contents = "volumesnapshotcontents.snapshot.storage.k8s.io";
/** No part of this cluster is ever lost, and its nodes have no heartbeat. */
const nodeGraceMs = 24 * 3_600_000;

export interface ScaleOptions {
  readonly nodes: readonly string[];
  /** Of every mover: how often it tells progress, and the time between. */
  readonly reports: number;
  readonly reportMs: number;
  readonly faultSeed: number;
}

export class ScaleWorld implements AsyncDisposable {
  readonly server: ApiServer;
  readonly driver: CsiDriver;
  readonly directory: string;
  /** By node: the most movers that ran at once. */
  readonly mostMovers = new Map<string, number>();
  /** How many movers have begun. */
  movers = 0;
  readonly #options: ScaleOptions;
  readonly #running = new Map<string, number>();
  /** uids of pods whose mover has begun. */
  readonly #begun = new Set<string>();
  readonly #stop = new AbortController();
  readonly #closers: (() => unknown)[] = [];
  #events = 0;

  private constructor(
    options: ScaleOptions,
    parts: { server: ApiServer; driver: CsiDriver; directory: string },
  ) {
    this.#options = options;
    this.server = parts.server;
    this.driver = parts.driver;
    this.directory = parts.directory;
  }

  static async open(options: ScaleOptions): Promise<ScaleWorld> {
    const directory = await mkdtemp(join(tmpdir(), "dm-scale-"));
    const server = await createApiServer({ faultSeed: options.faultSeed });
    const driver = await CsiDriver.open({ clock: systemClock, canMount: false });
    const world = new ScaleWorld(options, { server, driver, directory });
    world.#start();
    return world;
  }

  get api(): ClusterApi {
    return this.server.cluster;
  }

  #make(resource: string, object: object): StoredObject {
    return this.api.create(resource, object as NewObject);
  }

  #start(): void {
    const { api } = this;
    for (const crd of crdManifests())
      this.#make("customresourcedefinitions.apiextensions.k8s.io", crd);
    for (const name of [operator, app])
      this.#make("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    this.#make("storageclasses.storage.k8s.io", {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "csi" },
      provisioner: this.driver.name,
      volumeBindingMode: "Immediate",
    });
    this.#make("volumesnapshotclasses.snapshot.storage.k8s.io", {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotClass",
      metadata: { name: "csi" },
      driver: this.driver.name,
      deletionPolicy: "Delete",
    });
    for (const name of this.#options.nodes) this.#addNode(name);
    const parts = [
      startControllers({ api, nodeGraceMs }),
      startScheduler({ api }),
      startStorage({ api, driver: this.driver }),
    ];
    this.#closers.push(
      ...parts.map((part) => () => part.close()),
      api.watch("pods", ({ type, object }) => type !== "DELETED" && this.#runPod(object)),
      api.watch(uploads, ({ type, object }) => {
        const { namespace = "", name } = object.metadata;
        const pod = type === "DELETED" ? undefined : api.get("pods", namespace, name);
        if (pod) this.#beginMover(pod, object);
      }),
    );
  }

  /** A node, its agent's pod and its agent's account, which may do everything. */
  #addNode(name: string): void {
    this.#make("nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { [labels.nodeOS]: "linux", [labels.hostname]: name } },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
    const agent = agentOf(name);
    this.#make("serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: agent, namespace: operator },
    });
    const group = "rbac.authorization.k8s.io";
    this.#make(`clusterrolebindings.${group}`, {
      apiVersion: `${group}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: agent },
      roleRef: { apiGroup: group, kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "ServiceAccount", name: agent, namespace: operator }],
    });
    this.#make("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: agent, namespace: operator, labels: { role: "node-agent" } },
      spec: { nodeName: name, containers: [{ name: "node-agent", image: "dm:1" }] },
    });
  }

  async kubeconfigOf(node: string): Promise<string> {
    const path = join(this.directory, `${node}.kubeconfig`);
    await this.server.kubeconfig(path, {
      serviceAccount: { namespace: operator, name: agentOf(node) },
    });
    return path;
  }

  /** What the kubelets do. */
  #runPod(pod: StoredObject): void {
    const { name, namespace = "", deletionTimestamp } = pod.metadata;
    if (!pod.spec.nodeName) return;
    if (deletionTimestamp) {
      this.api.delete("pods", namespace, name, { gracePeriodSeconds: 0 });
      return;
    }
    const { phase = "Pending" } = pod.status ?? {};
    if (phase === "Pending") this.#setPod(pod, "Running", { running: { startedAt: now() } });
    if (phase !== "Running") return;
    const upload = this.api.get(uploads, namespace, name);
    if (upload) this.#beginMover(pod, upload);
  }

  #setPod(pod: StoredObject, phase: string, state: object): void {
    const { name, namespace = "" } = pod.metadata;
    const [{ name: container, image }] = pod.spec.containers;
    const ready = phase === "Running";
    const status = { name: container, image, imageID: "", ready, restartCount: 0, state };
    this.api.modify(
      "pods",
      namespace,
      name,
      (object) => {
        object.status = { ...object.status, phase, containerStatuses: [status] };
      },
      { subresource: "status" },
    );
  }

  /** A mover begins once its pod runs and its DataUpload is in progress. */
  #beginMover(pod: StoredObject, upload: StoredObject): void {
    const { uid } = pod.metadata;
    const isOwn = pod.metadata.ownerReferences?.[0]?.uid === upload.metadata.uid;
    if (!isOwn || pod.status?.phase !== "Running" || upload.status?.phase !== "InProgress") return;
    if (this.#begun.has(uid)) return;
    this.#begun.add(uid);
    this.movers++;
    this.#move(pod, upload).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  async #move(pod: StoredObject, upload: StoredObject): Promise<void> {
    const { nodeName } = pod.spec;
    const { reports, reportMs } = this.#options;
    const running = (this.#running.get(nodeName) ?? 0) + 1;
    this.#running.set(nodeName, running);
    this.mostMovers.set(nodeName, Math.max(running, this.mostMovers.get(nodeName) ?? 0));
    this.#tell(upload, dataPathReasons.started, "started");
    const totalBytes = 1 << 20;
    const told = this.#tell(
      upload,
      dataPathReasons.progress,
      encodeProgress({ totalBytes, doneBytes: 0 }),
    );
    for (let report = 1; report <= reports; report++) {
      await systemClock.sleep(reportMs, { signal: this.#stop.signal });
      const doneBytes = Math.round((totalBytes * report) / reports);
      this.api.modify("events", operator, told, (event) => {
        event["message"] = encodeProgress({ totalBytes, doneBytes });
        event["lastTimestamp"] = now();
      });
    }
    const { name, uid } = upload.metadata;
    const message = encodeBackupResult({
      snapshotID: snapshotIdOf(name),
      emptySnapshot: false,
      source: { byPath: `/${uid}`, volumeMode: "Filesystem" },
      totalBytes,
      incrementalBytes: totalBytes,
    });
    this.#tell(upload, dataPathReasons.completed, message);
    this.#running.set(nodeName, (this.#running.get(nodeName) ?? 0) - 1);
    this.#setPod(pod, "Succeeded", { terminated: { exitCode: 0, reason: "Completed", message } });
  }

  /** Returns the Event's name. */
  #tell({ kind, metadata }: StoredObject, reason: string, message: string): string {
    const { name, namespace = "", uid } = metadata;
    const eventName = `${name}.${++this.#events}`;
    this.#make("events", {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: eventName, namespace },
      involvedObject: { kind, name, namespace, uid },
      type: "Normal",
      reason,
      message,
      firstTimestamp: now(),
      lastTimestamp: now(),
    });
    return eventName;
  }

  /** Volumes that are bound, and volume snapshots of them that are ready. */
  async makeSources(names: readonly string[]): Promise<void> {
    for (const name of names)
      this.#make(claims, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name, namespace: app },
        spec: {
          accessModes: ["ReadWriteOnce"],
          storageClassName: "csi",
          resources: { requests: { storage: "1Mi" } },
        },
      });
    await this.until(() =>
      this.api.list(claims, app).every(({ status }) => status?.phase === "Bound"),
    );
    for (const name of names)
      this.#make(snapshots, {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshot",
        metadata: { name: snapshotOf(name), namespace: app },
        spec: {
          volumeSnapshotClassName: "csi",
          source: { persistentVolumeClaimName: name },
        },
      });
    await this.until(() =>
      this.api.list(snapshots, app).every(({ status }) => status?.readyToUse === true),
    );
  }

  makeUploads(names: readonly string[]): void {
    for (const name of names)
      this.#make(uploads, {
        apiVersion: "velero.io/v2alpha1",
        kind: "DataUpload",
        metadata: { name, namespace: operator },
        spec: {
          snapshotType: "CSI",
          csiSnapshot: {
            storageClass: "csi",
            volumeSnapshot: snapshotOf(name),
            snapshotClass: "csi",
          },
          sourcePVC: name,
          sourceNamespace: app,
          backupStorageLocation: "default",
          operationTimeout: "10m0s",
          datamover: "dm",
        },
      });
  }

  /** Fails with what the DataUploads are when it does not come to hold. */
  async until(holds: () => boolean | Promise<boolean>, forMs = 60_000): Promise<void> {
    const sinceNs = systemClock.nowNs();
    while (!(await holds())) {
      if (systemClock.nowNs() - sinceNs > BigInt(forMs) * nsPerMs)
        throw new Error(`still not after ${forMs} ms: ${holds}; ${this.unfinished()}`);
      await systemClock.sleep(100);
    }
  }

  unfinished(): string {
    const open = this.api
      .list(uploads, operator)
      .filter(({ status }) => !isFinalPhase(status?.phase))
      .map(({ metadata, status }) => ({ ...metadata, managedFields: undefined, status }));
    return JSON.stringify(open.slice(0, 3));
  }

  /** What is not the application's own, in the cluster and in the storage. */
  leftovers(names: readonly string[]): string[] {
    const { api } = this;
    const own = new Set(api.list(claims, app).map(({ spec }) => spec.volumeName));
    const isAgent = (pod: StoredObject): boolean => pod.metadata.labels?.["role"] === "node-agent";
    return [
      ...api.list("pods").filter((pod) => !isAgent(pod)),
      ...api.list(claims, operator),
      ...api.list("persistentvolumes").filter(({ metadata }) => !own.has(metadata.name)),
      ...api.list(snapshots),
      ...api.list(contents),
    ]
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      .concat(this.driver.snapshots().map(({ name }) => `storage's snapshot ${name}`))
      .concat(
        this.driver.volumes().length > names.length
          ? [`${this.driver.volumes().length - names.length} volumes in the storage`]
          : [],
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the test is over"));
    for (const close of this.#closers.reverse()) await close();
    await this.server.close();
    await this.driver.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export const agentOf = (node: string): string => `node-agent-${node}`;
const snapshotOf = (name: string): string => `velero-${name}`;
const now = (): string => new Date(Number(systemClock.nowNs() / nsPerMs)).toISOString();

/** 32 hexadecimal digits, other ones for each name. */
export function snapshotIdOf(name: string): string {
  return Buffer.from(name).toString("hex").padStart(32, "0");
}
