/**
 * The demo on a cluster that is somebody's: it asks first, moves volumes as on its own cluster, leaves nothing behind, also when it
 * is interrupted, and does not touch what it has not made: a foreign claim, DataUpload, repository and key of the store.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { crdManifests } from "@dm/crds";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { type Cluster, startCluster } from "@dm/testbed";
import { afterAll, beforeAll, expect, it } from "vitest";
import { storageObjects } from "../src/demo/embedded.ts";
import { type DemoParts, runDemo } from "../src/demo/run-demo.ts";
import { createScreen, type Screen } from "../src/demo/screen.ts";
import { layOutImage } from "./programs.ts";

let folder = "";
let cluster: Cluster;
let s3: S3Server;
let podCommand: readonly string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-existing-"));
  mkdirSync(join(folder, "source"));
  writeFileSync(join(folder, "source/file"), "text");
  writeFileSync(join(folder, "image"), Buffer.alloc(1 << 20, "block "));
  const programs = layOutImage(folder);
  podCommand = [process.execPath, programs.demoPod];
  cluster = await startCluster({
    images: { mine: { argv: [process.execPath, programs.controller], isEntrypoint: true } },
  });
  s3 = await startS3Server({ buckets: ["shared"], anyRegion: true });
  process.env["AWS_ENDPOINT_URL"] = `http://${s3.endpoint}`;
  process.env["AWS_ACCESS_KEY_ID"] = s3.accessKey.accessKeyId;
  process.env["AWS_SECRET_ACCESS_KEY"] = s3.accessKey.secretAccessKey;
  makeForeignObjects();
  await settled();
}, 60_000);
afterAll(async () => {
  await cluster?.close();
  await s3?.close();
  for (const name of ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    delete process.env[name];
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function makeForeignObjects(): void {
  const { api } = cluster;
  const kinds = "customresourcedefinitions.apiextensions.k8s.io";
  for (const crd of crdManifests({ kinds: ["DataUpload", "BackupRepository"] }))
    api.create(kinds, crd as never);
  for (const object of storageObjects(cluster.csi?.name ?? "")) {
    const resource =
      object.kind === "StorageClass"
        ? "storageclasses.storage.k8s.io"
        : object.kind === "VolumeSnapshotClass"
          ? "volumesnapshotclasses.snapshot.storage.k8s.io"
          : kinds;
    api.create(resource, object as never);
  }
  api.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "theirs" } });
  const metadata = { name: "foreign", namespace: "theirs" };
  api.create("persistentvolumeclaims", {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata,
    spec: {
      storageClassName: "demo",
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Mi" } },
    },
  });
  api.create("datauploads.velero.io", {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataUpload",
    metadata,
    spec: {
      snapshotType: "CSI",
      datamover: "dm",
      backupStorageLocation: "theirs",
      operationTimeout: "10m0s",
      sourceNamespace: "theirs",
      sourcePVC: "foreign",
    },
  });
  api.create("backuprepositories.velero.io", {
    apiVersion: "velero.io/v1",
    kind: "BackupRepository",
    metadata,
    spec: {
      volumeNamespace: "theirs",
      backupStorageLocation: "theirs",
      repositoryType: "kopia",
      maintenanceFrequency: "1h0m0s",
    },
  });
}

/** Until the cluster has done its part: the foreign claim is bound, its namespace has what every namespace has. */
async function settled(): Promise<void> {
  for (let last = ""; ; await sleep(500)) {
    const now = everything().join();
    const claim = cluster.api.get("persistentvolumeclaims", "theirs", "foreign");
    if (claim?.status?.phase === "Bound" && now === last) return;
    last = now;
  }
}

const resources = [
  "namespaces",
  "pods",
  "secrets",
  "configmaps",
  "serviceaccounts",
  "persistentvolumeclaims",
  "persistentvolumes",
  "deployments.apps",
  "daemonsets.apps",
  "clusterroles.rbac.authorization.k8s.io",
  "clusterrolebindings.rbac.authorization.k8s.io",
  "roles.rbac.authorization.k8s.io",
  "volumesnapshots.snapshot.storage.k8s.io",
  "volumesnapshotcontents.snapshot.storage.k8s.io",
  "datauploads.velero.io",
  "backuprepositories.velero.io",
  "storageclasses.storage.k8s.io",
];

/** Every object with its version, which changes with whatever is written to it. */
function everything(): string[] {
  return resources.flatMap((resource) =>
    cluster.api
      .list(resource)
      .map(({ metadata: { name, namespace = "", resourceVersion } }) =>
        [resource, namespace, name, resourceVersion].join(" "),
      ),
  );
}

const keys = (): readonly string[] => s3.bucket("shared").keys;

function partsOf(
  screen: Screen,
  more: Partial<DemoParts> = {},
  settings: Partial<DemoParts["settings"]> = {},
): DemoParts {
  return {
    settings: {
      sources: [join(folder, "source")],
      block: join(folder, "image"),
      store: "s3://shared/some/place",
      keep: false,
      kubeconfig: cluster.kubeconfig,
      image: "mine",
      yes: true,
      storageClass: "demo",
      algorithms: {},
      ...settings,
    },
    screen,
    programs: { controller: "", demoPod: "" },
    podCommand,
    defaultSources: [],
    signal: AbortSignal.timeout(240_000),
    ...more,
  };
}

it("asks before it uses the cluster, and needs a store that the cluster can reach", async () => {
  const before = everything();
  let text = "";
  const screen = createScreen((more) => {
    text += more;
  }, false);
  const questions: string[] = [];
  const confirm = async (question: string): Promise<boolean> => {
    questions.push(question);
    return false;
  };
  await expect(runDemo(partsOf(screen, { confirm }, { yes: false }))).rejects.toThrow("consent");
  expect(questions).toEqual(["Use the cluster of context testbed?"]);
  expect(text).toContain("context testbed, https://127.0.0.1:");
  await expect(runDemo(partsOf(screen, {}, { store: undefined }))).rejects.toThrow("--store s3://");
  expect(everything()).toEqual(before);
});

it("moves volumes beside foreign objects, and leaves everything as it was", async () => {
  const before = everything();
  let stored: readonly string[] = [];
  let text = "";
  const screen = createScreen((more) => {
    text += more;
  }, false);
  const complete = await runDemo(
    partsOf(screen, {
      inspect: async () => {
        stored = [...keys()];
        expect(cluster.server.denied).toEqual([]);
      },
    }),
  ).catch((error: unknown) => {
    throw new Error(`${error}\n${text}`, { cause: error });
  });
  expect(complete).toBe(true);
  expect(stored.length).toBeGreaterThan(5);
  expect(stored.every((key) => key.startsWith("some/place/dm-demo-"))).toBe(true);
  expect(keys()).toEqual([]);
  expect(everything()).toEqual(before);
  expect(cluster.csi?.volumes()).toHaveLength(1);
  expect(cluster.csi?.snapshots()).toEqual([]);
}, 300_000);

it("cleans up after an interruption", async () => {
  const before = everything();
  const stop = new AbortController();
  const screen = createScreen((text) => {
    if (text.includes("InProgress")) stop.abort(new Error("interrupted by SIGINT"));
  }, false);
  await expect(runDemo(partsOf(screen, { signal: stop.signal }))).rejects.toThrow("interrupted");
  expect(everything()).toEqual(before);
  expect(keys()).toEqual([]);
  expect(cluster.csi?.snapshots()).toEqual([]);
}, 300_000);
