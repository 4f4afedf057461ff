// A cluster with a storage class of each kind, a volume and its snapshot, and a DataUpload or DataDownload about them.
import { type ManualClock, manualClock, nsPerMs } from "@dm/core";
import {
  crdManifests,
  type DataDownload,
  type DataUpload,
  dataDownloads,
  dataUploads,
  type KubeObject,
  type Resource,
} from "@dm/crds";
import { type ApiServer, type ClusterApi, createApiServer, type NewObject } from "@dm/testbed";
import type { Exposer, Step } from "../../src/expose/exposer.ts";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { clusterClient, resourceName } from "./cluster-client.ts";
import { FakeCsi } from "./fake-csi.ts";
import { dataDownload, dataUpload, namespace, nodeAgent } from "./samples.ts";

export const storageGroup = "storage.k8s.io/v1";
export const snapshotGroup = "snapshot.storage.k8s.io/v1";

export interface World extends AsyncDisposable {
  readonly server: ApiServer;
  readonly api: ClusterApi;
  readonly client: KubeClient;
  readonly csi: FakeCsi;
  readonly clock: ManualClock;
  readonly context: ExposerContext;
  /** Everything that an upload or download may leave behind. */
  leftovers(): string[];
}

export async function createWorld(): Promise<World> {
  const clock = manualClock(BigInt(Date.parse("2026-05-01T00:00:00Z")) * nsPerMs);
  const server = await createApiServer({ clock, tls: false });
  const api = server.cluster;
  const plain = (resource: string, object: NewObject) => api.create(resource, object);
  const kinds = [
    "DataUpload",
    "DataDownload",
    "VolumeSnapshot",
    "VolumeSnapshotContent",
    "VolumeSnapshotClass",
  ];
  for (const crd of crdManifests({ kinds }))
    plain("customresourcedefinitions.apiextensions.k8s.io", crd as unknown as NewObject);
  for (const name of [namespace, "shop"])
    plain("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  for (const [name, volumeBindingMode, reclaimPolicy] of [
    ["fast", "Immediate", "Delete"],
    ["kept", "Immediate", "Retain"],
    ["lazy", "WaitForFirstConsumer", "Delete"],
  ] as const)
    plain("storageclasses.storage.k8s.io", {
      apiVersion: storageGroup,
      kind: "StorageClass",
      metadata: { name },
      provisioner: "fake",
      volumeBindingMode,
      reclaimPolicy,
    });
  for (const [name, deletionPolicy] of [
    ["snap", "Delete"],
    ["snap-kept", "Retain"],
  ] as const)
    plain("volumesnapshotclasses.snapshot.storage.k8s.io", {
      apiVersion: snapshotGroup,
      kind: "VolumeSnapshotClass",
      metadata: { name },
      driver: "fake",
      deletionPolicy,
    });
  const csi = new FakeCsi(api);
  const client = clusterClient(api);
  return {
    server,
    api,
    client,
    csi,
    clock,
    context: { client, clock, namespace, template: hostingTemplateOf(nodeAgent) },
    leftovers: () => leftovers(api),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** The volume `shop/db` with a snapshot of it, and the DataUpload for that. */
export function uploadOf(
  world: World,
  options: {
    readonly snapshotClass?: string;
    readonly claim?: object;
    readonly spec?: Partial<DataUpload["spec"]>;
    readonly content?: string;
  } = {},
): DataUpload {
  const { api, csi } = world;
  const spec = (options.claim ?? {}) as { storageClassName?: string };
  csi.boundClaim("shop", "db", options.content ?? "data of db", spec);
  const { snapshotClass = "snap" } = options;
  api.create("volumesnapshots.snapshot.storage.k8s.io", {
    apiVersion: snapshotGroup,
    kind: "VolumeSnapshot",
    metadata: { namespace: "shop", name: "velero-db-x", annotations: { note: "copied" } },
    spec: {
      source: { persistentVolumeClaimName: "db" },
      volumeSnapshotClassName: snapshotClass,
    },
  });
  csi.settle();
  const { storageClassName: storageClass = "fast" } = spec;
  const csiSnapshot = { storageClass, snapshotClass, volumeSnapshot: "velero-db-x" };
  return stored(api, dataUploads, dataUpload({ csiSnapshot, ...options.spec }));
}

/** The empty claim `shop/db`, which no volume matches, and the DataDownload into it. */
export function downloadOf(
  world: World,
  options: { readonly claim?: object; readonly spec?: Partial<DataDownload["spec"]> } = {},
): DataDownload {
  world.api.create("persistentvolumeclaims", {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "shop", name: "db", labels: { app: "db" } },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "fast",
      resources: { requests: { storage: "2Gi" } },
      selector: { matchLabels: { "velero.io/dynamic-pv-restore": "shop.db.abcde" } },
      ...options.claim,
    },
  });
  return stored(world.api, dataDownloads, dataDownload(options.spec));
}

export function stored<T extends KubeObject>(api: ClusterApi, resource: Resource<T>, object: T): T {
  return api.create(resourceName(resource), object as unknown as NewObject) as unknown as T;
}

/** What is in the cluster, and in its storage, beyond the volume `shop/db`. */
function leftovers(api: ClusterApi): string[] {
  const kinds = [
    "pods",
    "persistentvolumeclaims",
    "persistentvolumes",
    "volumesnapshots.snapshot.storage.k8s.io",
    "volumesnapshotcontents.snapshot.storage.k8s.io",
  ];
  const kept = api.get("persistentvolumeclaims", "shop", "db");
  return kinds.flatMap((kind) =>
    api
      .list(kind)
      .filter(({ metadata }) => metadata.uid !== kept?.metadata.uid)
      .filter(({ metadata }) => metadata.name !== kept?.spec.volumeName)
      .map(({ metadata }) => `${kind}/${metadata.name}`),
  );
}

export interface DriveOptions {
  /** Between two calls. */
  readonly stepMs?: number;
  readonly longestMs?: number;
  readonly between?: () => void;
}

/** Calls until it is done, as a controller would: the cluster acts in between, and time passes. */
export async function drive(
  world: World,
  call: () => Promise<Step>,
  { stepMs = 2000, longestMs = 3_600_000, between }: DriveOptions = {},
): Promise<void> {
  for (let passedMs = 0; passedMs <= longestMs; passedMs += stepMs) {
    const step = await call();
    world.csi.settle();
    between?.();
    if (step.done) return;
    world.clock.advance(stepMs);
  }
  throw new Error("not done within the time");
}

/** As controllers do between two starts: a new exposer for each call. */
export function fresh<T extends Exposer>(make: () => T): T {
  return new Proxy({} as T, {
    get:
      (_target, name) =>
      (...args: unknown[]) =>
        (make()[name as keyof T] as unknown as (...all: unknown[]) => unknown)(...args),
  });
}
