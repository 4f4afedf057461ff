/**
 * A cluster around the controllers of Backups and Restores: the embedded API server, storage that takes snapshots, node agents that
 * move data, and a bucket in memory. Each part looks at the objects when told to and does one thing; time is the test's.
 */
import { type ManualClock, manualClock, NotFoundError, nsPerMs, silentLogger } from "@dm/core";
import { crdManifests, type KubeObject, labels, type Resource } from "@dm/crds";
import { type ApiServer, type ClusterApi, createApiServer, type StoredObject } from "@dm/testbed";
import type { BackupDeps, BackupSettings } from "../../src/backup/backup-deps.ts";
import { reconcileBackup } from "../../src/backup/reconcile-backup.ts";
import { reconcileQueue } from "../../src/backup/reconcile-queue.ts";
import { blobFolder, type OpenBackupFolder } from "../../src/bucket/backup-store.ts";
import { reconcileRestore } from "../../src/restore/reconcile-restore.ts";
import { apiDiscovery } from "../../src/runtime/api-discovery.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import type { PodExec, PodExecEnd } from "../../src/runtime/pod-exec.ts";
import { clusterClient, resourceName } from "../expose/cluster-client.ts";

export const operator = "velero";
export const startMs = Date.parse("2026-11-22T10:00:00Z");
export const kinds = {
  backups: "backups.velero.io",
  restores: "restores.velero.io",
  uploads: "datauploads.velero.io",
  podBackups: "podvolumebackups.velero.io",
  downloads: "datadownloads.velero.io",
  locations: "backupstoragelocations.velero.io",
  snapshots: "volumesnapshots.snapshot.storage.k8s.io",
  contents: "volumesnapshotcontents.snapshot.storage.k8s.io",
  classes: "volumesnapshotclasses.snapshot.storage.k8s.io",
  claims: "persistentvolumeclaims",
  pods: "pods",
  volumes: "persistentvolumes",
  namespaces: "namespaces",
} as const;

export class Crash extends Error {}

/** What the node agents do with a DataUpload or DataDownload of a claim. */
export type Movement = "complete" | "fail" | "hang";

export interface WorldHooks {
  readonly before?: (what: string) => void;
  readonly after?: (what: string) => void;
}

export interface PodOptions {
  readonly metadata?: object;
  readonly spec?: object;
  readonly nodeName?: string;
  readonly volumes?: readonly { readonly name: string }[];
}

export class World {
  /** While somebody sleeps, what is around goes on. */
  readonly clock: ManualClock = this.#clock();
  readonly blobs = new Map<string, Uint8Array>();
  /** Snapshots in the storage. */
  readonly handles = new Set<string>();
  /** By name of the claim, or of the pod's volume; complete when absent. */
  readonly movements = new Map<string, Movement>();
  /** Texts of failures, by the same names. */
  readonly failures = new Map<string, string>();
  /** Claims whose snapshot never gets a handle. */
  readonly stuckSnapshots = new Set<string>();
  /** Claims whose snapshot is there, and cannot be used yet. */
  readonly slowSnapshots = new Set<string>();
  /** Every phase that an object has had. */
  readonly phases = new Map<string, string[]>();
  readonly settings: { -readonly [K in keyof BackupSettings]?: BackupSettings[K] } = {};
  hooks: WorldHooks = {};
  storeFailure: Error | undefined;
  /** Commands run in pods: `shop/db main: sync -f`. */
  readonly executed: string[] = [];
  /** What a command does, when it does not just succeed. */
  onExec: (command: string) => Partial<PodExecEnd> | Promise<Partial<PodExecEnd>> = () => ({});
  events: BackupDeps["events"];
  server!: ApiServer;
  #http: NodeKubeClient | undefined;
  #serial = 0;

  #clock(): ManualClock {
    const clock = manualClock(BigInt(startMs) * nsPerMs);
    const sleep = clock.sleep.bind(clock);
    return Object.assign(clock, {
      sleep: async (...args: Parameters<ManualClock["sleep"]>): Promise<void> => {
        await sleep(...args);
        await new Promise((resolve) => setImmediate(resolve));
        this.playAround();
      },
    });
  }

  static async open(): Promise<World> {
    const world = new World();
    world.server = await createApiServer({ clock: world.clock, tls: false });
    const { api } = world;
    for (const crd of crdManifests())
      api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    for (const kind of ["backups", "restores"] as const)
      api.watch(kinds[kind], ({ object }) => {
        const seen = world.phases.get(`${kind}/${object.metadata.name}`) ?? [];
        const phase: string = object.status?.phase ?? "New";
        if (seen.at(-1) !== phase) seen.push(phase);
        world.phases.set(`${kind}/${object.metadata.name}`, seen);
      });
    world.namespace(operator);
    world.namespace("shop", { team: "web" });
    world.location("default", { default: true });
    world.snapshotClass("plain", "csi.test", {
      labels: { [labels.csiVolumeSnapshotClass]: "true" },
    });
    return world;
  }

  get api(): ClusterApi {
    return this.server.cluster;
  }

  get deps(): BackupDeps {
    return {
      client: this.#client(),
      clock: this.clock,
      logger: silentLogger,
      settings: this.settings,
      openFolder: this.#openFolder,
      discovery: this.#discovery(),
      exec: this.#exec,
      events: this.events,
    };
  }

  /** The kinds as the server tells them. */
  #discovery(): BackupDeps["discovery"] {
    const { adminToken: token, url } = this.server;
    this.#http ??= nodeKubeClient({ server: { url, token } });
    const discovery = apiDiscovery(this.#http);
    return {
      resources: async () => {
        this.hooks.before?.("discovery");
        const found = await discovery.resources();
        this.hooks.after?.("discovery");
        return found;
      },
      serverVersion: () => discovery.serverVersion(),
    };
  }

  #exec: PodExec = async ({ name, namespace }, { command, container }) => {
    const what = `${namespace}/${name} ${container}: ${command.join(" ")}`;
    this.hooks.before?.(`exec ${what}`);
    this.executed.push(what);
    const end = await this.onExec(what);
    this.hooks.after?.(`exec ${what}`);
    return { exitCode: 0, stdout: "", stderr: "", ...end };
  };

  /** Tells of each call: `get pods/name`. */
  #client(): KubeClient {
    const target = clusterClient(this.api);
    return new Proxy(target, {
      get: (_target, method: keyof KubeClient) => {
        const call = target[method] as (...args: unknown[]) => Promise<unknown>;
        return async (
          resource: Resource,
          about: KubeObject & { name?: string },
          ...rest: unknown[]
        ) => {
          const name = about?.name ?? about?.metadata?.name ?? "";
          const what = `${method} ${resourceName(resource)}/${name}`;
          this.hooks.before?.(what);
          const answer = await call(resource, about, ...rest);
          this.hooks.after?.(what);
          return answer;
        };
      },
    });
  }

  #openFolder: OpenBackupFolder = async (location, folder) => {
    const world = this;
    const key = (id: string): string => `${location.name}/${folder.join("/")}/${id}`;
    const around = async <T>(what: string, work: () => T): Promise<T> => {
      this.hooks.before?.(what);
      if (this.storeFailure) throw this.storeFailure;
      const result = work();
      this.hooks.after?.(what);
      return result;
    };
    return blobFolder({
      get: (id) =>
        around(`read ${id}`, () => {
          const bytes = this.blobs.get(key(id));
          if (bytes === undefined) throw new NotFoundError("DM_BLOB_NOT_FOUND", `no ${key(id)}`);
          return bytes;
        }),
      put: (id, bytes) =>
        around(`write ${id}`, () => {
          this.blobs.set(key(id), Uint8Array.from(bytes));
        }),
      async *list() {
        const all = await around("list", () => [...world.blobs.keys()]);
        for (const one of all) if (one.startsWith(key(""))) yield { id: one.slice(key("").length) };
      },
      delete: (id) =>
        around(`delete ${id}`, () => {
          this.blobs.delete(key(id));
        }),
      close: async () => {},
    });
  };

  namespace(name: string, more: Record<string, string> = {}): void {
    this.api.create(kinds.namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: more },
    });
  }

  location(name: string, spec: object = {}, status?: object): void {
    this.api.create(kinds.locations, {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name, namespace: operator },
      spec: { provider: "aws", objectStorage: { bucket: "b" }, ...spec },
      ...(status && { status }),
    });
  }

  snapshotClass(
    name: string,
    driver: string,
    metadata: object = {},
    deletionPolicy = "Delete",
  ): void {
    this.api.create(kinds.classes, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotClass",
      metadata: { name, ...metadata },
      driver,
      deletionPolicy,
    });
  }

  /** A claim with data. */
  claim(
    namespace: string,
    name: string,
    options: {
      readonly metadata?: object;
      readonly spec?: object;
      /** Undefined: not bound. */
      readonly driver?: string | undefined;
      readonly volume?: object;
    } = {},
  ): StoredObject {
    const volumeName = `pv-${namespace}-${name}`;
    const isBound = !("driver" in options) || options.driver !== undefined;
    const driver = options.driver ?? "csi.test";
    this.api.create(kinds.claims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace, ...options.metadata },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "csi",
        resources: { requests: { storage: "1Gi" } },
        ...(isBound && { volumeName }),
        ...options.spec,
      },
    });
    if (isBound) {
      this.api.create(kinds.volumes, {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: volumeName, labels: { zone: "a" } },
        spec: {
          capacity: { storage: "1Gi" },
          accessModes: ["ReadWriteOnce"],
          persistentVolumeReclaimPolicy: "Retain",
          ...(driver === ""
            ? { hostPath: { path: "/x" } }
            : { csi: { driver, volumeHandle: name } }),
          ...options.volume,
        },
      });
      this.#status(kinds.claims, namespace, name, { phase: "Bound" });
    }
    return this.get("claims", namespace, name);
  }

  backup(name: string, spec: object = {}, metadata: object = {}): void {
    this.api.create(kinds.backups, {
      apiVersion: "velero.io/v1",
      kind: "Backup",
      metadata: { name, namespace: operator, ...metadata },
      spec: { includedNamespaces: ["shop"], snapshotMoveData: true, ...spec },
    });
  }

  /** Running, with its claims mounted; with a node agent on its node. */
  pod(
    namespace: string,
    name: string,
    claims: readonly string[] = [],
    more: PodOptions = {},
  ): void {
    const { metadata = {}, spec = {}, nodeName = "node-1", volumes = [] } = more;
    this.api.create(kinds.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, ...metadata },
      spec: {
        nodeName,
        containers: [
          {
            name: "main",
            image: "i",
            volumeMounts: [...claims, ...volumes.map((one) => one.name)].map((one) => ({
              name: one,
              mountPath: `/${one}`,
            })),
          },
        ],
        volumes: [
          ...claims.map((claimName) => ({
            name: claimName,
            persistentVolumeClaim: { claimName },
          })),
          ...volumes,
        ],
        ...spec,
      },
    });
    this.#status(kinds.pods, namespace, name, { phase: "Running" });
    const agent = `node-agent-${nodeName}`;
    if (namespace === operator || this.api.get(kinds.pods, operator, agent)) return;
    this.pod(operator, agent, [], { nodeName, metadata: { labels: { role: "node-agent" } } });
  }

  restore(name: string, spec: object): void {
    this.api.create(kinds.restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata: { name, namespace: operator },
      spec,
    });
  }

  get(kind: keyof typeof kinds, namespace: string, name: string): StoredObject {
    const found = this.api.get(kinds[kind], namespace, name);
    if (found === undefined) throw new Error(`there is no ${kind} ${namespace}/${name}`);
    return found;
  }

  list(kind: keyof typeof kinds): StoredObject[] {
    return this.api.list(kinds[kind]);
  }

  /** The one upload of a claim. */
  upload(claim: string): StoredObject {
    const found = this.list("uploads").filter(({ spec }) => spec.sourcePVC === claim);
    if (found.length !== 1) throw new Error(`${found.length} DataUploads of ${claim}`);
    return found[0] as StoredObject;
  }

  /** One call of each reconciler for each object, then one step of everything around them. A crash ends only that call. */
  async turn(ms = 5_000): Promise<void> {
    const call = async (kind: "backups" | "restores", name: string): Promise<void> => {
      const key = { namespace: operator, name };
      try {
        if (kind === "restores") await reconcileRestore(this.deps, key);
        else {
          while ((await reconcileQueue(this.deps, key)).requeueAfterMs);
          await reconcileBackup(this.deps, key);
        }
      } catch (error) {
        // As the queue does: it comes back.
        if (!(error instanceof Crash) && !this.storeFailure && !this.isFaulty) throw error;
      }
    };
    for (const kind of ["backups", "restores"] as const)
      for (const { metadata } of this.list(kind)) await call(kind, metadata.name);
    this.playAround();
    this.clock.advance(ms);
  }

  /** One step of storage and node agents. */
  playAround(): void {
    this.#takeSnapshots();
    this.#moveData();
  }

  /** Errors of calls are taken for a bad day. */
  isFaulty = false;

  async until(isDone: () => boolean, turns = 200, ms = 5_000): Promise<void> {
    for (let turn = 0; !isDone(); turn++) {
      if (turn >= turns) throw new Error(`not within ${turns} turns: ${isDone}`);
      await this.turn(ms);
    }
  }

  phase(kind: "backups" | "restores", name: string): string {
    return this.get(kind, operator, name).status?.phase ?? "New";
  }

  async untilEnd(kind: "backups" | "restores", name: string, ms = 5_000): Promise<StoredObject> {
    const final = ["Completed", "PartiallyFailed", "Failed", "FailedValidation"];
    await this.until(() => final.includes(this.phase(kind, name)), 4000, ms);
    return this.get(kind, operator, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http?.close();
    await this.server.close();
  }

  #takeSnapshots(): void {
    for (const snapshot of this.list("snapshots")) {
      const { name, namespace = "", uid } = snapshot.metadata;
      const claim: string = snapshot.spec.source.persistentVolumeClaimName;
      if (snapshot.status?.readyToUse === false && !this.slowSnapshots.has(claim))
        this.#status(kinds.snapshots, namespace, name, { readyToUse: true });
      if (snapshot.status?.boundVolumeSnapshotContentName) continue;
      // Found in the storage by a restore, not to be taken.
      if (snapshot.spec.source.volumeSnapshotContentName) continue;
      const className: string = snapshot.spec.volumeSnapshotClassName;
      const { deletionPolicy, driver } = this.get("classes", "", className) as unknown as {
        deletionPolicy: string;
        driver: string;
      };
      const content = `content-${uid}`;
      if (!this.api.get(kinds.contents, "", content))
        this.api.create(kinds.contents, {
          apiVersion: "snapshot.storage.k8s.io/v1",
          kind: "VolumeSnapshotContent",
          metadata: { name: content },
          spec: {
            deletionPolicy,
            driver,
            volumeSnapshotClassName: className,
            source: { volumeHandle: claim },
            volumeSnapshotRef: { name, namespace, uid },
          },
        });
      if (this.stuckSnapshots.has(claim)) {
        this.#status(kinds.snapshots, namespace, name, {
          boundVolumeSnapshotContentName: content,
          error: { message: "the storage is full" },
        });
        continue;
      }
      const handle = `snap-${uid}`;
      this.handles.add(handle);
      this.#status(kinds.contents, "", content, {
        snapshotHandle: handle,
        restoreSize: 1 << 30,
        readyToUse: !this.slowSnapshots.has(claim),
      });
      this.#status(kinds.snapshots, namespace, name, {
        boundVolumeSnapshotContentName: content,
        readyToUse: !this.slowSnapshots.has(claim),
      });
    }
    // Contents without their snapshot go as their policy says.
    for (const content of this.list("contents")) {
      const { name, namespace } = content.spec.volumeSnapshotRef;
      if (this.api.get(kinds.snapshots, namespace, name)) continue;
      if (content.spec.deletionPolicy !== "Delete") continue;
      this.handles.delete(content.status?.snapshotHandle ?? "");
      this.api.delete(kinds.contents, "", content.metadata.name);
    }
  }

  #moveData(): void {
    for (const upload of this.list("uploads"))
      this.#move("uploads", upload, upload.spec.sourcePVC, () => {
        // As the exposer does once it has the handle.
        const { sourceNamespace: namespace } = upload.spec;
        const name: string = upload.spec.csiSnapshot.volumeSnapshot;
        const snapshot = this.api.get(kinds.snapshots, namespace, name);
        if (!snapshot) throw new Error(`the snapshot of ${upload.metadata.name} is gone too early`);
        this.api.delete(kinds.snapshots, namespace, name);
      });
    for (const backup of this.list("podBackups"))
      this.#move("podBackups", backup, backup.spec.volume, () => {});
    for (const download of this.list("downloads"))
      this.#move("downloads", download, download.spec.targetVolume.pvc, () => this.#fill(download));
  }

  #move(
    kind: "uploads" | "downloads" | "podBackups",
    { metadata, spec, status }: StoredObject,
    claim: string,
    work: () => void,
  ): void {
    const phase: string = status?.phase ?? "New";
    if (["Completed", "Failed", "Canceled"].includes(phase)) return;
    const at = new Date(Number(this.clock.nowNs() / nsPerMs)).toISOString().replace(".000", "");
    const movement = this.movements.get(claim) ?? "complete";
    const next: Record<string, unknown> = { phase: "InProgress", startTimestamp: at };
    if (spec.cancel && phase !== "New") {
      next["phase"] = "Canceled";
      next["completionTimestamp"] = at;
    } else if (phase === "InProgress" && movement !== "hang") {
      if (movement === "complete") work();
      Object.assign(next, {
        phase: movement === "complete" ? "Completed" : "Failed",
        completionTimestamp: at,
        progress: { totalBytes: 100, bytesDone: 100 },
        ...(movement === "fail"
          ? { message: this.failures.get(claim) ?? "data path backup failed: cannot read /x" }
          : kind !== "downloads" && {
              incrementalBytes: 60,
              snapshotID: `k-${metadata.name}`,
              nodeOS: "linux",
            }),
      });
    }
    this.api.modify(kinds[kind], operator, metadata.name, (object) => {
      object.status = { ...object.status, ...next };
    });
  }

  /** A new volume, bound to the claim. */
  #fill({ spec }: StoredObject): void {
    const { namespace, pvc } = spec.targetVolume;
    const claim = this.get("claims", namespace, pvc);
    const name = `restored-${++this.#serial}`;
    this.api.create(kinds.volumes, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name, labels: { ...claim.spec.selector?.matchLabels } },
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Delete",
        csi: { driver: "csi.test", volumeHandle: name },
      },
    });
    this.api.modify(kinds.claims, namespace, pvc, (object) => {
      object.spec.volumeName = name;
    });
    this.#status(kinds.claims, namespace, pvc, { phase: "Bound" });
  }

  #status(resource: string, namespace: string, name: string, status: object): void {
    const set = (object: StoredObject): void => {
      object.status = { ...object.status, ...status };
    };
    this.api.modify(resource, namespace, name, set, { subresource: "status" });
  }
}
