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
  controllerImage,
  type Embedded,
  type Programs,
  podImage,
  snapshotClass,
  startEmbedded,
  storageClass,
  storageObjects,
} from "./embedded.ts";
import { applyObjects } from "./install.ts";
import type { Screen } from "./screen.ts";
import type { Algorithms } from "./settings.ts";
import { runLabel, type Stage } from "./stage.ts";
import { type DemoStore, locationName, openStore } from "./store.ts";

export interface SetUpOptions {
  readonly programs: Programs;
  readonly screen: Screen;
  readonly store?: string | undefined;
  readonly algorithms?: Algorithms | undefined;
  readonly signal: AbortSignal;
  /** Other than usual, for tests. */
  readonly cluster?: Pick<ClusterOptions, "images" | "times" | "nodes"> | undefined;
  /** For tests: other manifests than those of the folder. */
  readonly changeManifests?:
    | ((objects: readonly KubeObject[]) => readonly KubeObject[])
    | undefined;
  /** For tests: the cluster as soon as it is there. */
  readonly onCluster?: ((embedded: Embedded) => void) | undefined;
}

export interface SetUp {
  readonly folder: string;
  readonly embedded: Embedded;
  readonly store: DemoStore;
  readonly stage: Stage;
  /** Takes everything away that is not in a store of the caller's. */
  close(): Promise<void>;
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
    screen.step("The data mover is installed from its manifests");
    const { changeManifests = (objects: readonly KubeObject[]) => objects } = options;
    const manifests = changeManifests(readManifests("base", operatorNamespace));
    await install(embedded, withImages(manifests, options.algorithms ?? {}), store, run, signal);
    screen.say(`the repository will lie in ${store.description}`);
    const stage: Stage = {
      client: embedded.client,
      run,
      namespace: `dm-demo-${run}`,
      operatorNamespace,
      location: locationName,
      storageClass,
      snapshotClass,
      pod: { image: podImage },
      signal,
    };
    return { folder, embedded, store, stage, close };
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

/** The server makes repositories with the algorithms of its environment. */
function withImages(objects: readonly KubeObject[], algorithms: Algorithms): KubeObject[] {
  const chosen = [
    ["KOPIA_HASHING_ALGORITHM", algorithms.hash],
    ["KOPIA_ENCRYPTION_ALGORITHM", algorithms.encryption],
    ["KOPIA_SPLITTER_ALGORITHM", algorithms.splitter],
  ].flatMap(([name, value]) => (value ? [{ name, value }] : []));
  return objects.map((object) => {
    if (object.kind !== "Deployment") return object;
    const changed = structuredClone(object) as KubeObject & {
      spec: { template: { spec: { containers: { image: string; env: object[] }[] } } };
    };
    for (const container of changed.spec.template.spec.containers) {
      container.image = controllerImage;
      container.env.push(...chosen);
    }
    return changed;
  });
}
