// Exposers on a whole embedded cluster, over HTTP: its own storage driver, binder, snapshot controller, scheduler and kubelets, with
// pods that are processes. A shell script stands in for the mover; what it reads and writes are the files of real volumes.
import { setTimeout as pause } from "node:timers/promises";
import {
  crdManifests,
  type DataDownload,
  type DataUpload,
  dataDownloads,
  dataUploads,
} from "@dm/crds";
import { type Cluster, type NewObject, type StoredObject, startCluster } from "@dm/testbed";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { csiSnapshotExposer } from "../../src/expose/csi-snapshot-exposer.ts";
import type { Exposer, Step } from "../../src/expose/exposer.ts";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { dataDownload, dataUpload, namespace } from "./samples.ts";
import { snapshotGroup, storageGroup, stored } from "./world.ts";

const claims = "persistentvolumeclaims";
const volumes = "persistentvolumes";
const snapshots = "volumesnapshots.snapshot.storage.k8s.io";
const contents = "volumesnapshotcontents.snapshot.storage.k8s.io";

const mover = `for a in "$@"; do case "$a" in --volume-path=*) p="\${a#*=}";; esac; done
[ -d "$p" ] && p="$p/file"
[ "$2" = restore ] && printf restored | dd of="$p" conv=notrunc 2>/dev/null
head -c 10 "$p"
exec sleep 600`;

let cluster: Cluster;
let client: NodeKubeClient;
let context: ExposerContext;

beforeEach(async () => {
  cluster = await startCluster({
    nodes: 2,
    csi: { canMount: false },
    images: { "dm:1": ["/bin/sh", "-c", mover, "dm"], "sh:1": ["/bin/sh", "-c"] },
  });
  const { api } = cluster;
  const make = (resource: string, object: object) => api.create(resource, object as NewObject);
  for (const crd of crdManifests()) make("customresourcedefinitions.apiextensions.k8s.io", crd);
  for (const name of [namespace, "shop"])
    make("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  for (const [name, volumeBindingMode] of [
    ["fast", "Immediate"],
    ["lazy", "WaitForFirstConsumer"],
  ])
    make("storageclasses.storage.k8s.io", {
      apiVersion: storageGroup,
      kind: "StorageClass",
      metadata: { name },
      provisioner: "csi.testbed.dm",
      volumeBindingMode,
    });
  for (const [name, deletionPolicy] of [
    ["snap", "Delete"],
    ["snap-kept", "Retain"],
  ])
    make("volumesnapshotclasses.snapshot.storage.k8s.io", {
      apiVersion: snapshotGroup,
      kind: "VolumeSnapshotClass",
      metadata: { name },
      driver: "csi.testbed.dm",
      deletionPolicy,
    });
  client = nodeKubeClient({ kubeconfig: cluster.kubeconfig });
  context = {
    client,
    clock: api.clock,
    namespace,
    template: {
      image: "dm:1",
      program: [],
      logArgs: [],
      imagePullSecrets: [],
      env: [],
      envFrom: [],
      volumes: [],
      volumeMounts: [],
      tolerations: [],
      labels: {},
      annotations: {},
    },
  };
});
afterEach(async () => {
  client.close();
  await cluster.close();
});

function createClaim(storageClassName: string, spec: object = {}): void {
  cluster.api.create(claims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "shop", name: "db" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName,
      resources: { requests: { storage: "1Mi" } },
      ...spec,
    },
  });
}

/** A pod of the user's that runs a script over `shop/db`, and has ended. */
async function runInShop(script: string, isBlock = false): Promise<string> {
  cluster.api.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "shop", name: "app" },
    spec: {
      restartPolicy: "Never",
      containers: [
        {
          name: "app",
          image: "sh:1",
          args: [script],
          ...(isBlock
            ? { volumeDevices: [{ name: "v", devicePath: "/v" }] }
            : { volumeMounts: [{ name: "v", mountPath: "/v" }] }),
        },
      ],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "db" } }],
    },
  });
  await until(() => cluster.api.get("pods", "shop", "app")?.status?.phase === "Succeeded");
  const log = (await client.podLog({ namespace: "shop", name: "app" })) ?? "";
  cluster.api.delete("pods", "shop", "app", { gracePeriodSeconds: 0 });
  await until(() => cluster.api.get("pods", "shop", "app") === undefined);
  return log;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(50);
}

async function finish(call: () => Promise<Step>): Promise<void> {
  await until(async () => (await call()).done);
}

/** As on a cluster: an exposed volume whose pod says something. */
async function logOf(exposer: Exposer, name: string): Promise<string> {
  await until(async () => (await exposer.exposed()) !== undefined);
  let log = "";
  await until(async () => {
    log = (await client.podLog({ namespace, name })) ?? "";
    return log !== "";
  });
  return log;
}

async function upload(
  storageClass: string,
  snapshotClass: string,
  volumeMode = "Filesystem",
): Promise<DataUpload> {
  createClaim(storageClass, { volumeMode });
  const isBlock = volumeMode === "Block";
  const place = isBlock ? "/v" : "/v/file";
  await runInShop(`printf "data of db" | dd of=${place} conv=notrunc`, isBlock);
  cluster.api.create(snapshots, {
    apiVersion: snapshotGroup,
    kind: "VolumeSnapshot",
    metadata: { namespace: "shop", name: "velero-db-x" },
    spec: {
      source: { persistentVolumeClaimName: "db" },
      volumeSnapshotClassName: snapshotClass,
    },
  });
  const csiSnapshot = { storageClass, snapshotClass, volumeSnapshot: "velero-db-x" };
  return stored(cluster.api, dataUploads, dataUpload({ csiSnapshot }));
}

function only(resource: string): StoredObject[] {
  return cluster.api.list(resource);
}

describe("a backup", () => {
  it.each([
    ["fast", "snap", "Filesystem"],
    ["fast", "snap-kept", "Filesystem"],
    ["lazy", "snap", "Filesystem"],
    ["fast", "snap", "Block"],
  ])(
    "rows 11 to 13, 15: a pod reads what the volume held, classes %s and %s, %s, and nothing stays",
    async (storageClass, snapshotClass, volumeMode) => {
      const exposer = csiSnapshotExposer(
        context,
        await upload(storageClass, snapshotClass, volumeMode),
      );
      await finish(exposer.expose);
      expect(await logOf(exposer, "backup-1")).toBe("data of db");
      expect(only(snapshots).map(({ metadata }) => metadata.name)).toEqual(["backup-1"]);
      expect(only(contents).map(({ metadata }) => metadata.name)).toEqual(["backup-1"]);
      await finish(exposer.removePod);
      await finish(exposer.expose);
      expect(await logOf(exposer, "backup-1")).toBe("data of db");
      await finish(exposer.cleanUp);
      await until(() => only(contents).length + only(snapshots).length === 0);
      await until(() => only("pods").length === 0 && only(volumes).length === 1);
      await until(() => cluster.csi?.snapshots().length === 0);
      expect(cluster.csi?.volumes()).toHaveLength(1);
      expect(only(claims).map(({ metadata }) => metadata.name)).toEqual(["db"]);
    },
  );

  it("row 29: says that the volume is full when the kubelet cannot relabel it", async () => {
    const made = await upload("fast", "snap");
    cluster.csi?.faults.add({ operation: "publish", of: "velero/backup-1", relabelFails: true });
    const exposer = csiSnapshotExposer(context, made);
    let failure: unknown;
    await until(async () => {
      try {
        await exposer.expose();
        return false;
      } catch (error) {
        failure = error;
        return true;
      }
    });
    expect(failure).toMatchObject({ code: "DM_EXPOSE_VOLUME_FULL" });
    await finish(exposer.cleanUp);
    await until(() => only(contents).length + only(snapshots).length === 0);
    await until(() => cluster.csi?.snapshots().length === 0);
  });
});

describe("a restore", () => {
  const selector = { matchLabels: { "velero.io/dynamic-pv-restore": "shop.db.abcde" } };

  function download(): DataDownload {
    return stored(cluster.api, dataDownloads, dataDownload());
  }

  it.each(["Filesystem", "Block"])(
    "row 80: the target has what the pod wrote, and its volume's reclaim policy, %s",
    async (volumeMode) => {
      createClaim("fast", { selector, volumeMode });
      const isBlock = volumeMode === "Block";
      const exposer = genericRestoreExposer(context, download());
      await finish(exposer.expose);
      expect(await logOf(exposer, "restore-1")).toContain("restored");
      await finish(exposer.rebind);
      await finish(exposer.cleanUp);
      const script = isBlock ? "head -c 8 /v" : "cat /v/file";
      expect(await runInShop(script, isBlock)).toBe("restored");
      expect(only(claims).map(({ metadata }) => metadata.name)).toEqual(["db"]);
      const [volume] = only(volumes);
      expect(volume?.spec.persistentVolumeReclaimPolicy).toBe("Delete");
      cluster.api.delete(claims, "shop", "db");
      await until(() => only(volumes).length === 0 && cluster.csi?.volumes().length === 0);
    },
  );

  it("row 81: is where the first pod that wants the target was put", async () => {
    createClaim("lazy", { selector });
    const exposer = genericRestoreExposer(context, download());
    expect((await exposer.expose()).done).toBe(false);
    cluster.api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: "shop", name: "app" },
      spec: {
        nodeSelector: { "kubernetes.io/hostname": "node-2" },
        containers: [
          {
            name: "app",
            image: "sh:1",
            args: ["cat /v/file; exec sleep 600"],
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          },
        ],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "db" } }],
      },
    });
    await finish(exposer.expose);
    expect(await logOf(exposer, "restore-1")).toContain("restored");
    expect(await exposer.exposed()).toMatchObject({ nodeName: "node-2" });
    await finish(exposer.rebind);
    await finish(exposer.cleanUp);
    await until(() => cluster.api.get("pods", "shop", "app")?.status?.phase === "Running");
    await until(async () => (await client.podLog({ namespace: "shop", name: "app" })) !== "");
    expect(await client.podLog({ namespace: "shop", name: "app" })).toBe("restored");
  });

  it("row 90: leaves nothing when it is given up", async () => {
    createClaim("fast", { selector });
    const exposer = genericRestoreExposer(context, download());
    await finish(exposer.expose);
    await finish(exposer.cleanUp);
    await until(() => only(volumes).length === 0 && cluster.csi?.volumes().length === 0);
    expect(only(claims).map(({ metadata }) => metadata.name)).toEqual(["db"]);
  });
});
