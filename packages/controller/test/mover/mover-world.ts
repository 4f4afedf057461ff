/**
 * What a mover lives in: the embedded API server over HTTPS with an operator's namespace, a storage location in a directory, the
 * repository of one namespace, and a pod's kubeconfig. Node agent and kubelet are played by the test.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupRepositoryLabels, backupRepositoryName, crdManifests } from "@dm/crds";
import {
  connectOrCreateVeleroRepository,
  openVeleroRepository,
  openVeleroStore,
  type VeleroLocation,
} from "@dm/snapshot/velero";
import { type ApiServer, createApiServer, type Json, type StoredObject } from "@dm/testbed";
import { type DataPathKind, isBackup, nameFlags } from "../../src/mover/data-path-kind.ts";
import { decodeOutcome } from "../../src/mover/data-path-message.ts";
import { type MoverSettings, moverSettings } from "../../src/mover/mover-settings.ts";
import { type MoverEnd, type RunMoverOptions, runMover } from "../../src/mover/run-mover.ts";

export const operator = "velero";
export const shop = "shop";
export const password = "static-passw0rd";

const resourceOf = (kind: DataPathKind): string => `${kind.toLowerCase()}s.velero.io`;

export interface WorldPlace {
  readonly location: VeleroLocation;
  readonly credentials: string;
}

export class MoverWorld implements AsyncDisposable {
  readonly folder: string;
  readonly server: ApiServer;
  readonly location: VeleroLocation;
  #credentials: string | undefined;

  private constructor(server: ApiServer, folder: string, location?: VeleroLocation) {
    this.server = server;
    this.folder = folder;
    this.location = location ?? { provider: "fs", config: { fspath: join(folder, "store") } };
  }

  /** A directory by default; else with the text of a credentials file. */
  static async start(place?: WorldPlace): Promise<MoverWorld> {
    const folder = mkdtempSync(join(tmpdir(), "dm-mover-"));
    const world = new MoverWorld(await createApiServer(), folder, place?.location);
    const { api } = world;
    for (const crd of crdManifests())
      api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    api.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: operator } });
    api.create("backupstoragelocations.velero.io", {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: "default", namespace: operator },
      spec: {
        objectStorage: { bucket: "backups" },
        ...world.location,
        ...(place && { credential: { name: "cloud-credentials", key: "cloud" } }),
      },
    });
    if (place !== undefined) {
      api.create("secrets", {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "cloud-credentials", namespace: operator },
        data: { cloud: Buffer.from(place.credentials).toString("base64") },
      });
      world.#credentials = place.credentials;
    }
    world.setPassword(password);
    await world.server.kubeconfig(world.kubeconfig);
    return world;
  }

  get api() {
    return this.server.cluster;
  }

  get kubeconfig(): string {
    return join(this.folder, "kubeconfig");
  }

  get environment() {
    return { KUBECONFIG: this.kubeconfig, VELERO_NAMESPACE: operator, NODE_NAME: "node-1" };
  }

  setPassword(text: string): void {
    const data = { "repository-password": Buffer.from(text).toString("base64") };
    const name = "velero-repo-credentials";
    if (this.api.get("secrets", operator, name)) {
      this.api.modify("secrets", operator, name, (secret) => {
        secret["data"] = data;
      });
    } else
      this.api.create("secrets", {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name, namespace: operator },
        type: "Opaque",
        data,
      });
  }

  /** As its controller does: a repository, and the object that says so. */
  async makeRepository(): Promise<void> {
    const store = await this.#openStore(true);
    const format = { splitter: "DYNAMIC-1M-BUZHASH" };
    await using repository = await connectOrCreateVeleroRepository(store, { password, format });
    void repository;
    this.setRepository("Ready");
  }

  setRepository(phase: string, message = ""): void {
    const key = { volumeNamespace: shop, backupStorageLocation: "default" };
    const name = backupRepositoryName(key);
    const resource = "backuprepositories.velero.io";
    if (this.api.get(resource, operator, name) === undefined) {
      this.api.create(resource, {
        apiVersion: "velero.io/v1",
        kind: "BackupRepository",
        metadata: { name, namespace: operator, labels: backupRepositoryLabels(key) },
        spec: { ...key, repositoryType: "kopia", maintenanceFrequency: "1h0m0s" },
      });
    }
    this.api.modify(resource, operator, name, (object) => {
      object["status"] = { phase, message };
    });
  }

  async openRepository() {
    return openVeleroRepository(await this.#openStore(false), { password });
  }

  #openStore(create: boolean) {
    const credentials = this.#credentials;
    return openVeleroStore(this.location, shop, {
      create,
      credentials: credentials === undefined ? undefined : async () => credentials,
    });
  }

  upload(name: string, status: Json = { phase: "InProgress" }, more: Json = {}): StoredObject {
    return this.api.create(resourceOf("DataUpload"), {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      metadata: { name, namespace: operator, labels: more.labels ?? {} },
      spec: {
        snapshotType: "CSI",
        csiSnapshot: { volumeSnapshot: "vs", storageClass: "fast" },
        sourceNamespace: shop,
        sourcePVC: more.sourcePVC ?? "data",
        backupStorageLocation: "default",
        operationTimeout: "10m0s",
      },
      status,
    });
  }

  download(name: string, snapshotID: string, status: Json = { phase: "InProgress" }): StoredObject {
    return this.api.create(resourceOf("DataDownload"), {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataDownload",
      metadata: { name, namespace: operator },
      spec: {
        snapshotID,
        sourceNamespace: shop,
        backupStorageLocation: "default",
        operationTimeout: "10m0s",
        targetVolume: { namespace: shop, pv: "", pvc: "data" },
      },
      status,
    });
  }

  podBackup(name: string, status: Json = { phase: "InProgress" }): StoredObject {
    return this.api.create(resourceOf("PodVolumeBackup"), {
      apiVersion: "velero.io/v1",
      kind: "PodVolumeBackup",
      metadata: { name, namespace: operator },
      spec: {
        node: "node-1",
        pod: { kind: "Pod", namespace: shop, name: "db-0", uid: "pod-uid" },
        volume: "data",
        backupStorageLocation: "default",
        repoIdentifier: "",
        tags: { pod: "db-0" },
      },
      status,
    });
  }

  /** Of the Restore with uid `restore-uid`. */
  podRestore(name: string, snapshotID: string): StoredObject {
    return this.api.create(resourceOf("PodVolumeRestore"), {
      apiVersion: "velero.io/v1",
      kind: "PodVolumeRestore",
      metadata: { name, namespace: operator, labels: { "velero.io/restore-uid": "restore-uid" } },
      spec: {
        pod: { kind: "Pod", namespace: shop, name: "db-0", uid: "pod-uid" },
        volume: "data",
        backupStorageLocation: "default",
        repoIdentifier: "",
        snapshotID,
        sourceNamespace: shop,
      },
      status: { phase: "InProgress" },
    });
  }

  change(kind: DataPathKind, name: string, change: (object: StoredObject) => void): void {
    this.api.modify(resourceOf(kind), operator, name, change);
  }

  args(
    kind: DataPathKind,
    name: string,
    volumePath: string,
    more: readonly string[] = [],
  ): string[] {
    return [
      isBackup(kind) ? "backup" : "restore",
      `--volume-path=${volumePath}`,
      `--${nameFlags[kind]}=${name}`,
      `--termination-log=${this.terminationLog(name)}`,
      "--progress-interval=50ms",
      "--workers=0",
      ...more,
    ];
  }

  settings(
    kind: DataPathKind,
    name: string,
    volumePath: string,
    more: readonly string[] = [],
  ): MoverSettings {
    return moverSettings(this.args(kind, name, volumePath, more), this.environment);
  }

  terminationLog(name: string): string {
    return join(this.folder, `termination-${name}`);
  }

  /** In this process; what the container's termination message says is what it returned. */
  async run(settings: MoverSettings, options: RunMoverOptions = {}): Promise<MoverEnd> {
    const end = await runMover(settings, { environment: this.environment, ...options });
    const written = readFileSync(settings.terminationLog, "utf8");
    if (written !== end.message) throw new Error(`the termination log says ${written}`);
    return end;
  }

  outcome(kind: DataPathKind, end: MoverEnd) {
    return decodeOutcome(kind, end);
  }

  /** Reasons of the Events on one object, in order, progress once. */
  eventReasons(name: string): string[] {
    return this.events(name).map((event) => event["reason"] as string);
  }

  events(name: string): StoredObject[] {
    return this.api
      .list("events", operator)
      .filter((event) => event["involvedObject"].name === name)
      .sort((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion));
  }

  newDirectory(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
