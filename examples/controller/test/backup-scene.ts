/** The embedded cluster with the whole data mover and waits as short as they go, and what tests of Backups and Restores do in it. */
import {
  type Backup,
  backups,
  dataDownloads,
  dataUploads,
  isFinalBackupPhase,
  type KubeObject,
  podVolumeBackups,
  podVolumeRestores,
  type Resource,
  type Restore,
  restores,
} from "@dm/crds";
import type { ClusterOptions, StoredObject } from "@dm/testbed";
import type { Programs } from "../src/demo/embedded.ts";
import { createScreen } from "../src/demo/screen.ts";
import { type SetUp, setUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { ownBucket } from "../src/demo/store.ts";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";

export interface BackupSceneOptions {
  readonly programs: Programs;
  readonly signal: AbortSignal;
  /** More flags of the server. */
  readonly serverFlags?: readonly string[] | undefined;
  readonly manifests?: string | undefined;
  readonly cluster?: Pick<ClusterOptions, "images" | "times" | "nodes"> | undefined;
  readonly changeManifests?:
    | ((objects: readonly KubeObject[]) => readonly KubeObject[])
    | undefined;
}

/** Nothing here waits for long, so nobody needs to look rarely. */
const shortWaits = [
  "--item-operation-sync-frequency=200ms",
  "--csi-snapshot-poll=200ms",
  "--backup-sync-period=1s",
];

export function openBackupScene(options: BackupSceneOptions): Promise<SetUp> {
  const { changeManifests = (objects: readonly KubeObject[]) => objects, serverFlags = [] } =
    options;
  return setUp({
    ...options,
    screen: createScreen(() => {}, false),
    changeManifests: (objects) =>
      withServerFlags(changeManifests(objects), [...shortWaits, ...serverFlags]),
  });
}

interface Workload extends KubeObject {
  readonly spec: { readonly template: { readonly spec: { readonly containers: Container[] } } };
}
interface Container {
  readonly args: string[];
}

export function withServerFlags(
  objects: readonly KubeObject[],
  flags: readonly string[],
): KubeObject[] {
  return objects.map((object) => {
    if (object.kind !== "Deployment") return object;
    const changed = structuredClone(object) as Workload;
    changed.spec.template.spec.containers[0]?.args.push(...flags);
    return changed;
  });
}

type Ending = Backup | Restore;

/** Creates it and follows it to its end. */
export async function ended<T extends Ending>(
  scene: SetUp,
  resource: Resource<T>,
  name: string,
  spec: object,
): Promise<NonNullable<T["status"]>> {
  await begin(scene, resource, name, spec);
  return atItsEnd(scene, resource, name);
}

export async function begin<T extends Ending>(
  { stage }: SetUp,
  resource: Resource<T>,
  name: string,
  spec: object,
): Promise<void> {
  const { group, kind, version } = resource;
  const metadata = { name, namespace: stage.operatorNamespace };
  const object = { apiVersion: `${group}/${version}`, kind, metadata, spec };
  await stage.client.create(resource, object as unknown as T);
}

export async function atItsEnd<T extends Ending>(
  { stage }: SetUp,
  resource: Resource<T>,
  name: string,
): Promise<NonNullable<T["status"]>> {
  const { client, operatorNamespace: namespace } = stage;
  let last: T | undefined;
  const limitMs = 120_000;
  const end = await until(
    `${resource.kind} ${name} to end`,
    stage,
    async () => {
      last = await client.get(resource, { namespace, name });
      return isFinalBackupPhase(last?.status?.phase as never) ? last : undefined;
    },
    limitMs,
  ).catch((error: unknown) => {
    throw new Error(`${error}: ${JSON.stringify(last?.status)}`, { cause: error });
  });
  return end.status as NonNullable<T["status"]>;
}

export { backups, restores };

export const backUp = (scene: SetUp, name: string, spec: object) =>
  ended(scene, backups, name, spec);
export const restore = (scene: SetUp, name: string, spec: object) =>
  ended(scene, restores, name, spec);

/** Keys and sizes below the location's prefix. */
export async function bucketFiles(
  { store }: SetUp,
  prefix: string,
): Promise<ReadonlyMap<string, number>> {
  const bucket = store.server?.bucket(ownBucket);
  if (!bucket) throw new Error("the store is no server of this process");
  const files = new Map<string, number>();
  for (const key of bucket.keys)
    if (key.startsWith(`velero/${prefix}`))
      files.set(key.slice("velero/".length), (await bucket.read(key))?.length ?? 0);
  return files;
}

/** A file below the location's prefix. */
export async function bucketFile({ store }: SetUp, key: string): Promise<Uint8Array> {
  const bytes = await store.server?.bucket(ownBucket).read(`velero/${key}`);
  if (!bytes) throw new Error(`there is no ${key}`);
  return bytes;
}

export async function bucketBytes(scene: SetUp, prefix: string): Promise<number> {
  const sizes = [...(await bucketFiles(scene, prefix)).values()];
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Restored files come with a mark by which the pod's first container knows that they are all there. */
export const withoutMark = (entries: readonly ListedEntry[]): ListedEntry[] =>
  entries.filter(({ path }) => path !== ".velero" && !path.startsWith(".velero/"));

const installedConfigMaps = new Set(["dm-node-agent", "dm-repositories", "kube-root-ca.crt"]);

/** What of work that is over is still there: by kind, names. Nothing is wanted. */
export function leftBehind({ embedded, stage }: SetUp): Record<string, string[]> {
  const { api, csi } = embedded.cluster;
  const { operatorNamespace } = stage;
  const names = (objects: readonly StoredObject[]): string[] =>
    objects.map(({ metadata }) => metadata.name);
  const isOfDaemon = ({ metadata }: StoredObject): boolean =>
    ["dm-server", "dm-node-agent"].includes(metadata.labels?.["app.kubernetes.io/name"] ?? "");
  const isJob = ({ metadata }: StoredObject): boolean =>
    metadata.ownerReferences?.[0]?.kind === "Job";
  const claimed = new Set(
    api.list("persistentvolumeclaims").map(({ spec }) => String(spec.volumeName)),
  );
  const all = {
    snapshots: names(api.list("volumesnapshots.snapshot.storage.k8s.io")),
    contents: names(api.list("volumesnapshotcontents.snapshot.storage.k8s.io")),
    claims: names(api.list("persistentvolumeclaims", operatorNamespace)),
    volumes: names(api.list("persistentvolumes")).filter((name) => !claimed.has(name)),
    pods: names(
      api.list("pods", operatorNamespace).filter((pod) => !isOfDaemon(pod) && !isJob(pod)),
    ),
    configMaps: names(api.list("configmaps", operatorNamespace)).filter(
      (name) => !installedConfigMaps.has(name),
    ),
    storageSnapshots: (csi?.snapshots() ?? []).map(({ handle }) => handle),
    moving: names(
      [dataUploads, dataDownloads, podVolumeBackups, podVolumeRestores]
        .flatMap(({ plural }) => api.list(`${plural}.velero.io`, operatorNamespace))
        .filter(({ status }) => !["Completed", "Failed", "Canceled"].includes(status?.phase)),
    ),
  };
  return Object.fromEntries(Object.entries(all).filter(([, found]) => found.length > 0));
}

/** Clean-up takes a moment. */
export async function nothingLeft(scene: SetUp): Promise<void> {
  await until(
    "everything to be cleaned up",
    scene.stage,
    async () => (Object.keys(leftBehind(scene)).length === 0 ? true : undefined),
    60_000,
  ).catch((error: unknown) => {
    throw new Error(`left behind: ${JSON.stringify(leftBehind(scene))}`, { cause: error });
  });
}
