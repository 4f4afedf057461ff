/**
 * Sets the stage, plays the story, says how to look for oneself, and leaves nothing behind.
 * Proof: test/demo.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "@dm/crds";
import type { ImageTable } from "@dm/testbed";
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
import type { Algorithms, DemoSettings } from "./settings.ts";
import { runLabel, type Stage } from "./stage.ts";
import { type DemoStore, locationName, openStore } from "./store.ts";
import { playStory } from "./story.ts";
import { printTable } from "./table.ts";

export interface DemoParts {
  readonly settings: DemoSettings;
  readonly screen: Screen;
  readonly programs: Programs;
  /** Used when no source is given. */
  readonly defaultSources: readonly string[];
  readonly signal: AbortSignal;
  readonly limitBytes?: number | undefined;
  /** For tests: more images, and what happens to a volume before it is looked at. */
  readonly images?: ImageTable | undefined;
  readonly tamper?: ((stage: Stage, claim: string) => Promise<void>) | undefined;
  /** For tests: other manifests than those of the folder. */
  readonly changeManifests?:
    | ((objects: readonly KubeObject[]) => readonly KubeObject[])
    | undefined;
  /** For tests: the cluster as soon as it is there. */
  readonly onCluster?: ((embedded: Embedded) => void) | undefined;
  /** For tests: a look at the cluster before it goes. */
  readonly inspect?:
    | ((embedded: Embedded, stage: Stage, store: DemoStore) => Promise<void>)
    | undefined;
}

const operatorNamespace = "dm-system";
const defaultLimitBytes = 200_000_000;
const defaultImageBytes = 48 << 20;

/** @returns whether everything came back. */
export async function runDemo(parts: DemoParts): Promise<boolean> {
  const { screen, settings, signal } = parts;
  const folder = await mkdtemp(join(tmpdir(), "dm-demo-"));
  const closers: (() => Promise<void> | void)[] = [
    () => rm(folder, { recursive: true, force: true }),
  ];
  try {
    const run = randomBytes(4).toString("hex");
    screen.step("An embedded cluster with two nodes and a CSI driver starts");
    const embedded = await startEmbedded(join(folder, "cluster"), parts.programs, parts.images);
    closers.push(() => embedded.cluster.close());
    closers.push(() => embedded.client.close());
    screen.say(`kubectl --kubeconfig ${embedded.cluster.kubeconfig} get pods -A`);

    const place = { run, namespace: operatorNamespace, folder, environment: process.env };
    const store = await openStore(settings.store, place);
    closers.push(() => store.close());
    screen.step("The data mover is installed from its manifests");
    parts.onCluster?.(embedded);
    const { changeManifests = (objects: readonly KubeObject[]) => objects } = parts;
    const manifests = changeManifests(readManifests("base", operatorNamespace));
    await install(embedded, withImages(manifests, settings.algorithms), store, run, signal);
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
    const differences = await playStory(stage, screen, {
      sources: settings.sources.length > 0 ? settings.sources : parts.defaultSources,
      limitBytes: parts.limitBytes ?? defaultLimitBytes,
      block: await blockImage(settings.block, folder),
      showTable: async (plural) => screen.say(await printTable(embedded.client, plural)),
      tamper: async (claim) => parts.tamper?.(stage, claim),
    });
    await parts.inspect?.(embedded, stage, store);
    showCommands(screen, embedded, store, stage);
    screen.step(differences.length === 0 ? "Everything came back." : "NOT everything came back.");
    if (settings.keep) {
      screen.say("All of it stays until this is interrupted (Ctrl-C).");
      await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => {});
    }
    return differences.length === 0;
  } finally {
    for (const close of closers.reverse()) await close();
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

/** The file for the block volume; made up of random bytes, zeros and holes when there is none. */
async function blockImage(
  file: string | undefined,
  folder: string,
): Promise<{ file: string; size: string }> {
  const path = file ?? join(folder, "image");
  const image = await open(path, file ? "r" : "w+");
  try {
    if (!file) {
      await image.truncate(defaultImageBytes);
      const piece = 8 << 20;
      for (const at of [0, 3 * piece]) await image.write(randomBytes(piece), 0, piece, at);
    }
    const { size } = await image.stat();
    // Volumes have whole MiB.
    return { file: path, size: `${Math.ceil(size / (1 << 20))}Mi` };
  } finally {
    await image.close();
  }
}

function showCommands(
  screen: Screen,
  { cluster }: Embedded,
  store: DemoStore,
  { namespace }: Stage,
): void {
  const flags = store.connectFlags(namespace);
  screen.step("Look for yourself (with --keep, while it stays)");
  screen.say(`kubectl --kubeconfig ${cluster.kubeconfig} get datauploads,datadownloads -A`);
  for (const program of ["kopia", "dm"])
    screen.say(`KOPIA_PASSWORD=static-passw0rd ${program} repository connect ${flags}`);
  screen.say("kopia snapshot list --all");
}
