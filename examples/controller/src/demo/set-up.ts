/**
 * The embedded cluster with a store and the data mover in it, and the namespace of a run.
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "@dm/crds";
import type { ClusterOptions } from "@dm/testbed";
import { readManifests } from "../manifests.ts";
import {
  type Embedded,
  image,
  type Programs,
  snapshotClass,
  startEmbedded,
  storageClass,
  storageObjects,
} from "./embedded.ts";
import { localFiller } from "./fill.ts";
import { applyObjects } from "./install.ts";
import type { Screen } from "./screen.ts";
import type { Algorithms } from "./settings.ts";
import { runLabel, type Stage } from "./stage.ts";
import { type DemoStore, locationName, openStore } from "./store.ts";
import type { Filler } from "./story.ts";

export interface SetUpOptions {
  readonly programs: Programs;
  readonly screen: Screen;
  readonly store?: string | undefined;
  readonly algorithms?: Algorithms | undefined;
  readonly signal: AbortSignal;
  /** Other than usual, for tests. */
  readonly cluster?: Pick<ClusterOptions, "images" | "times" | "nodes"> | undefined;
  /** Folder of the manifests; `base` by default. */
  readonly manifests?: string | undefined;
  /** For tests: other manifests than those of the folder. */
  readonly changeManifests?:
    | ((objects: readonly KubeObject[]) => readonly KubeObject[])
    | undefined;
  /** For tests: the cluster as soon as it is there. */
  readonly onCluster?: ((embedded: Embedded) => void) | undefined;
}

/** Where the story is played, whatever cluster it is. */
export interface Scene {
  readonly folder: string;
  /** How kubectl is told where that is. */
  readonly kubectl: string;
  readonly store: DemoStore;
  readonly stage: Stage;
  readonly filler: Filler;
  /** Takes away what the run has made, in the cluster and in the store. */
  close(): Promise<void>;
}

export interface SetUp extends Scene {
  readonly embedded: Embedded;
}

const operatorNamespace = "dm-system";

export async function setUp(options: SetUpOptions): Promise<SetUp> {
  const { screen, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), "dm-demo-"));
  const closers: (() => Promise<void> | void)[] = [
    () => rm(folder, { recursive: true, force: true }),
  ];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const run = randomBytes(4).toString("hex");
    screen.step("An embedded cluster with two nodes and a CSI driver starts");
    const embedded = await startEmbedded(
      join(folder, "cluster"),
      options.programs,
      options.cluster,
    );
    closers.push(() => embedded.cluster.close());
    closers.push(() => embedded.client.close());
    screen.say(`kubectl --kubeconfig ${embedded.cluster.kubeconfig} get pods -A`);
    options.onCluster?.(embedded);

    const place = { run, namespace: operatorNamespace, folder, environment: process.env };
    const store = await openStore(options.store, place);
    closers.push(() => store.close());
    closers.push(() => store.clean());
    screen.step("The data mover is installed from its manifests");
    const { changeManifests = (objects: readonly KubeObject[]) => objects } = options;
    const folderOfManifests = options.manifests ?? "base";
    const manifests = changeManifests(readManifests(folderOfManifests, operatorNamespace));
    await install(embedded, configured(manifests, image, options.algorithms), store, run, signal);
    screen.say(`the repository will lie in ${store.description}`);
    const stage: Stage = {
      client: embedded.client,
      run,
      namespace: `dm-demo-${run}`,
      operatorNamespace,
      location: locationName,
      storageClass,
      snapshotClass,
      pod: { image, command: [process.execPath, options.programs.demoPod] },
      signal,
    };
    const kubectl = `kubectl --kubeconfig ${embedded.cluster.kubeconfig}`;
    const filler = localFiller(stage);
    return { folder, embedded, kubectl, store, stage, filler, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function install(
  { client, cluster }: Embedded,
  manifests: readonly KubeObject[],
  store: DemoStore,
  run: string,
  signal: AbortSignal,
): Promise<void> {
  const namespace: KubeObject = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: `dm-demo-${run}`, labels: { [runLabel]: run } },
  };
  const provisioner = cluster.csi?.name ?? "";
  const objects = [...storageObjects(provisioner), ...manifests, namespace];
  if (store.secret) objects.push(store.secret);
  await applyObjects(client, [...objects, store.location], { signal });
}

/** The image, and the algorithms with which the server makes repositories. */
export function configured(
  objects: readonly KubeObject[],
  name: string,
  { encryption, hash, splitter }: Algorithms = {},
): KubeObject[] {
  const chosen = [
    ["KOPIA_HASHING_ALGORITHM", hash],
    ["KOPIA_ENCRYPTION_ALGORITHM", encryption],
    ["KOPIA_SPLITTER_ALGORITHM", splitter],
  ].flatMap(([variable, value]) => (value ? [{ name: variable, value }] : []));
  return objects.map((object) => {
    if (object.kind !== "Deployment" && object.kind !== "DaemonSet") return object;
    const changed = structuredClone(object) as KubeObject & {
      spec: { template: { spec: { containers: { image: string; env: object[] }[] } } };
    };
    for (const container of changed.spec.template.spec.containers) {
      container.image = name;
      container.env.push(...chosen);
    }
    return changed;
  });
}
