/**
 * A cluster that is somebody's: everything goes into two namespaces of the run, and what is not in one has the run in its name and
 * label. Nothing else is changed or deleted, but custom resource definitions that were missing, which are made and stay.
 * Proof: test/existing-cluster.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NodeKubeClient, nodeKubeClient } from "@dm/controller/runtime";
import {
  annotations,
  crdManifests,
  dataDownloads,
  dataUploads,
  type KubeObject,
  labels,
  namespaces,
  type Resource,
  storageClasses,
  volumeSnapshotClasses,
} from "@dm/crds";
import { readManifests } from "../manifests.ts";
import { sendingFiller } from "./fill.ts";
import { applyObjects, resourceOf } from "./install.ts";
import type { DemoParts } from "./run-demo.ts";
import { configured, type Scene } from "./set-up.ts";
import { runLabel, type Stage, until } from "./stage.ts";
import { locationName, openStore } from "./store.ts";

/** In the image, whose entry point is the controller. */
const podCommand = ["node", "/app/demo-pod.js"];
/** For the end, also after an interruption. */
const cleanUpMs = 180_000;

export async function setUpExisting(parts: DemoParts): Promise<Scene> {
  const { screen, settings, signal } = parts;
  const { algorithms, image, kubeconfig = "", store: place } = settings;
  if (!place?.startsWith("s3://"))
    throw new Error(
      "--kubeconfig needs --store s3://bucket/prefix: a cluster cannot reach this machine's disks",
    );
  const client = nodeKubeClient({ kubeconfig, userAgent: "dm-demo" });
  const folder = await mkdtemp(join(tmpdir(), "dm-demo-"));
  const closers: (() => Promise<void> | void)[] = [
    () => rm(folder, { recursive: true, force: true }),
    () => client.close(),
  ];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const run = randomBytes(4).toString("hex");
    screen.step("A cluster that is there already");
    const { context, server } = await client.describe();
    screen.say(`context ${context}, ${server}`);
    if (!settings.yes && !(await parts.confirm?.(`Use the cluster of context ${context}?`)))
      throw new Error("not without your consent: answer yes, or give --yes");
    const classes = await chooseClasses(client, settings);
    const operatorNamespace = `dm-demo-${run}-system`;
    const stage: Stage = {
      client,
      run,
      namespace: `dm-demo-${run}`,
      operatorNamespace,
      location: locationName,
      ...classes,
      pod: { image, command: parts.podCommand ?? podCommand },
      signal,
    };
    const environment = process.env;
    const store = await openStore(place, {
      run,
      namespace: operatorNamespace,
      folder,
      environment,
    });
    closers.push(() => store.close());

    screen.step("The data mover is installed in a namespace of its own");
    screen.say(`${operatorNamespace}; the repository will lie in ${store.description}`);
    const manifests = ownManifests(
      configured(readManifests("base", operatorNamespace), image, algorithms),
      run,
    );
    closers.push(() => store.clean());
    closers.push(() => removeRun(stage, manifests));
    await applyObjects(client, await missingDefinitions(client), stage);
    const volumes = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: marked({ name: stage.namespace }, run),
    };
    const objects = [
      ...manifests,
      volumes,
      ...(store.secret ? [store.secret] : []),
      store.location,
    ];
    await applyObjects(client, objects, stage);
    const kubectl = `kubectl --kubeconfig ${kubeconfig} --context ${context}`;
    return { folder, kubectl, store, stage, filler: sendingFiller(stage, kubeconfig), close };
  } catch (error) {
    await close();
    throw error;
  }
}

const marked = (metadata: KubeObject["metadata"], run: string): KubeObject["metadata"] => ({
  ...metadata,
  labels: { ...metadata.labels, [runLabel]: run },
});

const clusterWide = /^ClusterRole(Binding)?$/;

/** Without definitions; roles of the whole cluster get names of the run. */
function ownManifests(objects: readonly KubeObject[], run: string): KubeObject[] {
  return objects
    .filter(({ kind }) => kind !== "CustomResourceDefinition")
    .map((object) => {
      const { kind = "", metadata } = object;
      const changed = {
        ...structuredClone(object),
        metadata: marked(metadata, run),
      } as KubeObject & {
        roleRef?: { kind: string; name: string };
      };
      if (clusterWide.test(kind)) changed.metadata.name = `${metadata.name}-${run}`;
      if (changed.roleRef?.kind === "ClusterRole") changed.roleRef.name += `-${run}`;
      return changed;
    });
}

async function missingDefinitions(client: NodeKubeClient): Promise<KubeObject[]> {
  const missing: KubeObject[] = [];
  for (const definition of crdManifests().filter(({ spec }) => spec.group === "velero.io")) {
    const { name } = definition.metadata;
    if (!(await client.get(resourceOf(definition), { name: name ?? "" }))) missing.push(definition);
  }
  return missing;
}

async function chooseClasses(
  client: NodeKubeClient,
  settings: {
    readonly storageClass?: string | undefined;
    readonly snapshotClass?: string | undefined;
  },
): Promise<Pick<Stage, "snapshotClass" | "storageClass">> {
  const isDefault = ({ metadata }: KubeObject): boolean =>
    metadata.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true";
  const storage = await client.list(storageClasses);
  const storageClass = settings.storageClass
    ? storage.items.find(({ metadata }) => metadata.name === settings.storageClass)
    : storage.items.find(isDefault);
  if (!storageClass) throw new Error("no such StorageClass, or no default one: --storage-class");
  const snapshots = (await client.list(volumeSnapshotClasses)).items.filter(
    ({ driver }) => driver === storageClass.provisioner,
  );
  const snapshotClass =
    snapshots.find(({ metadata }) => metadata.name === settings.snapshotClass) ??
    snapshots.find(({ metadata }) => metadata.labels?.[labels.csiVolumeSnapshotClass] === "true") ??
    snapshots.find(
      ({ metadata }) => metadata.annotations?.[annotations.defaultVolumeSnapshotClass] === "true",
    ) ??
    snapshots[0];
  if (
    !snapshotClass ||
    (settings.snapshotClass && snapshotClass.metadata.name !== settings.snapshotClass)
  )
    throw new Error(
      `no VolumeSnapshotClass of driver ${storageClass.provisioner}: --snapshot-class`,
    );
  return {
    storageClass: storageClass.metadata.name ?? "",
    snapshotClass: snapshotClass.metadata.name ?? "",
  };
}

/** Only what has the run's label, and by the label: an interrupted installation has not made everything. */
async function removeRun(stage: Stage, manifests: readonly KubeObject[]): Promise<void> {
  const { client, namespace, operatorNamespace, run } = stage;
  const own = { signal: AbortSignal.timeout(cleanUpMs) };
  const labelSelector = `${runLabel}=${run}`;
  // While the node agents are there, who clean up behind them.
  for (const resource of [dataUploads, dataDownloads] as readonly Resource[]) {
    const { items } = await client.list(resource, { namespace: operatorNamespace, labelSelector });
    for (const { metadata } of items)
      await client.delete(resource, { namespace: operatorNamespace, name: metadata.name ?? "" });
    await until(`${resource.plural} to go`, own, async () => {
      const left = await client.list(resource, { namespace: operatorNamespace, labelSelector });
      return left.items.length === 0 || undefined;
    });
  }
  for (const name of [namespace, operatorNamespace]) {
    const found = await client.get(namespaces, { name });
    if (found?.metadata.labels?.[runLabel] !== run) continue;
    await client.delete(namespaces, { name });
    await until(`namespace ${name} to go`, own, async () =>
      (await client.get(namespaces, { name })) ? undefined : true,
    );
  }
  for (const object of manifests.filter(({ kind = "" }) => clusterWide.test(kind)))
    await client.delete(resourceOf(object), { name: object.metadata.name ?? "" });
}
