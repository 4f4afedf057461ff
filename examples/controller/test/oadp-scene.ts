/** The embedded cluster with the operator in the namespace of OADP, a store, and a namespace with a claim that holds files. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Backup,
  type BackupStorageLocation,
  backupStorageLocations,
  backups,
  type DataProtectionApplication,
  dataProtectionApplications,
  isFinalBackupPhase,
  type KubeObject,
  persistentVolumeClaims,
  type Resource,
  type Restore,
  secrets,
} from "@dm/crds";
import {
  type Embedded,
  image,
  snapshotClass,
  startEmbedded,
  storageClass,
  storageObjects,
} from "../src/demo/embedded.ts";
import { applyObjects } from "../src/demo/install.ts";
import { configured } from "../src/demo/set-up.ts";
import { type Stage, until } from "../src/demo/stage.ts";
import { type DemoStore, openStore } from "../src/demo/store.ts";
import { claimOf, type DemoVolume, runPod } from "../src/demo/volumes.ts";
import { readManifests } from "../src/manifests.ts";
import { layOutImage } from "./programs.ts";

export const namespace = "openshift-adp";
export const volume: DemoVolume = { claim: "data", volumeMode: "Filesystem", size: "64Mi" };

/** As the documentation has it; only the wait is shorter. */
const algorithms = {
  KOPIA_HASHING_ALGORITHM: "BLAKE3-256",
  KOPIA_ENCRYPTION_ALGORITHM: "CHACHA20-POLY1305-HMAC-SHA256",
  KOPIA_SPLITTER_ALGORITHM: "DYNAMIC-8M-RABINKARP",
};

export interface OadpScene extends AsyncDisposable {
  readonly embedded: Embedded;
  readonly store: DemoStore;
  readonly stage: Stage;
  readonly folder: string;
}

export async function openOadpScene(): Promise<OadpScene> {
  const folder = await mkdtemp(join(tmpdir(), "dm-oadp-"));
  const closers: (() => Promise<void> | void)[] = [
    () => rm(folder, { recursive: true, force: true }),
  ];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const run = randomBytes(4).toString("hex");
    const signal = AbortSignal.timeout(280_000);
    const programs = layOutImage(folder);
    const embedded = await startEmbedded(join(folder, "cluster"), programs);
    closers.push(() => embedded.cluster.close());
    closers.push(() => embedded.client.close());
    const store = await openStore(undefined, { run, namespace, folder, environment: {} });
    closers.push(() => store.close());
    const stage: Stage = {
      client: embedded.client,
      run,
      namespace: "shop",
      operatorNamespace: namespace,
      location: "dpa-sample-1",
      storageClass,
      snapshotClass,
      pod: { image, command: [process.execPath, programs.demoPod] },
      signal,
    };
    await applyObjects(
      embedded.client,
      [
        ...storageObjects(embedded.cluster.csi?.name ?? "").map(labelled),
        ...configured(readManifests("overlays/operator"), image),
        { apiVersion: "v1", kind: "Namespace", metadata: { name: stage.namespace } },
        ...(store.secret ? [store.secret] : []),
      ],
      stage,
    );
    await embedded.client.create(persistentVolumeClaims, claimOf(stage, volume));
    const args = ["write-once", "VOLUME/orders", "3000000"];
    await runPod(stage, { name: "fill", claim: volume.claim, volumeMode: "Filesystem", args });
    return { embedded, store, stage, folder, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The documentation's mark of the class that backups take. */
function labelled(object: KubeObject): KubeObject {
  if (object.kind !== "VolumeSnapshotClass") return object;
  const labels = { "velero.io/csi-volumesnapshot-class": "true" };
  return { ...object, metadata: { ...object.metadata, labels } };
}

/** The application of the documentation, with the store of the scene. */
function sampleApplication({ store }: OadpScene): DataProtectionApplication {
  const { config, credential, objectStorage, provider } = store.location.spec;
  return {
    apiVersion: "oadp.openshift.io/v1alpha1",
    kind: "DataProtectionApplication",
    metadata: { name: "dpa-sample", namespace },
    spec: {
      configuration: {
        nodeAgent: { enable: true, uploaderType: "kopia" },
        velero: {
          defaultPlugins: ["openshift", "aws", "csi"],
          itemOperationSyncFrequency: "1s",
          podConfig: {
            env: Object.entries(algorithms).map(([name, value]) => ({ name, value })),
          },
        },
        repositoryMaintenance: { global: { podResources: { cpuRequest: "50m" } } },
      },
      backupLocations: [{ velero: { provider, default: true, objectStorage, config, credential } }],
    },
  } as DataProtectionApplication;
}

/** Resolves when it is reconciled and its location can be used. */
export async function enable(scene: OadpScene): Promise<BackupStorageLocation> {
  const { client, location } = scene.stage;
  await client.create(dataProtectionApplications, sampleApplication(scene));
  await until("the application to be reconciled", scene.stage, async () => {
    const found = await client.get(dataProtectionApplications, { namespace, name: "dpa-sample" });
    const [condition] = found?.status?.conditions ?? [];
    return condition?.type === "Reconciled" && condition.status === "True" ? true : undefined;
  });
  return until("its location to be available", scene.stage, async () => {
    const found = await client.get(backupStorageLocations, { namespace, name: location });
    return found?.status?.phase === "Available" ? found : undefined;
  });
}

/** Creates a Backup or Restore, and follows it to its end. */
export async function ended<T extends Backup | Restore>(
  { stage }: OadpScene,
  resource: Resource<T>,
  name: string,
  spec: object,
): Promise<NonNullable<T["status"]>> {
  const { group, kind, version } = resource;
  const object = { apiVersion: `${group}/${version}`, kind, metadata: { name, namespace }, spec };
  await stage.client.create(resource, object as unknown as T);
  const end = await until(`${kind} ${name} to end`, stage, async () => {
    const found = await stage.client.get(resource, { namespace, name });
    return isFinalBackupPhase(found?.status?.phase as never) ? found : undefined;
  });
  return end.status as NonNullable<T["status"]>;
}

export const backUp = (scene: OadpScene) =>
  ended(scene, backups, "nightly", {
    includedNamespaces: [scene.stage.namespace],
    snapshotMoveData: true,
  });

/** What a client of the repository needs: the command after `connect`, and its environment. */
export async function connection({ folder, stage, store }: OadpScene): Promise<{
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}> {
  const secret = await stage.client.get(secrets, { namespace, name: "velero-repo-credentials" });
  const password = Buffer.from(secret?.data?.["repository-password"] ?? "", "base64").toString();
  return {
    args: store.connectFlags(stage.namespace).split(" "),
    env: {
      ...Object.fromEntries(store.environment.map((line) => line.split(/=(.*)/s).slice(0, 2))),
      PATH: process.env["PATH"] ?? "",
      HOME: folder,
      KOPIA_PASSWORD: password,
      KOPIA_CONFIG_PATH: join(folder, "kopia.config"),
      KOPIA_CHECK_FOR_UPDATES: "false",
    },
  };
}
