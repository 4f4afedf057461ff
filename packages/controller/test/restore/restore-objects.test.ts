/**
 * Whole backups restored on the embedded API server: all kinds, namespaces and definitions that come first, what is there already,
 * what the administrator maps, and the files that tell what became of each object.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { AccessError, StorageError } from "@dm/core";
import { finalizers, labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeGzipJson } from "../../src/bucket/backup-files.ts";
import { decodeTar, encodeTar } from "../../src/bucket/tar-codec.ts";
import type { AnyObject } from "../../src/restore/actions/action.ts";
import { reconcileRestore } from "../../src/restore/reconcile-restore.ts";
import type { RestoreDeps } from "../../src/restore/restore-deps.ts";
import { kinds, operator, World } from "../backup/world.ts";
import { putBackup, restoreFile } from "./backups.ts";
import { definition, object } from "./objects.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const minuteMs = 60_000;
const widget = object("example.com/v1", "Widget", "w1", { spec: { size: 3 } });
const config = object("v1", "ConfigMap", "config", { data: { a: "1" } });
const pod = object(
  "v1",
  "Pod",
  "web-0",
  {
    spec: { nodeName: "old", containers: [{ name: "main", image: "web:1" }] },
    status: { phase: "Running" },
  },
  {
    uid: "old",
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "x" }],
  },
);

async function restored(name: string, spec: object = {}, ms?: number) {
  world.restore(name, { backupName: "b", ...spec });
  const { status } = await world.untilEnd("restores", name, ms);
  return status as Record<string, unknown>;
}
const listOf = (name: string): Record<string, string[]> =>
  restoreFile(world, name, `restore-${name}-resource-list.json.gz`) as Record<string, string[]>;
const resultsOf = (name: string) =>
  restoreFile(world, name, `restore-${name}-results.gz`) as {
    errors: { cluster?: string[]; namespaces?: Record<string, string[]> };
    warnings: { cluster?: string[]; namespaces?: Record<string, string[]> };
  };
const lines = (name: string): string[] => {
  const bytes = world.blobs.get(`default/restores/${name}/restore-${name}-logs.gz`);
  return gunzipSync(bytes ?? new Uint8Array())
    .toString()
    .trimEnd()
    .split("\n");
};

describe("a whole backup", () => {
  it("comes back: definitions first, each object with labels, in its namespace as it was", async () => {
    const namespace = object(
      "v1",
      "Namespace",
      "town",
      {},
      { labels: { team: "a" }, annotations: { note: "b" } },
    );
    const inTown = (one: AnyObject): AnyObject => ({
      ...one,
      metadata: { ...one.metadata, namespace: "town" },
    });
    const role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "reader", {
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
    });
    putBackup(world, "b", [
      namespace,
      inTown(widget),
      definition,
      inTown(config),
      inTown(pod),
      role,
    ]);
    expect(await restored("back")).toMatchObject({
      phase: "Completed",
      progress: { totalItems: 6, itemsRestored: 6 },
    });
    expect(world.get("namespaces", "", "town").metadata).toMatchObject({
      labels: { team: "a" },
      annotations: { note: "b" },
    });
    expect(world.api.get("widgets.example.com", "town", "w1")).toMatchObject({
      spec: { size: 3 },
      metadata: { labels: { [labels.backupName]: "b", [labels.restoreName]: "back" } },
    });
    const made = world.api.get("pods", "town", "web-0");
    expect(made?.spec.nodeName).toBeUndefined();
    expect(made?.metadata.ownerReferences).toBeUndefined();
    expect(listOf("back")).toEqual({
      "apiextensions.k8s.io/v1/CustomResourceDefinition": ["widgets.example.com(created)"],
      "example.com/v1/Widget": ["town/w1(created)"],
      "rbac.authorization.k8s.io/v1/ClusterRole": ["reader(created)"],
      "v1/ConfigMap": ["town/config(created)"],
      "v1/Namespace": ["town(created)"],
      "v1/Pod": ["town/web-0(created)"],
    });
    expect(resultsOf("back")).toEqual({ errors: {}, warnings: {} });
    expect(restoreFile(world, "back", "restore-back-itemoperations.json.gz")).toEqual([]);
    expect(restoreFile(world, "back", "back-volumeinfo.json.gz")).toEqual([]);
    expect(lines("back")[0]).toBe(
      'time="2026-11-22T10:00:00Z" level=info msg="Starting restore of backup velero/b" restore=velero/back',
    );
  });

  it("again finds everything the same, without a word", async () => {
    putBackup(world, "b", [config]);
    await restored("first");
    expect(await restored("second")).toMatchObject({ phase: "Completed" });
    expect(listOf("second")).toEqual({ "v1/ConfigMap": ["shop/config(skipped)"] });
    expect(resultsOf("second").warnings).toEqual({});
  });

  it("into a cluster that does not know a kind: an error for each object, all others come", async () => {
    putBackup(world, "b", [widget, config]);
    expect(await restored("back")).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["shop"]).toEqual([
      "error restoring widgets.example.com/shop/w1: the server could not find the requested resource",
    ]);
    expect(listOf("back")).toEqual({
      "example.com/v1/Widget": ["shop/w1(failed)"],
      "v1/ConfigMap": ["shop/config(created)"],
    });
  });

  it("with an object that the server refuses: an error for it, all others come", async () => {
    const odd = object("v1", "ConfigMap", "Odd_Name");
    putBackup(world, "b", [odd, config]);
    expect(await restored("back")).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["shop"]?.[0]).toMatch(
      /^error restoring configmaps\/shop\/Odd_Name: /,
    );
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
  });

  it("with a namespace that the server refuses: an error for what is in it, all others come", async () => {
    const namespaces = ["shop", "town"].map((name) => object("v1", "Namespace", name));
    const inTown = object("v1", "ConfigMap", "plan", {}, { namespace: "town" });
    putBackup(world, "b", [...namespaces, config, inTown]);
    const ended = await restored("back", { namespaceMapping: { town: "No_Name" } });
    expect(ended).toMatchObject({ phase: "PartiallyFailed", errors: 2 });
    const { errors } = resultsOf("back");
    expect(errors.namespaces?.["No_Name"]?.[0]).toMatch(
      /^error restoring configmaps\/No_Name\/plan: /,
    );
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
  });

  it.each([
    ["volumeinfo.json.gz", [null]],
    ["volumeinfo.json.gz", { pvName: "x" }],
    ["podvolumebackups.json.gz", [null]],
    ["podvolumebackups.json.gz", [{ metadata: {}, spec: {} }]],
    ["podvolumebackups.json.gz", "x"],
  ])("with a file %s that is none is refused: %j", async (file, content) => {
    putBackup(world, "b", [config]);
    world.blobs.set(`default/backups/b/b-${file}`, encodeGzipJson(content));
    expect(await restored("back")).toMatchObject({
      phase: "FailedValidation",
      validationErrors: [expect.stringMatching(`^Error retrieving backup: the file b-${file} `)],
    });
  });

  it("with names that would mean another path: an error, nothing is asked of the server", async () => {
    const calls: string[] = [];
    world.hooks = { before: (what) => calls.push(what) };
    putBackup(world, "b", [object("v1", "Secret", "x"), config]);
    const key = "default/backups/b/b.tar.gz";
    const tar = gunzipSync(world.blobs.get(key) ?? new Uint8Array());
    const files = [...decodeTar(tar)].map(({ bytes, path }) => {
      const text = new TextDecoder().decode(bytes).replace('"name":"x"', '"name":"../../x"');
      return { path, bytes: new TextEncoder().encode(text) };
    });
    world.blobs.set(key, gzipSync(encodeTar(files, new Date(0))));
    expect(await restored("back")).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.cluster).toEqual([
      'error decoding "secrets/shop/../../x": its name is no name',
    ]);
    expect(calls.filter((what) => what.includes("secrets"))).toEqual([]);
  });

  it("without objects ends Completed", async () => {
    putBackup(world, "b", []);
    expect(await restored("back")).toMatchObject({
      phase: "Completed",
      progress: { totalItems: 0, itemsRestored: 0 },
    });
  });
});

describe("what comes first is waited for", () => {
  it("a definition that is not served yet, and not for ever", async () => {
    putBackup(world, "b", [definition, widget]);
    const held = { ...definition, metadata: { ...definition.metadata } };
    world.api.create("customresourcedefinitions.apiextensions.k8s.io", held as never);
    world.api.modify(
      "customresourcedefinitions.apiextensions.k8s.io",
      "",
      "widgets.example.com",
      (one) => {
        one.metadata.finalizers = ["test/hold"];
      },
    );
    world.api.delete("customresourcedefinitions.apiextensions.k8s.io", "", "widgets.example.com");
    world.restore("back", { backupName: "b" });
    for (let turn = 0; turn < 3; turn++) await world.turn(minuteMs);
    expect(world.phase("restores", "back")).toBe("InProgress");
    expect(world.api.get("widgets.example.com", "shop", "w1")).toBeUndefined();
    world.api.modify(
      "customresourcedefinitions.apiextensions.k8s.io",
      "",
      "widgets.example.com",
      (one) => {
        one.metadata.finalizers = [];
      },
    );
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status?.phase).toBe("Completed");
    expect(world.api.get("widgets.example.com", "shop", "w1")).toBeDefined();
  });

  it("a kind that the server does not tell of yet", async () => {
    putBackup(world, "b", [definition, widget]);
    let lag = 4;
    const { discovery } = world.deps;
    const deps: RestoreDeps = {
      ...world.deps,
      discovery: {
        ...discovery,
        resources: async () => {
          const all = await discovery.resources();
          return lag-- > 0 ? all.filter(({ plural }) => plural !== "widgets") : all;
        },
      },
    };
    world.restore("back", { backupName: "b" });
    const look = () => reconcileRestore(deps, { namespace: operator, name: "back" });
    await look();
    expect(world.phase("restores", "back")).toBe("InProgress");
    await look();
    await look();
    expect(world.phase("restores", "back")).toBe("Completed");
    expect(listOf("back")["example.com/v1/Widget"]).toEqual(["shop/w1(created)"]);
  });

  it("an API that does not answer: all others go on, and it is an error in the end", async () => {
    putBackup(world, "b", [definition, widget, config]);
    world.hooks = {
      before: (what) => {
        if (/^(list|create) widgets/.test(what))
          throw new StorageError("DM_KUBE_UNAVAILABLE", "no endpoints", { httpStatus: 503 });
      },
    };
    world.restore("back", { backupName: "b" });
    await world.turn();
    expect(world.phase("restores", "back")).toBe("InProgress");
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["shop"]).toEqual([
      "error restoring widgets.example.com/shop/w1: no endpoints",
    ]);
  });

  it("nothing that the server does not let us list, or make", async () => {
    putBackup(world, "b", [object("v1", "Secret", "s"), config]);
    world.hooks = {
      before: (what) => {
        if (/^(list|create|get) secrets/.test(what))
          throw new AccessError("DM_KUBE_FORBIDDEN", "you may not");
      },
    };
    expect(await restored("back")).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["shop"]).toEqual([
      "error restoring secrets/shop/s: you may not",
    ]);
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
  });

  it("a namespace on its way out; what is to go there is an error when it stays", async () => {
    const inTown = { ...config, metadata: { ...config.metadata, namespace: "town" } };
    putBackup(world, "b", [config, inTown]);
    world.namespace("town");
    world.api.modify(kinds.namespaces, "", "town", (one) => {
      one.metadata.finalizers = ["test/hold"];
    });
    world.api.delete(kinds.namespaces, "", "town");
    world.restore("back", { backupName: "b" });
    await world.turn();
    expect(world.phase("restores", "back")).toBe("InProgress");
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["town"]).toEqual([
      "error restoring configmaps/town/config: namespace town is still being deleted",
    ]);
    // What an earlier look has made counts as created.
    expect(listOf("back")["v1/ConfigMap"]).toEqual(["shop/config(created)", "town/config(failed)"]);
  });
});

describe("what is there already", () => {
  const other = object("v1", "ConfigMap", "config", { data: { a: "2", b: "3" } });
  const warning =
    "already exists. Warning: the in-cluster version is different than the backed-up version";

  it("is left, with a warning when it differs", async () => {
    world.api.create("configmaps", other as never);
    putBackup(world, "b", [config]);
    expect(await restored("back")).toMatchObject({ phase: "Completed", warnings: 1 });
    expect(resultsOf("back").warnings.namespaces?.["shop"]).toEqual([
      `could not restore, ConfigMap:config ${warning}`,
    ]);
    expect(world.api.get("configmaps", "shop", "config")?.["data"]).toEqual({ a: "2", b: "3" });
    expect(listOf("back")["v1/ConfigMap"]).toEqual(["shop/config(failed)"]);
    await restored("none", { existingResourcePolicy: "none" });
    expect(resultsOf("none").warnings.namespaces?.["shop"]).toEqual([
      `could not restore, ConfigMap "config" ${warning}`,
    ]);
  });

  it("is made what it was, when the policy says update", async () => {
    world.api.create("configmaps", other as never);
    putBackup(world, "b", [config]);
    expect(await restored("back", { existingResourcePolicy: "update" })).toMatchObject({
      phase: "Completed",
    });
    expect(world.api.get("configmaps", "shop", "config")).toMatchObject({
      data: { a: "1" },
      metadata: { labels: { [labels.restoreName]: "back" } },
    });
    expect(world.api.get("configmaps", "shop", "config")?.["data"]).toEqual({ a: "1" });
    expect(listOf("back")["v1/ConfigMap"]).toEqual(["shop/config(updated)"]);
  });

  it("and cannot be changed gets the labels, and a warning", async () => {
    world.api.create("configmaps", { ...other, immutable: true } as never);
    putBackup(world, "b", [config]);
    expect(await restored("back", { existingResourcePolicy: "update" })).toMatchObject({
      phase: "Completed",
      warnings: 1,
    });
    expect(world.api.get("configmaps", "shop", "config")).toMatchObject({
      data: { a: "2" },
      metadata: { labels: { [labels.restoreName]: "back" } },
    });
  });

  it("on its way out is waited for", async () => {
    world.api.create("configmaps", {
      ...other,
      metadata: { ...other.metadata, finalizers: ["test/hold"] },
    } as never);
    world.api.delete("configmaps", "shop", "config");
    putBackup(world, "b", [config]);
    world.restore("back", { backupName: "b" });
    await world.turn();
    expect(world.phase("restores", "back")).toBe("InProgress");
    world.api.modify("configmaps", "shop", "config", (one) => {
      one.metadata.finalizers = [];
    });
    expect((await world.untilEnd("restores", "back")).status?.phase).toBe("Completed");
    expect(world.api.get("configmaps", "shop", "config")?.["data"]).toEqual({ a: "1" });
  });

  it("a service account gets what it lacks", async () => {
    const account = object("v1", "ServiceAccount", "robot", {
      imagePullSecrets: [{ name: "pull" }],
    });
    world.api.create("serviceaccounts", object("v1", "ServiceAccount", "robot") as never);
    putBackup(world, "b", [account]);
    await restored("back");
    expect(world.api.get("serviceaccounts", "shop", "robot")?.["imagePullSecrets"]).toEqual([
      { name: "pull" },
    ]);
    expect(listOf("back")["v1/ServiceAccount"]).toEqual(["shop/robot(updated)"]);
    await restored("again");
    expect(listOf("again")["v1/ServiceAccount"]).toEqual(["shop/robot(skipped)"]);
  });
});

describe("the status of objects", () => {
  const withStatus = object(
    "velero.io/v1",
    "BackupStorageLocation",
    "copied",
    { spec: { provider: "aws", objectStorage: { bucket: "b" } }, status: { phase: "Available" } },
    { namespace: "shop" },
  );
  const deployment = object("apps/v1", "Deployment", "web", {
    spec: {
      selector: { matchLabels: { app: "web" } },
      template: {
        metadata: { labels: { app: "web" } },
        spec: { containers: [{ name: "c", image: "i" }] },
      },
    },
    status: { readyReplicas: 3 },
  });
  const statusOf = (): unknown =>
    world.api.get("deployments.apps", "shop", "web")?.status?.["readyReplicas"];

  it("stays behind, unless the Restore names the kind", async () => {
    putBackup(world, "b", [deployment, withStatus]);
    await restored("back");
    expect(statusOf()).toBeUndefined();
    world.api.delete("deployments.apps", "shop", "web");
    await restored("full", { restoreStatus: { includedResources: ["deployments"] } });
    expect(statusOf()).toBe(3);
    expect(world.get("locations", "shop", "copied").status).toBeUndefined();
  });

  it("follows what the object itself says", async () => {
    const note = (value: string): AnyObject => ({
      ...deployment,
      metadata: { ...deployment.metadata, annotations: { "velero.io/restore-status": value } },
    });
    putBackup(world, "b", [note("true")]);
    await restored("back");
    expect(statusOf()).toBe(3);
  });
});

describe("what the administrator has set up", () => {
  const plugin = (name: string, data: Record<string, string>): void => {
    world.api.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: name.replace("velero.io/", ""),
        namespace: operator,
        labels: { "velero.io/plugin-config": "", [name]: "RestoreItemAction" },
      },
      data,
    });
  };
  const storageClass = (name: string): void => {
    world.api.create("storageclasses.storage.k8s.io", {
      ...object("storage.k8s.io/v1", "StorageClass", name),
      provisioner: "csi.test",
    } as never);
  };
  const claim = object("v1", "PersistentVolumeClaim", "data", {
    spec: {
      storageClassName: "old",
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
    },
  });

  it("maps storage classes and images", async () => {
    storageClass("new");
    plugin("velero.io/change-storage-class", { old: "new" });
    plugin("velero.io/change-image-name", { case1: "web:,registry.example.com/web:" });
    putBackup(world, "b", [claim, pod]);
    await restored("back");
    expect(world.get("claims", "shop", "data").spec.storageClassName).toBe("new");
    expect(world.api.get("pods", "shop", "web-0")?.spec.containers[0].image).toBe(
      "registry.example.com/web:1",
    );
  });

  it("to a class that is not there: an error", async () => {
    plugin("velero.io/change-storage-class", { old: "new" });
    putBackup(world, "b", [claim]);
    expect(await restored("back")).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(resultsOf("back").errors.namespaces?.["shop"]).toEqual([
      'error preparing persistentvolumeclaims/shop/data: error getting storage class new from API: storageclasses.storage.k8s.io "new" not found',
    ]);
  });

  it("patches objects by the ConfigMap that the Restore names", async () => {
    world.api.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "rules", namespace: operator },
      data: {
        rules: `
version: v1
resourceModifierRules:
- conditions: { groupResource: configmaps, namespaces: [shop] }
  patches: [{ operation: replace, path: /data/a, value: '"9"' }]
- conditions: { groupResource: configmaps }
  patches: [{ operation: remove, path: /data/none }]
`,
      },
    });
    putBackup(world, "b", [config]);
    const spec = { resourceModifier: { kind: "ConfigMap", name: "rules" } };
    expect(await restored("back", { ...spec, namespaceMapping: { shop: "copy" } })).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
    });
    expect(world.api.get("configmaps", "copy", "config")?.["data"]).toEqual({ a: "9" });
    expect(resultsOf("back").errors.namespaces?.["copy"]).toEqual([
      "error in applying patch: there is nothing at /data/none",
    ]);
  });

  it("is refused at once when it is not there or wrong", async () => {
    putBackup(world, "b", [config]);
    const problems = async (name: string, reference: object) =>
      (await restored(name, { resourceModifier: reference }))["validationErrors"];
    expect(await problems("none", { kind: "configmap", name: "rules" })).toEqual([
      "failed to get resource modifiers configmap velero/rules",
    ]);
    expect(await problems("odd", { kind: "Secret", name: "rules" })).toEqual([
      "resourceModifier may be a ConfigMap only, not a Secret",
    ]);
  });
});

describe("snapshots that were kept in the storage", () => {
  const group = "snapshot.storage.k8s.io/v1";
  const claim = object(
    "v1",
    "PersistentVolumeClaim",
    "data",
    {
      spec: {
        volumeName: "pv",
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
      },
      status: { phase: "Bound" },
    },
    { annotations: { "velero.io/volume-snapshot-name": "s" } },
  );
  const snapshot = object(
    group,
    "VolumeSnapshot",
    "s",
    {
      spec: { source: { persistentVolumeClaimName: "data" }, volumeSnapshotClassName: "gone" },
      status: { boundVolumeSnapshotContentName: "c", readyToUse: true },
    },
    {
      annotations: {
        "velero.io/csi-volumesnapshot-handle": "h1",
        "velero.io/csi-driver-name": "csi.test",
        "velero.io/csi-volumesnapshot-restore-size": "1073741824",
      },
    },
  );
  const content = object(
    group,
    "VolumeSnapshotContent",
    "c",
    {
      spec: {
        driver: "csi.test",
        deletionPolicy: "Delete",
        source: { volumeHandle: "v" },
        volumeSnapshotRef: { name: "s", namespace: "shop", uid: "u" },
      },
      status: { snapshotHandle: "h1" },
    },
    { namespace: undefined },
  );

  it("give their claims new volumes, in another namespace too, as often as one likes", async () => {
    putBackup(world, "b", [claim, snapshot, content], {
      volumes: [
        { pvcName: "data", pvcNamespace: "shop", pvName: "pv", backupMethod: "CSISnapshot" },
      ],
    });
    for (const name of ["one", "two"]) {
      world.restore(name, { backupName: "b", namespaceMapping: { shop: name } });
      await reconcileRestore(world.deps, { namespace: operator, name });
      expect(world.get("restores", operator, name).status).toMatchObject({
        phase: "Completed",
        progress: { itemsRestored: 4 },
      });
      const { dataSource } = world.get("claims", name, "data").spec;
      const made = world.get("snapshots", name, dataSource.name);
      expect(made.spec).toEqual({ source: { volumeSnapshotContentName: dataSource.name } });
      expect(world.get("contents", "", dataSource.name).spec).toEqual({
        driver: "csi.test",
        deletionPolicy: "Retain",
        volumeSnapshotClassName: "plain",
        source: { snapshotHandle: "h1" },
        volumeSnapshotRef: { name: dataSource.name, namespace: name },
      });
      expect(restoreFile(world, name, `${name}-volumeinfo.json.gz`)).toEqual([
        {
          pvcName: "data",
          pvcNamespace: name,
          restoreMethod: "CSISnapshot",
          snapshotDataMoved: false,
          csiSnapshotInfo: {
            snapshotHandle: "h1",
            size: 1 << 30,
            driver: "csi.test",
            vscName: dataSource.name,
          },
        },
      ]);
      expect(listOf(name)[`${group}/VolumeSnapshot`]).toEqual([
        `${name}/${dataSource.name}(created)`,
      ]);
    }
  });
});

describe("a deleted Restore", () => {
  it("takes its files with it, and nothing that it made", async () => {
    putBackup(world, "b", [config]);
    await restored("back");
    await restored("other");
    expect(world.get("restores", operator, "back").metadata.finalizers).toEqual([
      finalizers.restoreExternalResources,
    ]);
    world.api.delete(kinds.restores, operator, "back");
    await world.turn();
    expect(world.api.get(kinds.restores, operator, "back")).toBeUndefined();
    const left = [...world.blobs.keys()].filter((key) => key.includes("/restores/"));
    expect(left.length).toBeGreaterThan(0);
    expect(left.every((key) => key.includes("/restores/other/"))).toBe(true);
    expect(world.api.get("configmaps", "shop", "config")).toBeDefined();
  });

  it("goes although its Backup has gone, or its bucket takes no writes", async () => {
    putBackup(world, "b", [config]);
    await restored("back");
    world.hooks = {
      before: (what) => {
        if (what.startsWith("delete restore-"))
          throw new AccessError("DM_STORE_READ_ONLY", "read-only");
      },
    };
    world.api.delete(kinds.restores, operator, "back");
    await world.turn();
    expect(world.api.get(kinds.restores, operator, "back")).toBeUndefined();
    world.hooks = {};
    await restored("again");
    world.api.delete(kinds.backups, operator, "b");
    world.api.delete(kinds.restores, operator, "again");
    await world.turn();
    expect(world.api.get(kinds.restores, operator, "again")).toBeUndefined();
  });
});
