/**
 * The embedded API server over HTTPS, an S3 server on loopback with a bucket, and, when asked for, all controllers of the server: what a
 * client or server of Velero needs to find. Nothing moves data here.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Logger, systemClock } from "@dm/core";
import { type Backup, backupStorageLocations, backups, crdManifests } from "@dm/crds";
import { openVeleroFolder, type VeleroLocation } from "@dm/snapshot/velero";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { type ApiServer, createApiServer, type NewObject } from "@dm/testbed";
import { addBackupControllers } from "../../src/backup/backup-controllers.ts";
import { reconcileStorageLocation } from "../../src/repository/reconcile-storage-location.ts";
import { addRequestControllers } from "../../src/requests/request-controllers.ts";
import { addRestoreControllers } from "../../src/restore/restore-controllers.ts";
import { addRetentionControllers } from "../../src/retention/retention-controllers.ts";
import { apiDiscovery } from "../../src/runtime/api-discovery.ts";
import { source } from "../../src/runtime/index.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { addScheduleController } from "../../src/schedule/schedule-controller.ts";
import { realLocation, realNamespace } from "./real-bucket.ts";

export const bucket = "velero-bucket";
export const namespace = realNamespace;
export const locationName = realLocation;
/** Of our server in scenes. */
export const serverVersion = "v0.0.0-scene";

/** An S3 server of this process with objects under Velero's prefix. */
export async function openBucket(objects: ReadonlyMap<string, Uint8Array>): Promise<S3Server> {
  const s3 = await startS3Server({ buckets: [bucket], anyRegion: true });
  const folders = Map.groupBy(objects, ([key]) => key.split("/").slice(1, 3).join("/"));
  for (const [folder, entries] of folders) {
    const options = { credentials: async () => credentialsOf(s3), environment: {} };
    const store = await openVeleroFolder(locationOf(s3), folder.split("/"), options);
    for (const [key, bytes] of entries) await store.put(key.split("/").slice(3).join("/"), bytes);
    await store.close();
  }
  return s3;
}

const credentialsOf = ({ accessKey }: S3Server): string =>
  `[default]\naws_access_key_id=${accessKey.accessKeyId}\naws_secret_access_key=${accessKey.secretAccessKey}\n`;

function locationOf({ url }: S3Server): VeleroLocation {
  return {
    provider: "aws",
    config: { region: "us-east-1", s3Url: url, s3ForcePathStyle: "true", checksumAlgorithm: "" },
    objectStorage: { bucket, prefix: "velero", caCert: undefined },
  };
}

export interface ServerSceneOptions {
  readonly s3: S3Server;
  /** Ours; none by default. */
  readonly withControllers?: boolean | undefined;
  /** Of the location; a second by default. */
  readonly syncPeriod?: string | undefined;
}

export class ServerScene implements AsyncDisposable {
  readonly server: ApiServer;
  readonly client: NodeKubeClient;
  readonly kubeconfig: string;
  readonly s3: S3Server;
  readonly #folder: string;
  /** What the controllers said. */
  readonly #said: string[] = [];
  #stop: (() => Promise<void>) | undefined;

  private constructor(server: ApiServer, client: NodeKubeClient, folder: string, s3: S3Server) {
    this.server = server;
    this.client = client;
    this.kubeconfig = join(folder, "kubeconfig");
    this.s3 = s3;
    this.#folder = folder;
  }

  static async open({
    s3,
    syncPeriod = "1s",
    withControllers = false,
  }: ServerSceneOptions): Promise<ServerScene> {
    const server = await createApiServer();
    const folder = mkdtempSync(join(tmpdir(), "dm-velero-"));
    const kubeconfig = join(folder, "kubeconfig");
    await server.kubeconfig(kubeconfig);
    const scene = new ServerScene(server, nodeKubeClient({ kubeconfig }), folder, s3);
    for (const crd of crdManifests())
      scene.create("customresourcedefinitions.apiextensions.k8s.io", crd);
    scene.create("namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    });
    scene.create("secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "cloud-credentials", namespace },
      data: { cloud: Buffer.from(credentialsOf(s3)).toString("base64") },
    });
    const { config, objectStorage } = locationOf(s3);
    scene.create("backupstoragelocations.velero.io", {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: locationName, namespace },
      spec: {
        provider: "aws",
        default: true,
        objectStorage: { bucket, prefix: objectStorage?.prefix },
        config,
        credential: { name: "cloud-credentials", key: "cloud" },
        backupSyncPeriod: syncPeriod,
      },
    });
    if (withControllers) scene.startControllers();
    return scene;
  }

  create(resource: string, object: object): void {
    this.server.cluster.create(resource, object as NewObject);
  }

  /** Asks again and again; the last failure when it takes too long. */
  async until<T>(ask: () => T | undefined | Promise<T | undefined>, limitMs = 20_000): Promise<T> {
    const end = performance.now() + limitMs;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (performance.now() > end)
        throw new Error(
          `waited ${limitMs} ms in vain: ${ask}\n${this.#said.slice(-20).join("\n")}`,
        );
      await sleep(20);
    }
  }

  /** Ours, all of them. */
  startControllers(): void {
    this.#stop ??= this.#run();
  }

  /** A file of a backup in the bucket. */
  async file(backup: string, file: string): Promise<Uint8Array> {
    const key = `velero/backups/${backup}/${file}`;
    const bytes = await this.s3.bucket(bucket).read(key);
    if (!bytes) throw new Error(`the bucket has no ${key}`);
    return bytes;
  }

  backup(name: string): Promise<Backup | undefined> {
    return this.client.get(backups, { namespace, name });
  }

  #run(): () => Promise<void> {
    const { client } = this;
    const say = (message: string, fields?: object): void => {
      this.#said.push(`${message} ${JSON.stringify(fields ?? {})}`);
    };
    const logger: Logger = { debug: say, info: say, warn: say, error: say };
    const manager = createManager({ client, logger });
    const discovery = apiDiscovery(client);
    const settings = { operationPollMs: 50, snapshotPollMs: 50 };
    const common = { client, namespace, discovery, exec: client.exec, logger, settings };
    const store = { client, clock: systemClock, environment: {}, logger };
    manager.add({
      name: "BackupStorageLocation",
      sources: [source(manager.cache(backupStorageLocations, { namespace }))],
      reconcile: (key, signal) => reconcileStorageLocation(store, key, { signal }),
    });
    addBackupControllers(manager, common);
    addRestoreControllers(manager, common);
    addRetentionControllers(manager, { client, namespace, environment: {}, logger });
    addRequestControllers(manager, { client, namespace, environment: {}, logger, serverVersion });
    addScheduleController(manager, { client, namespace, logger });
    const stop = new AbortController();
    const running = manager.run(stop.signal);
    return async () => {
      stop.abort();
      await running;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop?.();
    this.client.close();
    await this.server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
