/**
 * Storage, scheduler, kubelets, garbage collector and movers of a cluster, as far as a data mover meets them: each looks at the
 * API server's objects when told to, and does one thing. What they do, and what goes wrong, is the test's choice.
 */

import { type Clock, type ManualClock, manualClock, nsPerMs } from "@dm/core";
import { crdManifests, labels } from "@dm/crds";
import { type ApiServer, type ClusterApi, createApiServer, type StoredObject } from "@dm/testbed";
import {
  dataPathReasons,
  encodeBackupResult,
  encodeCanceled,
  encodeProgress,
  encodeRestoreResult,
  isBackup,
} from "../../src/mover/index.ts";
import type { TransferKind } from "../../src/node-agent/transfer.ts";
import { withRestoreWait } from "../../src/pod-volume/index.ts";
import { snapshotID, t0 } from "./objects.ts";

export const operator = "velero";
export const app = "app";
export const resourceOf = (kind: TransferKind): string => `${kind.toLowerCase()}s.velero.io`;
const uploads = resourceOf("DataUpload");
const downloads = resourceOf("DataDownload");
const backups = resourceOf("PodVolumeBackup");
const restores = resourceOf("PodVolumeRestore");
const claims = "persistentvolumeclaims";
const volumes = "persistentvolumes";
const vs = "volumesnapshots.snapshot.storage.k8s.io";
const vsc = "volumesnapshotcontents.snapshot.storage.k8s.io";
const snapshotFinalizer = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
const contentFinalizer = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

/** Of the Restore for which pods wait. */
export const restoreUid = "5d0a7e44-0d8b-4f43-9c55-6f5a3c0f9a10";

/** How the mover in a hosting pod behaves. */
export interface MoverScript {
  /** Ticks until it has its result. */
  ticks: number;
  /** Undefined: the result of a success. */
  failure?: string;
  message?: string;
  ignoresCancel?: boolean;
}

export class FakeCluster {
  readonly clock: ManualClock;
  readonly mover: MoverScript = { ticks: 2 };
  /** Nodes whose kubelet works. */
  readonly nodes = new Set<string>();
  /** Snapshots and volumes in the storage, by handle. */
  readonly storage = new Set<string>();
  /** Where a new pod goes; undefined leaves it unscheduled. */
  schedule: (pod: StoredObject) => string | undefined = () => [...this.nodes][0];
  /** A pod of which this gives a status never runs. */
  podStatus: (pod: StoredObject) => object | undefined = () => undefined;
  /** Pods that found their files. */
  readonly filled = new Set<string>();
  snapshotsReady = true;
  provisions = true;
  server!: ApiServer;
  readonly #movers = new Map<string, { ticks: number; started: boolean }>();
  #serial = 0;
  #events = 0;

  private constructor(clock: ManualClock) {
    this.clock = clock;
  }

  /** With another clock, time is not the test's. */
  static async open(nodes: readonly string[], clock?: Clock): Promise<FakeCluster> {
    const time = clock as ManualClock | undefined;
    const cluster = new FakeCluster(time ?? manualClock(BigInt(t0) * nsPerMs));
    cluster.server = await createApiServer({ clock: cluster.clock, tls: false });
    const { api } = cluster;
    for (const crd of crdManifests())
      api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    for (const name of [operator, app])
      api.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    api.create("storageclasses.storage.k8s.io", {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "csi" },
      provisioner: "csi.test",
      volumeBindingMode: "Immediate",
    });
    for (const name of nodes) cluster.addNode(name);
    return cluster;
  }

  get api(): ClusterApi {
    return this.server.cluster;
  }

  get nowMs(): number {
    return Number(this.clock.nowNs() / nsPerMs);
  }

  addNode(name: string): void {
    this.nodes.add(name);
    this.api.create("nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { [labels.nodeOS]: "linux", [labels.hostname]: name } },
    });
  }

  /** A claim with data, and its snapshot, as a Backup leaves them to a DataUpload. */
  source(name: string, deletionPolicy = "Delete"): void {
    const handle = `snapshot-of-${name}`;
    this.claim(app, name);
    this.provision();
    this.storage.add(handle);
    const snapshot = this.api.create(vs, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { name: `velero-${name}`, namespace: app },
      spec: {
        volumeSnapshotClassName: "snapclass",
        source: { persistentVolumeClaimName: name },
      },
    });
    this.api.create(vsc, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotContent",
      metadata: { name: `content-${name}` },
      spec: {
        deletionPolicy,
        driver: "csi.test",
        volumeSnapshotClassName: "snapclass",
        source: { volumeHandle: `volume-${name}` },
        volumeSnapshotRef: { name: `velero-${name}`, namespace: app, uid: snapshot.metadata.uid },
      },
    });
    this.#protect(vsc, "", `content-${name}`, contentFinalizer);
    this.#protect(vs, app, `velero-${name}`, snapshotFinalizer);
    const status = { readyToUse: true, snapshotHandle: handle, restoreSize: 1 << 20 };
    this.setStatus(vsc, "", `content-${name}`, status);
    this.setStatus(vs, app, `velero-${name}`, {
      readyToUse: true,
      boundVolumeSnapshotContentName: `content-${name}`,
      restoreSize: "1Mi",
    });
  }

  /** A claim that waits to be filled. */
  target(name: string): void {
    this.claim(app, name, {
      selector: { matchLabels: { [labels.dynamicPVRestore]: `${app}.${name}.abcde` } },
    });
  }

  claim(namespace: string, name: string, spec: object = {}): void {
    this.api.create(claims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "csi",
        resources: { requests: { storage: "1Mi" } },
        ...spec,
      },
    });
  }

  upload(name: string, spec: object = {}): void {
    this.api.create(uploads, {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      metadata: { name, namespace: operator },
      spec: {
        snapshotType: "CSI",
        csiSnapshot: { storageClass: "csi", volumeSnapshot: `velero-${name}`, snapshotClass: "" },
        sourcePVC: name,
        sourceNamespace: app,
        backupStorageLocation: "default",
        operationTimeout: "10m0s",
        datamover: "dm",
        ...spec,
      },
    });
  }

  download(name: string, spec: object = {}): void {
    this.api.create(downloads, {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataDownload",
      metadata: { name, namespace: operator },
      spec: {
        snapshotID,
        targetVolume: { namespace: app, pvc: name, pv: "" },
        sourceNamespace: app,
        backupStorageLocation: "default",
        operationTimeout: "10m0s",
        datamover: "dm",
        ...spec,
      },
    });
  }

  /** A pod with a volume, on a node; one that waits for its files when it is to be restored. */
  client(name: string, waits: boolean): StoredObject {
    const spec = { containers: [{ name: "main", image: "app:1" }], volumes: [{ name: "data" }] };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: app }, spec };
    Object.assign(spec.volumes[0] as object, { emptyDir: {} });
    const made = waits ? withRestoreWait(pod, restoreUid, ["data"], { image: "dm:1" }) : pod;
    const created = this.api.create("pods", made as never);
    this.work();
    return created;
  }

  podBackup(name: string, spec: object = {}): void {
    const { metadata } = this.client(name, false);
    const node = this.api.get("pods", app, name)?.spec.nodeName;
    this.api.create(backups, {
      apiVersion: "velero.io/v1",
      kind: "PodVolumeBackup",
      metadata: { name, namespace: operator },
      spec: { ...this.#specOfPods(metadata), node, ...spec },
    });
  }

  podRestore(name: string, spec: object = {}): void {
    const { metadata } = this.client(name, true);
    this.api.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "PodVolumeRestore",
      metadata: { name, namespace: operator },
      spec: { ...this.#specOfPods(metadata), snapshotID, sourceNamespace: app, ...spec },
    });
  }

  #specOfPods({ name, uid }: StoredObject["metadata"]): object {
    return {
      backupStorageLocation: "default",
      repoIdentifier: "",
      uploaderType: "kopia",
      pod: { kind: "Pod", namespace: app, name, uid },
      volume: "data",
    };
  }

  /** One volume to move, and the object that asks for it. */
  make(kind: TransferKind, name: string, spec: object = {}): void {
    if (kind === "DataUpload") this.source(name);
    if (kind === "DataDownload") this.target(name);
    const makers = {
      DataUpload: this.upload,
      DataDownload: this.download,
      PodVolumeBackup: this.podBackup,
      PodVolumeRestore: this.podRestore,
    };
    makers[kind].call(this, name, spec);
  }

  /** All parts that do not depend on time, once. */
  work(): void {
    this.bindSnapshots();
    this.unprotect();
    this.dropContents();
    this.provision();
    this.bindTargets();
    this.releaseVolumes();
    this.schedulePods();
    this.runPods();
    this.collectGarbage();
  }

  bindSnapshots(): void {
    if (!this.snapshotsReady) return;
    for (const snapshot of this.api.list(vs, operator)) {
      const contentName = snapshot.spec.source?.volumeSnapshotContentName;
      const content = this.api.get(vsc, "", contentName ?? "");
      if (snapshot.status?.readyToUse || content === undefined) continue;
      const handle = content.spec.source.snapshotHandle;
      if (!this.storage.has(handle)) continue;
      const size = 1 << 20;
      this.#protect(vsc, "", contentName, contentFinalizer);
      this.#protect(vs, operator, snapshot.metadata.name, snapshotFinalizer);
      this.setStatus(vsc, "", contentName, {
        readyToUse: true,
        snapshotHandle: handle,
        restoreSize: size,
      });
      this.setStatus(vs, operator, snapshot.metadata.name, {
        readyToUse: true,
        boundVolumeSnapshotContentName: contentName,
        restoreSize: "1Mi",
      });
    }
  }

  /** Contents that are deleted, or whose snapshot is. */
  dropContents(): void {
    for (const { metadata } of this.api.list(vs))
      if (metadata.deletionTimestamp)
        this.#unprotect(vs, metadata.namespace ?? "", metadata.name, snapshotFinalizer);
    for (const content of this.api.list(vsc)) {
      const { name, deletionTimestamp } = content.metadata;
      const { volumeSnapshotRef: ref, deletionPolicy, source } = content.spec;
      const handle = content.status?.snapshotHandle ?? source.snapshotHandle;
      const isBound = content.metadata.finalizers?.includes(contentFinalizer) ?? false;
      const snapshot = this.api.get(vs, ref.namespace, ref.name);
      const isOrphan = isBound && ref.uid !== undefined && snapshot?.metadata.uid !== ref.uid;
      if (isOrphan && deletionPolicy === "Delete" && !deletionTimestamp)
        this.api.delete(vsc, "", name);
      else if (!deletionTimestamp) continue;
      if (deletionPolicy === "Delete") this.storage.delete(handle);
      this.#unprotect(vsc, "", name, contentFinalizer);
    }
  }

  #protect(resource: string, namespace: string, name: string, finalizer: string): void {
    this.api.modify(resource, namespace, name, ({ metadata }) => {
      metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
    });
  }

  #unprotect(resource: string, namespace: string, name: string, finalizer: string): void {
    this.api.modify(resource, namespace, name, ({ metadata }) => {
      metadata.finalizers = (metadata.finalizers ?? []).filter((each) => each !== finalizer);
    });
  }

  /** Claims that no pod uses any more, and volumes without a claim. */
  unprotect(): void {
    const used = new Set(
      this.api
        .list("pods")
        .flatMap(({ metadata, spec }) =>
          (spec.volumes ?? []).map(
            (volume: { persistentVolumeClaim?: { claimName: string } }) =>
              `${metadata.namespace}/${volume.persistentVolumeClaim?.claimName}`,
          ),
        ),
    );
    for (const { metadata } of this.api.list(claims)) {
      const { namespace = "", name, deletionTimestamp } = metadata;
      if (deletionTimestamp && !used.has(`${namespace}/${name}`))
        this.#unprotect(claims, namespace, name, "kubernetes.io/pvc-protection");
    }
    for (const { metadata } of this.api.list(volumes))
      if (metadata.deletionTimestamp) {
        this.#unprotect(volumes, "", metadata.name, "kubernetes.io/pv-protection");
        this.storage.delete(metadata.name);
      }
  }

  provision(): void {
    if (!this.provisions) return;
    for (const claim of this.api.list(claims)) {
      const { name, namespace = "", uid } = claim.metadata;
      const { volumeName, selector, dataSource } = claim.spec;
      if (volumeName || selector || claim.metadata.deletionTimestamp) continue;
      if (dataSource) {
        const snapshot = this.api.get(vs, namespace, dataSource.name);
        if (!snapshot?.status?.readyToUse) continue;
      }
      const volume = `pv-${++this.#serial}`;
      this.storage.add(volume);
      this.api.create(volumes, {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: volume },
        spec: {
          accessModes: ["ReadWriteOnce"],
          capacity: { storage: "1Mi" },
          persistentVolumeReclaimPolicy: "Delete",
          storageClassName: "csi",
          csi: { driver: "csi.test", volumeHandle: volume },
          claimRef: { kind: "PersistentVolumeClaim", apiVersion: "v1", namespace, name, uid },
        },
      });
      this.setStatus(volumes, "", volume, { phase: "Bound" });
      this.api.modify(claims, namespace, name, (object) => {
        object.spec.volumeName = volume;
      });
      this.setStatus(claims, namespace, name, { phase: "Bound" });
    }
  }

  bindTargets(): void {
    for (const claim of this.api.list(claims)) {
      const { name, namespace = "", uid } = claim.metadata;
      const volume = this.api.get(volumes, "", claim.spec.volumeName ?? "");
      if (volume === undefined || claim.status?.phase === "Bound") continue;
      const ref = volume.spec.claimRef;
      if (ref?.namespace !== namespace || ref?.name !== name) continue;
      this.api.modify(volumes, "", volume.metadata.name, (object) => {
        object.spec.claimRef.uid = uid;
      });
      this.setStatus(volumes, "", volume.metadata.name, { phase: "Bound" });
      this.setStatus(claims, namespace, name, { phase: "Bound" });
    }
  }

  releaseVolumes(): void {
    for (const volume of this.api.list(volumes)) {
      const { claimRef: ref, persistentVolumeReclaimPolicy: policy } = volume.spec;
      if (!ref?.uid) continue;
      if (this.api.get(claims, ref.namespace, ref.name)?.metadata.uid === ref.uid) continue;
      if (policy === "Delete") {
        if (!volume.metadata.deletionTimestamp) this.api.delete(volumes, "", volume.metadata.name);
      } else if (volume.status?.phase !== "Released") {
        this.setStatus(volumes, "", volume.metadata.name, { phase: "Released" });
      }
    }
  }

  schedulePods(): void {
    for (const pod of this.api.list("pods")) {
      if (pod.spec.nodeName) continue;
      const isBound = (volume: { persistentVolumeClaim?: { claimName: string } }): boolean => {
        const { claimName } = volume.persistentVolumeClaim ?? {};
        const { namespace = "" } = pod.metadata;
        return !claimName || this.api.get(claims, namespace, claimName)?.status?.phase === "Bound";
      };
      if (!(pod.spec.volumes ?? []).every(isBound)) continue;
      const node = this.schedule(pod);
      if (node === undefined) continue;
      this.api.modify("pods", pod.metadata.namespace ?? "", pod.metadata.name, (object) => {
        object.spec.nodeName = node;
      });
    }
  }

  runPods(): void {
    for (const pod of this.api.list("pods")) {
      const { name, namespace = "", deletionTimestamp } = pod.metadata;
      if (!this.nodes.has(pod.spec.nodeName ?? "")) continue;
      if (deletionTimestamp) {
        this.api.delete("pods", namespace, name, { gracePeriodSeconds: 0 });
        continue;
      }
      if ((pod.status?.phase ?? "Pending") !== "Pending") continue;
      const broken = this.podStatus(pod) ?? this.#waitingStatus(pod);
      if (broken === undefined) {
        const startedAt = new Date(this.nowMs).toISOString();
        this.setPodStatus(pod, "Running", { running: { startedAt } });
      } else if (JSON.stringify(pod.status) !== JSON.stringify({ ...pod.status, ...broken })) {
        this.setStatus("pods", namespace, name, { ...pod.status, ...broken });
      }
    }
  }

  #waitingStatus({ metadata, spec }: StoredObject): object | undefined {
    if (!spec.initContainers || this.filled.has(metadata.name)) return undefined;
    const state = { running: { startedAt: new Date(t0).toISOString() } };
    const status = { image: "", imageID: "", ready: false, restartCount: 0, state };
    return { phase: "Pending", initContainerStatuses: [{ name: "restore-wait", ...status }] };
  }

  /** One step of every mover that runs. */
  tick(): void {
    for (const pod of this.api.list("pods", operator)) {
      if (pod.status?.phase !== "Running" || !this.nodes.has(pod.spec.nodeName)) continue;
      if (pod.metadata.deletionTimestamp) continue;
      const owner = pod.metadata.ownerReferences?.[0];
      if (owner === undefined) continue;
      const kind = owner.kind as TransferKind;
      const object = this.api.get(resourceOf(kind), operator, owner.name);
      if (object?.metadata.uid === owner.uid) this.#move(kind, object, pod);
    }
  }

  #move(kind: TransferKind, object: StoredObject, pod: StoredObject): void {
    const { phase } = object.status ?? {};
    const { name } = object.metadata;
    if (phase !== "InProgress" && phase !== "Canceling") return;
    const state = this.#movers.get(pod.metadata.uid) ?? { ticks: 0, started: false };
    this.#movers.set(pod.metadata.uid, state);
    if (!state.started) this.tell(object, dataPathReasons.started, "started");
    state.started = true;
    if (object.spec.cancel && !this.mover.ignoresCancel) {
      this.tell(object, dataPathReasons.canceled, "canceled");
      this.endMover(pod, 1, encodeCanceled(kind, name));
      return;
    }
    state.ticks++;
    const doneBytes = Math.round((100 * state.ticks) / this.mover.ticks);
    this.tell(object, dataPathReasons.progress, encodeProgress({ totalBytes: 100, doneBytes }));
    if (state.ticks < this.mover.ticks) return;
    if (this.mover.failure !== undefined) {
      this.endMover(pod, 1, this.mover.failure);
      return;
    }
    const access = { byPath: `/${object.metadata.uid}`, volumeMode: "Filesystem" } as const;
    const message =
      this.mover.message ??
      (isBackup(kind)
        ? encodeBackupResult({
            snapshotID,
            emptySnapshot: false,
            source: access,
            totalBytes: 100,
            incrementalBytes: 40,
          })
        : encodeRestoreResult({ target: access, totalBytes: 100 }));
    if (kind === "PodVolumeRestore") this.filled.add(object.spec.pod.name);
    this.tell(object, dataPathReasons.completed, message);
    this.endMover(pod, 0, message);
  }

  tell({ metadata, kind }: StoredObject, reason: string, message: string): void {
    const { name, namespace = "", uid } = metadata;
    const now = new Date(this.nowMs).toISOString();
    this.api.create("events", {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${++this.#events}`, namespace },
      involvedObject: { kind, name, namespace, uid },
      type: "Normal",
      reason,
      message,
      firstTimestamp: now,
      lastTimestamp: now,
    });
  }

  endMover(pod: StoredObject, exitCode: number, message = "", reason?: string): void {
    const terminated = { exitCode, message, reason: reason ?? (exitCode ? "Error" : "Completed") };
    this.setPodStatus(pod, exitCode === 0 ? "Succeeded" : "Failed", { terminated });
  }

  pod(name: string): StoredObject | undefined {
    return this.api.get("pods", operator, name);
  }

  /** The machine goes dark: its kubelet reports no more. */
  loseNode(name: string): void {
    this.nodes.delete(name);
  }

  collectGarbage(): void {
    const uids = new Set(
      [uploads, downloads, backups, restores, claims, "pods"].flatMap((resource) =>
        this.api.list(resource).map(({ metadata }) => metadata.uid),
      ),
    );
    for (const resource of [claims, "pods"])
      for (const { metadata } of this.api.list(resource)) {
        const owners = metadata.ownerReferences ?? [];
        if (owners.length === 0 || owners.some(({ uid }) => uids.has(uid))) continue;
        this.api.delete(resource, metadata.namespace ?? "", metadata.name, {
          gracePeriodSeconds: 0,
        });
      }
  }

  /** Everything that is not the application's own: what an exposer made, in the cluster and in the storage. */
  leftovers(): string[] {
    const own = new Set(
      this.api.list(claims, app).flatMap(({ spec }) => (spec.volumeName ? [spec.volumeName] : [])),
    );
    const found = [
      ...[...this.api.list("pods", operator), ...this.api.list(claims, operator)].map(
        ({ kind, metadata }) => `${kind} ${metadata.name}`,
      ),
      ...[...this.api.list(vs), ...this.api.list(vsc), ...this.api.list(volumes)]
        .filter(({ metadata }) => !own.has(metadata.name))
        .map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      ...[...this.storage]
        .filter((handle) => !own.has(handle))
        .map((handle) => `storage ${handle}`),
    ];
    return found.sort();
  }

  setStatus(resource: string, namespace: string, name: string, status: object): void {
    this.api.modify(
      resource,
      namespace,
      name,
      (object) => {
        object.status = { ...object.status, ...status };
      },
      { subresource: "status" },
    );
  }

  setPodStatus(pod: StoredObject, phase: string, state: object): void {
    const { name, namespace = "" } = pod.metadata;
    this.setStatus("pods", namespace, name, {
      phase,
      containerStatuses: [
        {
          name: pod.spec.containers[0].name,
          image: "",
          imageID: "",
          ready: phase === "Running",
          restartCount: 0,
          state,
        },
      ],
    });
  }

  close(): Promise<void> {
    return this.server.close();
  }
}
