/**
 * Snapshots, DataUploads and DataDownloads of the demo, as the documentation has them.
 * @module
 */
import {
  type DataDownload,
  type DataUpload,
  dataDownloads,
  dataUploads,
  isFinalPhase,
  labels,
  persistentVolumeClaims,
  type VolumeSnapshot,
  volumeSnapshots,
} from "@dm/crds";
import type { ListedEntry } from "../demo-pod/volume-list.ts";
import type { Bar } from "./screen.ts";
import { metadataOf, runLabel, type Stage, until } from "./stage.ts";
import { claimOf, type DemoVolume, destroyClaim, listClaim } from "./volumes.ts";

const operationTimeout = "10m0s";

/** Takes a snapshot, and a list of what was frozen in it, from a copy that is gone afterwards. */
export async function freeze(
  stage: Stage,
  volume: DemoVolume,
  name: string,
): Promise<ListedEntry[]> {
  const { client, namespace, snapshotClass } = stage;
  const snapshot: VolumeSnapshot = {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshot",
    metadata: metadataOf(stage, name),
    spec: {
      volumeSnapshotClassName: snapshotClass,
      source: { persistentVolumeClaimName: volume.claim },
    },
  };
  await client.create(volumeSnapshots, snapshot);
  await until(`snapshot ${name} to be ready`, stage, async () => {
    const found = await client.get(volumeSnapshots, { namespace, name });
    return found?.status?.readyToUse ? true : undefined;
  });
  const copy = { ...volume, claim: `frozen-${name}` };
  const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name };
  await client.create(persistentVolumeClaims, claimOf(stage, copy, { dataSource }));
  const list = await listClaim(stage, copy.claim, volume.volumeMode);
  await destroyClaim(stage, copy.claim);
  return list;
}

/** Moves a snapshot into the repository. */
export async function upload(
  stage: Stage,
  volume: DemoVolume,
  name: string,
  bar: Bar,
): Promise<DataUpload> {
  const { client, namespace, operatorNamespace, run, snapshotClass, storageClass } = stage;
  const object: DataUpload = {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataUpload",
    metadata: { name, namespace: operatorNamespace, labels: { [runLabel]: run } },
    spec: {
      backupStorageLocation: stage.location,
      csiSnapshot: { snapshotClass, storageClass, volumeSnapshot: name },
      datamover: "dm",
      operationTimeout,
      snapshotType: "CSI",
      sourceNamespace: namespace,
      sourcePVC: volume.claim,
    },
  };
  await client.create(dataUploads, object);
  return follow(stage, `DataUpload ${name}`, bar, () =>
    client.get(dataUploads, { namespace: operatorNamespace, name }),
  );
}

/** Makes the claim that a restore makes: one that no volume matches, until the restored one is given to it. */
export async function createTarget(stage: Stage, volume: DemoVolume): Promise<void> {
  const matchLabels = {
    [labels.dynamicPVRestore]: `${stage.namespace}.${volume.claim}.${stage.run}`,
  };
  await stage.client.create(
    persistentVolumeClaims,
    claimOf(stage, volume, { selector: { matchLabels } }),
  );
}

/** Moves a snapshot out of the repository into a claim. */
export async function download(
  stage: Stage,
  volume: DemoVolume,
  { name, snapshotID }: { readonly name: string; readonly snapshotID: string },
  bar: Bar,
): Promise<DataDownload> {
  const { client, namespace, operatorNamespace, run } = stage;
  const object: DataDownload = {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataDownload",
    metadata: { name, namespace: operatorNamespace, labels: { [runLabel]: run } },
    spec: {
      backupStorageLocation: stage.location,
      datamover: "dm",
      operationTimeout,
      snapshotID,
      sourceNamespace: namespace,
      targetVolume: { namespace, pv: "", pvc: volume.claim },
    },
  };
  await client.create(dataDownloads, object);
  return follow(stage, `DataDownload ${name}`, bar, () =>
    client.get(dataDownloads, { namespace: operatorNamespace, name }),
  );
}

async function follow<T extends DataUpload | DataDownload>(
  stage: Stage,
  what: string,
  bar: Bar,
  get: () => Promise<T | undefined>,
): Promise<T> {
  const ended = await until(`${what} to end`, stage, async () => {
    const object = await get();
    const { phase, progress } = object?.status ?? {};
    bar.update(progress?.bytesDone ?? 0, progress?.totalBytes ?? 0, phase ?? "New");
    return object && isFinalPhase(phase) ? object : undefined;
  });
  const { message, phase } = ended.status ?? {};
  if (phase !== "Completed") throw new Error(`${what} is ${phase}: ${message ?? "no message"}`);
  return ended;
}
