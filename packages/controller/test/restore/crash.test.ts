/**
 * A server is killed at each call that a Restore makes to the API server or the bucket, just before or just after it took effect, and
 * another one goes on: the Restore ends as if nothing had happened, nothing is made twice and nothing is left behind. (Velero makes a
 * Restore that was InProgress Failed.) A sample by seed; every call with DM_FULL=1.
 */
import { annotations, type PodVolumeBackup } from "@dm/crds";
import { afterAll, expect, it } from "vitest";
import { decodeGzipJson } from "../../src/bucket/backup-files.ts";
import { reconcileRestore } from "../../src/restore/reconcile-restore.ts";
import { type CrashAt, crashPoints, MortalServer, seed } from "../backup/crash-points.ts";
import { Crash, operator, World } from "../backup/world.ts";
import { putBackup } from "./backups.ts";
import { definition, object } from "./objects.ts";

const snapshots = "snapshot.storage.k8s.io/v1";
const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const bound = { status: { phase: "Bound" } };
const claim = (name: string, volumeName: string, notes = {}) =>
  object(
    "v1",
    "PersistentVolumeClaim",
    name,
    { spec: { ...spec, volumeName }, ...bound },
    { uid: name, annotations: notes },
  );
const objects = [
  definition,
  object("example.com/v1", "Widget", "w", { spec: { size: 1 } }),
  object("v1", "ConfigMap", "plain", { data: { a: "1" } }),
  object("v1", "ConfigMap", "there", { data: { a: "1" } }),
  object("v1", "Secret", "Odd_Name", { data: {} }),
  object("v1", "PersistentVolume", "kept", {
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Retain",
      claimRef: { namespace: "shop", name: "static" },
      nfs: { server: "s", path: "/" },
    },
  }),
  claim("static", "kept"),
  claim("moved", "pv-moved", { [annotations.dataUploadName]: "velero/u" }),
  claim("files", "pv-files"),
  claim("snapped", "pv-snapped", { [annotations.volumeSnapshotName]: "s" }),
  object(snapshots, "VolumeSnapshot", "s", {
    spec: { source: { persistentVolumeClaimName: "snapped" } },
    status: { boundVolumeSnapshotContentName: "c" },
  }),
  object(
    snapshots,
    "VolumeSnapshotContent",
    "c",
    {
      spec: {
        driver: "csi.test",
        deletionPolicy: "Delete",
        source: { volumeHandle: "v" },
        volumeSnapshotRef: { name: "s", namespace: "shop" },
      },
      status: { snapshotHandle: "h" },
    },
    { namespace: undefined },
  ),
  object(
    "velero.io/v2alpha1",
    "DataUpload",
    "u",
    {
      spec: { sourceNamespace: "shop", sourcePVC: "moved" },
      status: { phase: "Completed", snapshotID: "k" },
    },
    { namespace: operator },
  ),
  object("v1", "Pod", "db-0", {
    spec: {
      containers: [{ name: "main", image: "db", volumeMounts: [{ name: "v", mountPath: "/d" }] }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "files" } }],
    },
  }),
];
const podVolumeBackups = [
  {
    metadata: { name: "p", namespace: operator, annotations: { [annotations.pvcName]: "files" } },
    spec: { pod: { name: "db-0", namespace: "shop" }, volume: "v", uploaderType: "kopia" },
    status: { phase: "Completed", snapshotID: "f" },
  },
] as unknown as PodVolumeBackup[];
const volumes = ["moved", "files"].map((name) => ({
  pvcName: name,
  pvcNamespace: "shop",
  pvName: `pv-${name}`,
  backupMethod: name === "moved" ? "CSISnapshot" : "PodVolumeBackup",
  pvInfo: { reclaimPolicy: "Retain", labels: { zone: "a" } },
}));
const watched = [
  "configmaps",
  "pods",
  "persistentvolumeclaims",
  "persistentvolumes",
  "datadownloads.velero.io",
  "podvolumerestores.velero.io",
  "customresourcedefinitions.apiextensions.k8s.io",
];

/** Runs a Restore. Returns what came of it and how many calls there were. */
async function run(at?: CrashAt): Promise<{ end: object; calls: number }> {
  await using world = await World.open();
  putBackup(world, "b", objects, { podVolumeBackups, volumes });
  world.namespace("copy");
  world.api.create(
    "configmaps",
    object("v1", "ConfigMap", "there", {}, { namespace: "copy" }) as never,
  );
  const server = new MortalServer(at, Crash);
  world.hooks = server.hooks;
  const made: Record<string, number> = {};
  for (const kind of watched)
    world.api.watch(kind, ({ type }) => {
      if (type === "ADDED") made[kind] = (made[kind] ?? 0) + 1;
    });
  world.restore("back", {
    backupName: "b",
    namespaceMapping: { shop: "copy" },
    hooks: { resources: [{ name: "h", postHooks: [{ exec: { command: ["run"] } }] }] },
  });
  const status = () => world.get("restores", operator, "back").status;
  for (let turn = 0; !/^(Completed|Partially|Failed)/.test(status()?.phase ?? ""); turn++) {
    if (turn > 100) throw new Error(`it does not end: ${status()?.phase}`);
    const deps = { ...world.deps, restoreWait: { image: "dm:1" } };
    await reconcileRestore(deps, { namespace: operator, name: "back" }).catch((error: unknown) => {
      if (!(error instanceof Crash)) throw error;
    });
    server.isDead = false;
    play(world);
    world.clock.advance(5_000);
  }
  const results = world.blobs.get("default/restores/back/restore-back-results.gz");
  const list = world.blobs.get("default/restores/back/restore-back-resource-list.json.gz");
  // Named by the uid of the Restore.
  const names = (text: string): string => text.replaceAll(/[0-9a-f]{64}/g, "snapshot");
  const end = {
    made,
    snapshots: [world.list("snapshots").length, world.list("contents").length],
    status: { ...status(), startTimestamp: "", completionTimestamp: "" },
    results: decodeGzipJson(results ?? new Uint8Array(), "results"),
    list: decodeGzipJson(list ?? new Uint8Array(), "list"),
    claims: world.api
      .list("persistentvolumeclaims", "copy")
      .map(({ metadata, status: { phase } = {} }) => [metadata.name, phase]),
    volumes: world.api
      .list("persistentvolumes")
      .map(({ metadata, spec: { persistentVolumeReclaimPolicy: policy } }) => [
        metadata.labels?.["zone"],
        policy,
      ])
      .sort(),
    executed: world.executed,
    widget: world.api.get("widgets.example.com", "copy", "w")?.spec,
  };
  return { end: JSON.parse(names(JSON.stringify(end))), calls: server.calls };
}

/** One step of node agents, storage and kubelets. */
function play(world: World): void {
  world.playAround();
  const kind = "podvolumerestores.velero.io";
  for (const { metadata, status } of world.api.list(kind))
    if (status?.phase !== "Completed")
      world.api.modify(kind, operator, metadata.name, (one) => {
        one.status = { phase: "Completed", completionTimestamp: "2026-11-22T10:00:00Z" };
      });
  for (const { metadata, spec, status } of world.api.list("persistentvolumeclaims", "copy")) {
    if (status?.phase === "Bound" || spec.selector) continue;
    const name = spec.volumeName ?? `new-${metadata.name}`;
    if (!world.api.get("persistentvolumes", "", name))
      world.api.create("persistentvolumes", {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name },
        spec: {
          capacity: { storage: "1Gi" },
          accessModes: ["ReadWriteOnce"],
          persistentVolumeReclaimPolicy: "Delete",
          nfs: { server: "s", path: "/" },
        },
      });
    world.api.modify("persistentvolumeclaims", "copy", metadata.name, (one) => {
      one.spec.volumeName = name;
    });
    world.api.modify(
      "persistentvolumeclaims",
      "copy",
      metadata.name,
      (one) => {
        one.status = { phase: "Bound" };
      },
      { subresource: "status" },
    );
  }
  for (const { metadata } of world.api.list("pods", "copy"))
    world.api.modify(
      "pods",
      "copy",
      metadata.name,
      (one) => {
        one.status = {
          phase: "Running",
          containerStatuses: [{ name: "main", ready: true, state: { running: {} } }],
        };
      },
      { subresource: "status" },
    );
}

it(`a server that is killed at any call of a Restore (seed ${seed})`, {
  timeout: 600_000,
}, async () => {
  const { calls, end } = await run();
  expect(end).toMatchObject({
    status: {
      phase: "PartiallyFailed",
      errors: 1,
      warnings: 1,
      hookStatus: { hooksAttempted: 1, hooksFailed: 0 },
    },
    made: {
      "datadownloads.velero.io": 1,
      "podvolumerestores.velero.io": 1,
      pods: 1,
      persistentvolumeclaims: 4,
    },
    executed: ["copy/db-0 main: run"],
    widget: { size: 1 },
  });
  for (const at of crashPoints(calls, 12)) {
    const again = (await run(at)).end as typeof end & { executed: string[]; status: object };
    try {
      // A command that may have run is not run again, and is told.
      const lostHook = JSON.stringify(again).includes("the server ended while it ran");
      if (lostHook)
        expect(again).toMatchObject({
          status: { phase: "PartiallyFailed", errors: 2, hookStatus: { hooksFailed: 1 } },
        });
      else expect(again).toEqual(end);
      expect(again.executed.length).toBeLessThanOrEqual(1);
    } catch (error) {
      throw new Error(`killed ${at.when} call ${at.call} of ${calls}`, { cause: error });
    }
  }
});

afterAll(() => {
  console.log(
    `servers killed ${MortalServer.kills} times (seed ${seed}): every Restore ended as without`,
  );
});
