/**
 * A cluster with backups around the controllers that keep them in order: the embedded API server, a bucket in memory with real
 * repositories in it, and as much space as a test allows. Time is the test's.
 */
import {
  type ManualClock,
  manualClock,
  NotFoundError,
  nsPerMs,
  StorageError,
  silentLogger,
} from "@dm/core";
import { type Backup, crdManifests, type KubeObject, labels, type Resource } from "@dm/crds";
import { createRepository, openRepository, type Repository } from "@dm/repo";
import { encodeSnapshotManifest, type Snapshot, snapshotLabels } from "@dm/snapshot";
import { deleteVeleroSnapshots, listVeleroSnapshots } from "@dm/snapshot/velero";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";
import { type ApiServer, type ClusterApi, createApiServer, type StoredObject } from "@dm/testbed";
import {
  type BackupItem,
  encodeBackup,
  encodeGzipJson,
  encodeItems,
} from "../../src/bucket/backup-files.ts";
import { blobFolder, type OpenBackupFolder } from "../../src/bucket/backup-store.ts";
import type { ListFolders } from "../../src/bucket/list-folders.ts";
import type { OpenSnapshotRepository } from "../../src/repository/open-repository.ts";
import type { RetentionDeps, RetentionSettings } from "../../src/retention/retention-deps.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { clusterClient, resourceName } from "../expose/cluster-client.ts";

export const operator = "velero";
export const startMs = Date.parse("2026-11-25T12:00:00Z");
export const kinds = {
  backups: "backups.velero.io",
  restores: "restores.velero.io",
  requests: "deletebackuprequests.velero.io",
  schedules: "schedules.velero.io",
  uploads: "datauploads.velero.io",
  podVolumeBackups: "podvolumebackups.velero.io",
  locations: "backupstoragelocations.velero.io",
  repositories: "backuprepositories.velero.io",
  contents: "volumesnapshotcontents.snapshot.storage.k8s.io",
  snapshots: "volumesnapshots.snapshot.storage.k8s.io",
  configMaps: "configmaps",
} as const;
export type Kind = keyof typeof kinds;

export class Crash extends Error {}

export const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const password = "p";

/** What a bucket holds, shared by the clusters that use it. */
export class Bucket {
  /** `backups/<name>/<file>` and the like. */
  readonly files = new Map<string, Uint8Array>();
  readonly repositories = new Map<string, MemoryStore>();
  /** Puts beyond it are refused. */
  capacityBytes = Number.POSITIVE_INFINITY;

  get usedBytes(): number {
    let total = 0;
    for (const bytes of this.files.values()) total += bytes.length;
    for (const store of this.repositories.values())
      for (const bytes of store.blobs.values()) total += bytes.length;
    return total;
  }

  admit(bytes: Uint8Array): void {
    if (this.usedBytes + bytes.length <= this.capacityBytes) return;
    throw new StorageError("DM_STORE_NO_SPACE", "no space for put in bucket b (QuotaExceeded)");
  }

  folders(path: readonly string[]): string[] {
    const prefix = path.map((part) => `${part}/`).join("");
    const names = [...this.files.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length).split("/"))
      .filter((parts) => parts.length > 1)
      .map(([name = ""]) => name);
    return [...new Set(names)].sort();
  }

  text(key: string): string {
    return new TextDecoder().decode(this.files.get(key));
  }
}

export interface WorldHooks {
  readonly before?: (what: string) => void;
  readonly after?: (what: string) => void;
}

export class World {
  readonly clock: ManualClock = manualClock(BigInt(startMs) * nsPerMs);
  readonly bucket: Bucket;
  readonly warnings: { readonly message: string; readonly fields: unknown }[] = [];
  settings: Partial<RetentionSettings> = {};
  hooks: WorldHooks = {};
  /** Thrown by calls of the bucket and of repositories whose text it matches. */
  failure: { readonly of: RegExp; readonly error: Error } | undefined;
  server!: ApiServer;

  private constructor(bucket: Bucket) {
    this.bucket = bucket;
  }

  static async open(bucket = new Bucket()): Promise<World> {
    const world = new World(bucket);
    world.server = await createApiServer({ clock: world.clock, tls: false });
    for (const crd of crdManifests())
      world.api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    world.api.create("namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: operator },
    });
    world.location("default");
    return world;
  }

  get api(): ClusterApi {
    return this.server.cluster;
  }

  get deps(): RetentionDeps {
    return {
      client: this.#client(),
      clock: this.clock,
      logger: {
        ...silentLogger,
        warn: (message, fields) => this.warnings.push({ message, fields }),
      },
      settings: this.settings,
      openFolder: this.#openFolder,
      listFolders: this.#listFolders,
      openRepository: this.#openRepository,
    };
  }

  get nowMs(): number {
    return Number(this.clock.nowNs() / nsPerMs);
  }

  /** Tells of each call, as `get backups.velero.io/name`. */
  #client(): KubeClient {
    const target = clusterClient(this.api);
    return new Proxy(target, {
      get: (_target, method: keyof KubeClient) => {
        const call = target[method] as (...args: unknown[]) => Promise<unknown>;
        return (resource: Resource, about: KubeObject & { name?: string }, ...rest: unknown[]) => {
          const name = about?.name ?? about?.metadata?.name ?? "";
          return this.#around(`${method} ${resourceName(resource)}/${name}`, () =>
            call(resource, about, ...rest),
          );
        };
      },
    });
  }

  async #around<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    this.hooks.before?.(what);
    if (this.failure?.of.test(what)) throw this.failure.error;
    const result = await work();
    this.hooks.after?.(what);
    return result;
  }

  #openFolder: OpenBackupFolder = async (_location, folder) => {
    const { files } = this.bucket;
    const prefix = `${folder.join("/")}/`;
    const world = this;
    return blobFolder({
      get: (id) =>
        this.#around(`read ${prefix}${id}`, () => {
          const bytes = files.get(prefix + id);
          if (bytes === undefined)
            throw new NotFoundError("DM_BLOB_NOT_FOUND", `no ${prefix}${id}`);
          return bytes;
        }),
      put: (id, bytes) =>
        this.#around(`write ${prefix}${id}`, () => {
          this.bucket.admit(bytes);
          files.set(prefix + id, Uint8Array.from(bytes));
        }),
      async *list() {
        const all = await world.#around(`list ${prefix}`, () => [...files.keys()]);
        for (const key of all) if (key.startsWith(prefix)) yield { id: key.slice(prefix.length) };
      },
      delete: (id) =>
        this.#around(`delete ${prefix}${id}`, () => {
          files.delete(prefix + id);
        }),
      close: async () => {},
    });
  };

  #listFolders: ListFolders = async (_location, path) =>
    this.#around(`folders ${path.join("/")}`, () => this.bucket.folders(path));

  #openRepository: OpenSnapshotRepository = async (_location, volumeNamespace) => {
    const store = this.bucket.repositories.get(volumeNamespace);
    const what = `repository ${volumeNamespace}`;
    if (store === undefined) return this.#around(`open ${what}`, () => undefined);
    const repository = await this.#around(`open ${what}`, () => this.repository(volumeNamespace));
    return {
      deleteSnapshots: (ids) =>
        this.#around(`delete from ${what}`, () => deleteVeleroSnapshots(repository, ids)),
      listSnapshots: () => this.#around(`list ${what}`, () => listVeleroSnapshots(repository)),
      close: () => repository[Symbol.asyncDispose](),
    };
  };

  async repository(namespace: string): Promise<Repository> {
    const { bucket } = this;
    let store = bucket.repositories.get(namespace);
    if (store === undefined) {
      store = memoryStore();
      bucket.repositories.set(namespace, store);
      await createRepository(store, { password, deriveKey });
    }
    const limited: BlobStore = {
      ...forward(store),
      put: async (id, data, options) => {
        bucket.admit(data);
        return store.put(id, data, options);
      },
      close: async () => {},
    };
    const client = { username: "default", hostname: "default" };
    return openRepository(limited, { password, deriveKey, clock: this.clock, ...client });
  }

  /** A snapshot as a DataUpload makes it. Returns its id. */
  async snapshot(namespace: string, claim: string, operation: string, ageMs = 0): Promise<string> {
    await using repository = await this.repository(namespace);
    await using session = await repository.openWriteSession();
    const at = BigInt(this.nowMs - ageMs) * nsPerMs;
    const source = {
      host: "default",
      userName: "default",
      path: `snapshot-data-upload-download/kopia/${namespace}/${claim}`,
    };
    const snapshot = {
      id: "",
      source,
      description: "Kopia Uploader",
      startedAtNs: at,
      endedAtNs: at,
      stats: {
        totalSize: 0,
        excludedTotalSize: 0,
        fileCount: 0,
        cachedFiles: 0,
        nonCachedFiles: 0,
        dirCount: 0,
        excludedFileCount: 0,
        excludedDirCount: 0,
        ignoredErrorCount: 0,
        errorCount: 0,
      },
      tags: {
        "snapshot-requester": "snapshot-data-upload-download",
        "velero.io/async-operation-id": operation,
      },
      pins: ["velero-pin"],
    } satisfies Snapshot;
    const body = JSON.parse(encodeSnapshotManifest(snapshot));
    const id = session.putManifest(snapshotLabels(source, snapshot.tags), body);
    await session.commit();
    return id;
  }

  async snapshotIds(namespace: string): Promise<string[]> {
    await using repository = await this.repository(namespace);
    return (await listVeleroSnapshots(repository)).map(({ id }) => id).sort();
  }

  location(name: string, spec: object = {}, status: object = { phase: "Available" }): void {
    this.api.create(kinds.locations, {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name, namespace: operator },
      spec: { provider: "aws", objectStorage: { bucket: "b" }, ...spec },
      status,
    });
  }

  create(kind: Kind, name: string, more: object = {}, metadata: object = {}): StoredObject {
    const words: Partial<Record<Kind, string>> = {
      backups: "velero.io/v1 Backup",
      restores: "velero.io/v1 Restore",
      requests: "velero.io/v1 DeleteBackupRequest",
      schedules: "velero.io/v1 Schedule",
      uploads: "velero.io/v2alpha1 DataUpload",
      podVolumeBackups: "velero.io/v1 PodVolumeBackup",
      repositories: "velero.io/v1 BackupRepository",
      contents: "snapshot.storage.k8s.io/v1 VolumeSnapshotContent",
      snapshots: "snapshot.storage.k8s.io/v1 VolumeSnapshot",
    };
    const [apiVersion = "v1", kindName = "ConfigMap"] = (words[kind] ?? "v1 ConfigMap").split(" ");
    const namespace = kind === "contents" ? {} : { namespace: operator };
    return this.api.create(kinds[kind], {
      apiVersion,
      kind: kindName,
      metadata: { name, ...namespace, ...metadata },
      ...more,
    } as never);
  }

  /**
   * A backup that is Completed, in the cluster and in the bucket, with a volume in each namespace. Returns the ids of its snapshots
   * by namespace.
   */
  async backup(
    name: string,
    options: {
      readonly namespaces?: readonly string[];
      readonly spec?: object;
      readonly status?: object;
      readonly items?: readonly BackupItem[];
      readonly podVolumeBackups?: readonly (object | null)[];
      readonly metadata?: object;
    } = {},
  ): Promise<Map<string, string>> {
    const { namespaces = ["shop"] } = options;
    const stored = this.create(
      "backups",
      name,
      {
        spec: { storageLocation: "default", snapshotMoveData: true, ...options.spec },
        status: {
          phase: "Completed",
          expiration: new Date(this.nowMs + 720 * 3_600_000).toISOString().replace(".000", ""),
          ...options.status,
        },
      },
      { labels: { [labels.storageLocation]: "default" }, ...options.metadata },
    );
    const { uid } = stored.metadata;
    const ids = new Map<string, string>();
    const items: BackupItem[] = [...(options.items ?? [])];
    for (const namespace of namespaces) {
      const snapshotID = await this.snapshot(namespace, "data", `du-${uid}.${namespace}`);
      ids.set(namespace, snapshotID);
      const upload = this.create(
        "uploads",
        `${name}-${namespace}`,
        {
          spec: {
            snapshotType: "CSI",
            csiSnapshot: { volumeSnapshot: "s", storageClass: "csi" },
            sourcePVC: "data",
            sourceNamespace: namespace,
            backupStorageLocation: "default",
            operationTimeout: "10m0s",
            datamover: "dm",
          },
          status: { phase: "Completed", snapshotID },
        },
        { labels: { [labels.backupName]: name, [labels.backupUid]: uid } },
      );
      items.push({ resource: "datauploads.velero.io", version: "v2alpha1", object: upload });
    }
    const put = (file: string, bytes: Uint8Array): void => {
      this.bucket.files.set(`backups/${name}/${file}`, bytes);
    };
    put("velero-backup.json", encodeBackup(stored as unknown as Backup));
    put(`${name}.tar.gz`, encodeItems(items, new Date(startMs)));
    put(`${name}-podvolumebackups.json.gz`, encodeGzipJson(options.podVolumeBackups ?? null));
    put(`${name}-logs.gz`, new Uint8Array(20_000));
    return ids;
  }

  restore(name: string, backupName: string, phase = "Completed", metadata: object = {}): void {
    this.create("restores", name, { spec: { backupName }, status: { phase } }, metadata);
    this.bucket.files.set(`restores/${name}/restore-${name}-logs.gz`, new Uint8Array(10));
  }

  request(backupName: string, name = `${backupName}-x`, more: object = {}): void {
    this.create("requests", name, { spec: { backupName }, ...more });
  }

  find(kind: Kind, name: string): StoredObject | undefined {
    return this.api.get(kinds[kind], kind === "contents" ? "" : operator, name);
  }

  get(kind: Kind, name: string): StoredObject {
    const found = this.find(kind, name);
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
    return found;
  }

  names(kind: Kind): string[] {
    return this.api
      .list(kinds[kind])
      .map(({ metadata }) => metadata.name)
      .sort();
  }

  filesOf(prefix: string): string[] {
    return [...this.bucket.files.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  modify(kind: Kind, name: string, change: (object: StoredObject) => void): void {
    this.api.modify(kinds[kind], kind === "contents" ? "" : operator, name, change);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
  }
}
