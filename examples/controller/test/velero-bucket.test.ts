/**
 * The bucket that a real Velero server wrote, in a cluster that has never seen it, by the processes that the manifests start: its backups
 * appear, the namespace and its volume come back by data movement and by files of the pod, equal to what was in that volume; a backup
 * that is deleted takes nothing from the other; and what failed there is restored as far as it is in the backup. An object whose name
 * has 253 characters is backed up and restored.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { deleteBackupRequests, type Restore, restores } from "@dm/crds";
import { loadVeleroBucket, unexpired } from "@dm/fixtures";
import { openVeleroFolder } from "@dm/snapshot/velero";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { storageObjects } from "../src/demo/embedded.ts";
import { applyObjects } from "../src/demo/install.ts";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { listClaim } from "../src/demo/volumes.ts";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";
import { backUp, bucketFiles, nothingLeft, openBackupScene, restore } from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

const recorded = loadVeleroBucket();
const workload = "mysql-persistent";

let folder = "";
let scene: SetUp;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-velero-bucket-"));
  scene = await openBackupScene({
    programs: layOutImage(folder),
    signal: AbortSignal.timeout(240_000),
    manifests: "overlays/fs-backup",
    // One node: a restored pod and who lists its volume use it at the same time.
    cluster: { nodes: 1, images: { "registry.example.com/mysql:8.4": ["sleep", "600"] } },
  });
  const [storageClass] = storageObjects(scene.embedded.cluster.csi?.name ?? "").filter(
    ({ kind }) => kind === "StorageClass",
  );
  const metadata = { name: "csi-fast" };
  await applyObjects(scene.stage.client, [{ ...storageClass, metadata }], scene.stage);
  await fillBucket();
}, 60_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

/** Under the prefix of the scene's location, which is that of the recorded one. */
async function fillBucket(): Promise<void> {
  const { location, secret } = scene.store;
  const credentials = Buffer.from(secret?.data?.["cloud"] ?? "", "base64").toString();
  const { config, objectStorage, provider } = location.spec;
  const place = { provider, config: config ?? {}, objectStorage: { ...objectStorage } as never };
  const folders = Map.groupBy(unexpired(recorded), ([key]) => key.split("/").slice(1, 3).join("/"));
  for (const [path, entries] of folders) {
    const options = { credentials: async () => credentials, environment: {} };
    const store = await openVeleroFolder(place, path.split("/"), options);
    for (const [key, bytes] of entries) await store.put(key.split("/").at(-1) ?? "", bytes);
    await store.close();
  }
}

const types: Readonly<Record<string, ListedEntry["type"]>> = {
  d: "directory",
  f: "file",
  s: "link",
};

/** What was in the volume, as the witness lists it. */
const volumeThen: ListedEntry[] = recorded.expected.volumes["mysql-persistent/mysql"].map(
  ({ mode, path, target, type, ...rest }: Record<string, string>) => ({
    ...rest,
    path: path === "." ? "" : path,
    type: types[type ?? ""],
    mode: Number.parseInt(mode ?? "", 8),
    ...(target !== undefined && { target }),
  }),
);

async function expectVolume(namespace: string): Promise<void> {
  const found = await listClaim({ ...scene.stage, namespace }, "mysql", "Filesystem");
  // The recording has no times of links; those who are not root own what they write.
  const isRoot = process.getuid?.() === 0;
  const comparable = (entries: readonly ListedEntry[]): object[] =>
    entries
      // By it the restored pod was told to start.
      .filter(({ path }) => !/^\.velero(\/|$)/.test(path))
      .map(({ gid, mtimeNs, uid, ...rest }) => ({
        ...rest,
        ...(rest.type === "file" && { mtimeNs }),
        ...(isRoot && { uid, gid }),
      }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  expect(comparable(found)).toEqual(comparable(volumeThen));
}

async function listOf(name: string): Promise<Record<string, string[]>> {
  const key = `velero/restores/${name}/restore-${name}-resource-list.json.gz`;
  const bytes = await scene.store.server?.bucket("dm-demo").read(key);
  return JSON.parse(gunzipSync(bytes ?? new Uint8Array()).toString());
}

const timeout = 60_000;

describe("the bucket of a real Velero server", () => {
  it("has its backups appear", { timeout }, async () => {
    const { api } = scene.embedded.cluster;
    await until("the backups to appear", scene.stage, async () =>
      api.list("backups.velero.io").length === 4 ? true : undefined,
    );
    const phases = api
      .list("backups.velero.io")
      .map(({ metadata, status }) => [metadata.name, status?.phase]);
    const expected = Object.entries(recorded.expected.backups as Record<string, { phase: string }>);
    expect(Object.fromEntries(phases)).toEqual(
      Object.fromEntries(expected.map(([name, { phase }]) => [name, phase])),
    );
  });

  it("gives the namespace back with its volume, whose data was moved", { timeout }, async () => {
    const status = await restore(scene, "moved-back", { backupName: "moved" });
    expect(status).toMatchObject({
      phase: "Completed",
      restoreItemOperationsAttempted: 1,
      restoreItemOperationsCompleted: 1,
    });
    await expectVolume(workload);
    const { api } = scene.embedded.cluster;
    await until("the pod to run", scene.stage, async () => {
      const pod = api.get("pods", workload, "mysql-7d9c5b8f6d-x2x4q");
      return pod?.status?.phase === "Running" ? true : undefined;
    });
    expect(api.get("databases.example.com", workload, "shop")?.spec).toEqual({
      engine: "mysql",
      version: "8.4",
      parameters: { charset: "utf8mb4", sql_mode: "ANSI" },
    });
    expect((await listOf("moved-back"))["v1/Secret"]).toEqual([
      `${workload}/mysql-credentials(created)`,
    ]);
  });

  it("gives it back by the files of its pod, in another namespace", { timeout }, async () => {
    const status = await restore(scene, "fsb-back", {
      backupName: "fsb",
      namespaceMapping: { [workload]: "mysql-fsb" },
    });
    expect(status).toMatchObject({ phase: "Completed" });
    const { api } = scene.embedded.cluster;
    const volumes = api.list("podvolumerestores.velero.io");
    expect(volumes.map((one) => one.status?.phase)).toEqual(["Completed"]);
    await expectVolume("mysql-fsb");
  });

  it("gives back what has no volume in its backup", { timeout }, async () => {
    const status = await restore(scene, "plain-copy", {
      backupName: "plain",
      namespaceMapping: { [workload]: "mysql-copy" },
      excludedResources: ["pods", "deployments.apps", "persistentvolumeclaims"],
    });
    expect(status).toMatchObject({ phase: "Completed" });
    const { api } = scene.embedded.cluster;
    expect(api.get("configmaps", "mysql-copy", "frozen-config")).toMatchObject({ immutable: true });
  });

  it("gives back what there is of a backup that failed in part", { timeout }, async () => {
    const status = await restore(scene, "partly-back", { backupName: "partly" });
    const { api } = scene.embedded.cluster;
    expect(api.get("configmaps", "broken", "fine")).toBeDefined();
    expect(status.phase).toMatch(/^(Completed|PartiallyFailed)$/);
    expect(api.get("persistentvolumeclaims", "broken", "noclass")).toBeUndefined();
    // Its volume was to be retained, and there is no snapshot of it: it stands for what the storage may still have.
    expect(api.delete("persistentvolumes", "", "pv-noclass")).toBe(true);
  });

  it("loses one backup, and the other still restores", { timeout: 90_000 }, async () => {
    const { client, operatorNamespace: namespace } = scene.stage;
    const metadata = { name: "no-moved", namespace };
    await client.create(deleteBackupRequests, {
      apiVersion: "velero.io/v1",
      kind: "DeleteBackupRequest",
      metadata,
      spec: { backupName: "moved" },
    });
    await until("the backup to go", scene.stage, async () => {
      const request = await client.get(deleteBackupRequests, metadata);
      if (request?.status?.errors?.length) throw new Error(request.status.errors.join());
      return request ? undefined : true;
    });
    const left = [...(await bucketFiles(scene, "")).keys()];
    expect(left.filter((key) => /^(backups\/moved|restores\/moved-back)\//.test(key))).toEqual([]);
    expect(await client.get(restores, { namespace, name: "moved-back" })).toBeUndefined();
    const status: Restore["status"] = await restore(scene, "fsb-again", {
      backupName: "fsb",
      namespaceMapping: { [workload]: "mysql-again" },
    });
    expect(status).toMatchObject({ phase: "Completed" });
    await expectVolume("mysql-again");
    await nothingLeft(scene);
  });
});

it("a name of 253 characters survives backup and restore", { timeout }, async () => {
  const { client } = scene.stage;
  const name = `${"n".repeat(249)}.253`;
  const namespace = "long-names";
  const data = { a: "b" };
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data },
  ];
  await applyObjects(client, objects, scene.stage);
  expect(name).toHaveLength(253);
  const spec = { includedNamespaces: [namespace], snapshotVolumes: false };
  expect(await backUp(scene, "long", spec)).toMatchObject({ phase: "Completed" });
  const mapping = { namespaceMapping: { [namespace]: "longer" } };
  const status = await restore(scene, "long-back", { backupName: "long", ...mapping });
  expect(status).toMatchObject({ phase: "Completed" });
  const restored = scene.embedded.cluster.api.get("configmaps", "longer", name);
  expect(restored).toMatchObject({ data });
});
