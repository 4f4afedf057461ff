/**
 * Volumes that were backed up by their files, restored on the embedded API server: the pod waits, each volume has a PodVolumeRestore,
 * and what cannot be restored is told for each volume.
 */
import { annotations, labels, type PodVolumeBackup } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reconcileRestore } from "../../src/restore/reconcile-restore.ts";
import { operator, World } from "../backup/world.ts";
import { putBackup, restoreFile } from "./backups.ts";
import { object } from "./objects.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const claim = object("v1", "PersistentVolumeClaim", "data", {
  spec: {
    volumeName: "pv",
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
  },
  status: { phase: "Bound" },
});
const volume = object("v1", "PersistentVolume", "pv", {
  spec: {
    capacity: { storage: "1Gi" },
    persistentVolumeReclaimPolicy: "Retain",
    claimRef: { namespace: "shop", name: "data" },
    nfs: { server: "s", path: "/" },
  },
});
const pod = object("v1", "Pod", "db-0", {
  spec: {
    containers: [{ name: "main", image: "db", volumeMounts: [{ name: "v", mountPath: "/data" }] }],
    volumes: [
      { name: "v", persistentVolumeClaim: { claimName: "data" } },
      { name: "scratch", emptyDir: {} },
    ],
  },
});
const backedUp = (name: string, more: object = {}): PodVolumeBackup =>
  ({
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: {
      name: `b-${name}`,
      namespace: operator,
      annotations: { [annotations.pvcName]: "data" },
    },
    spec: {
      backupStorageLocation: "default",
      node: "n",
      pod: { kind: "Pod", name: "db-0", namespace: "shop", uid: "old" },
      repoIdentifier: "",
      uploaderType: "kopia",
      volume: name,
      ...more,
    },
    status: { phase: "Completed", snapshotID: `k-${name}`, progress: { totalBytes: 7 } },
  }) as PodVolumeBackup;
const method = [
  {
    pvcName: "data",
    pvcNamespace: "shop",
    pvName: "pv",
    backupMethod: "PodVolumeBackup",
    pvInfo: { reclaimPolicy: "Retain", labels: { zone: "a" } },
  },
];
const kind = "podvolumerestores.velero.io";
/** Their names say nothing about an order. */
const restores = () =>
  world.api.list(kind, operator).sort((a, b) => (a.spec.volume < b.spec.volume ? 1 : -1));

/** As node agents and storage do. */
function end(phase: string, message = ""): void {
  for (const { metadata, status } of restores())
    if (!["Completed", "Failed"].includes(status?.phase ?? ""))
      world.api.modify(kind, operator, metadata.name, (one) => {
        one.status = { ...one.status, phase, message, completionTimestamp: "2026-11-22T10:00:00Z" };
      });
}
function bind(namespace: string): void {
  world.api.create("persistentvolumes", {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "new" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Delete",
      nfs: { server: "s", path: "/n" },
    },
  });
  world.api.modify("persistentvolumeclaims", namespace, "data", (one) => {
    one.spec.volumeName = "new";
  });
  world.api.modify(
    "persistentvolumeclaims",
    namespace,
    "data",
    (one) => {
      one.status = { phase: "Bound" };
    },
    { subresource: "status" },
  );
}
async function turn(): Promise<void> {
  const deps = { ...world.deps, restoreWait: { image: "dm:1" } };
  await reconcileRestore(deps, { namespace: operator, name: "back" });
  world.clock.advance(5_000);
}
const objects = [claim, volume, pod];
const status = () => world.get("restores", operator, "back").status;
const errors = (): string[] => {
  const results = restoreFile(world, "back", "restore-back-results.gz") as {
    errors: { namespaces?: Record<string, string[]> };
  };
  return Object.values(results.errors.namespaces ?? {}).flat();
};

describe("volumes by their files", () => {
  it("come back in another namespace: the pod waits for them, the Restore too", async () => {
    putBackup(world, "b", objects, {
      volumes: method,
      podVolumeBackups: [backedUp("v"), backedUp("scratch")],
    });
    world.restore("back", { backupName: "b", namespaceMapping: { shop: "copy" } });
    await turn();
    const made = world.api.get("pods", "copy", "db-0");
    const { uid } = world.get("restores", operator, "back").metadata;
    expect(made?.spec.initContainers).toMatchObject([
      {
        name: "restore-wait",
        image: "dm:1",
        args: [uid],
        volumeMounts: [{ name: "v" }, { name: "scratch" }],
      },
    ]);
    expect(world.api.get("persistentvolumes", "", "pv")).toBeUndefined();
    expect(world.get("claims", "copy", "data").spec.volumeName).toBeUndefined();
    expect(restores().map(({ metadata }) => metadata.labels?.[labels.pvcUid])).toEqual([
      world.get("claims", "copy", "data").metadata.uid,
      undefined,
    ]);
    expect(
      restores().map(({ metadata, spec }) => [metadata.labels?.[labels.restoreUid], spec]),
    ).toEqual(
      ["v", "scratch"].map((name) => [
        uid,
        expect.objectContaining({
          volume: name,
          pod: { kind: "Pod", name: "db-0", namespace: "copy", uid: made?.metadata.uid },
          snapshotID: `k-${name}`,
          snapshotSize: 7,
          sourceNamespace: "shop",
        }),
      ]),
    );
    expect(status()?.phase).toBe("WaitingForPluginOperations");
    bind("copy");
    end("Completed");
    await turn();
    await turn();
    expect(status()?.phase).toBe("Completed");
    expect(world.api.get("persistentvolumes", "", "new")).toMatchObject({
      metadata: { labels: { zone: "a" } },
      spec: { persistentVolumeReclaimPolicy: "Retain" },
    });
    expect(restoreFile(world, "back", "back-volumeinfo.json.gz")).toEqual([
      {
        pvcName: "data",
        pvcNamespace: "copy",
        restoreMethod: "PodVolumeRestore",
        snapshotDataMoved: false,
        pvrInfo: {
          snapshotHandle: "k-v",
          uploaderType: "kopia",
          volumeName: "v",
          podName: "db-0",
          podNamespace: "copy",
        },
      },
    ]);
  });

  it("that fail, or whose object is gone, are errors", async () => {
    putBackup(world, "b", [pod, claim], { podVolumeBackups: [backedUp("v"), backedUp("scratch")] });
    world.restore("back", { backupName: "b" });
    await turn();
    const gone = restores().find(({ spec }) => spec.volume === "v");
    world.api.delete(kind, operator, gone?.metadata.name ?? "");
    end("Failed", "no space");
    await turn();
    expect(world.phases.get("restores/back")).toContain("FinalizingPartiallyFailed");
    expect(status()).toMatchObject({ phase: "PartiallyFailed", errors: 2 });
    expect(errors()).toEqual(["pods/db-0: volume scratch: no space"]);
  });

  it("that take too long are cancelled, and errors", async () => {
    putBackup(world, "b", [pod, claim], { podVolumeBackups: [backedUp("v")] });
    world.restore("back", { backupName: "b" });
    world.api.modify("restores.velero.io", operator, "back", (one) => {
      one.metadata.annotations = { [annotations.podVolumeTimeout]: "1h" };
    });
    await turn();
    world.clock.advance(3_600_000);
    await turn();
    expect(restores()[0]?.spec.cancel).toBe(true);
    await turn();
    expect(status()).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(errors()).toEqual(["pods/db-0: volume v: Asynchronous action timed out"]);
  });

  it("that restic made are refused, each with the reason; the pod starts without them", async () => {
    putBackup(world, "b", [pod, claim], {
      podVolumeBackups: [backedUp("v", { uploaderType: "restic" }), backedUp("scratch")],
    });
    world.restore("back", { backupName: "b" });
    await turn();
    expect(restores().map(({ spec }) => spec.volume)).toEqual(["scratch"]);
    const [wait] = world.api.get("pods", "shop", "db-0")?.spec.initContainers ?? [];
    expect(wait?.volumeMounts).toEqual([expect.objectContaining({ name: "scratch" })]);
    end("Completed");
    bind("shop");
    await turn();
    await turn();
    expect(status()).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(errors()).toEqual([
      expect.stringMatching(/^pods\/shop\/db-0: volume v: the volume was backed up with restic, /),
    ]);
  });

  it("are left out with their claims", async () => {
    putBackup(world, "b", [pod, claim], { podVolumeBackups: [backedUp("v")] });
    world.restore("back", { backupName: "b", excludedResources: ["pvc"] });
    await turn();
    expect(restores()).toEqual([]);
    expect(world.api.get("pods", "shop", "db-0")?.spec.initContainers).toBeUndefined();
  });

  it("are waited for as the administrator says", async () => {
    world.api.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: "wait",
        namespace: operator,
        labels: {
          "velero.io/plugin-config": "",
          "velero.io/pod-volume-restore": "RestoreItemAction",
        },
      },
      data: {
        image: "registry.example.com/dm:2",
        command: "/dm",
        cpuRequest: "200m",
        memLimit: "64Mi",
        secCtxRunAsUser: "1001",
        secCtxRunAsGroup: "all",
        secCtx: "runAsNonRoot: true\ncapabilities: { drop: [ALL] }\n",
      },
    });
    putBackup(world, "b", [pod, claim], { podVolumeBackups: [backedUp("v")] });
    world.restore("back", { backupName: "b" });
    await turn();
    expect(world.api.get("pods", "shop", "db-0")?.spec.initContainers[0]).toMatchObject({
      image: "registry.example.com/dm:2",
      command: ["/dm"],
      resources: {
        requests: { cpu: "200m", memory: "128Mi" },
        limits: { cpu: "100m", memory: "64Mi" },
      },
      securityContext: { runAsUser: 1001, runAsNonRoot: true, capabilities: { drop: ["ALL"] } },
    });
  });

  it("are refused by a server that has no image to wait with", async () => {
    putBackup(world, "b", [pod, claim], { podVolumeBackups: [backedUp("v")] });
    world.restore("back", { backupName: "b" });
    await world.untilEnd("restores", "back");
    expect(errors()).toEqual([
      "pods/shop/db-0: volume v: no image is configured for the init container that waits for its files",
    ]);
  });
});
