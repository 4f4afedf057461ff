/**
 * Restores on the embedded API server: claims, DataDownloads and volumes made of what a backup left in the bucket, in the same
 * namespace or another one, over what is there already, and from buckets that take no writes.
 */
import { AccessError } from "@dm/core";
import { annotations, labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  decodeBackup,
  decodeGzipJson,
  decodeItems,
  encodeBackup,
  encodeItems,
  type Results,
} from "../../src/bucket/backup-files.ts";
import { kinds, operator, World } from "../backup/world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
  world.claim("shop", "data", {
    metadata: {
      labels: { app: "shop" },
      annotations: {
        mine: "kept",
        [annotations.bindCompleted]: "yes",
        [annotations.selectedNode]: "n1",
      },
    },
    spec: { dataSource: { kind: "PersistentVolumeClaim", name: "origin" } },
  });
  world.claim("shop", "logs");
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const minuteMs = 60_000;
const results = (name: string): Results => {
  const file = `restore-${name}-results.gz`;
  const bytes = world.blobs.get(`default/restores/${name}/${file}`);
  return decodeGzipJson(bytes ?? new Uint8Array(), file) as Results;
};

async function backedUp(spec: object = {}): Promise<void> {
  world.backup("nightly", spec);
  await world.untilEnd("backups", "nightly");
}

/** As when the namespace was lost. */
function lose(...names: string[]): void {
  for (const name of names) {
    world.api.delete(kinds.claims, "shop", name);
    world.api.modify(kinds.claims, "shop", name, ({ metadata }) => {
      metadata.finalizers = [];
    });
    world.api.delete(kinds.volumes, "", `pv-shop-${name}`);
    world.api.modify(kinds.volumes, "", `pv-shop-${name}`, ({ metadata }) => {
      metadata.finalizers = [];
    });
  }
}

describe("a Restore", () => {
  it("makes the claims and a DataDownload each, and ends Completed", async () => {
    await backedUp({ csiSnapshotTimeout: "20m" });
    lose("data", "logs");
    world.restore("back", {
      backupName: "nightly",
      uploaderConfig: { writeSparseFiles: true, parallelFilesDownload: 4 },
    });
    const { metadata, spec, status } = await world.untilEnd("restores", "back");
    expect(world.phases.get("restores/back")).toEqual([
      "New",
      "InProgress",
      "WaitingForPluginOperations",
      "Finalizing",
      "Completed",
    ]);
    expect(status).toEqual({
      phase: "Completed",
      startTimestamp: expect.any(String),
      completionTimestamp: expect.any(String),
      progress: { totalItems: expect.any(Number), itemsRestored: expect.any(Number) },
      restoreItemOperationsAttempted: 2,
      restoreItemOperationsCompleted: 2,
    });
    expect(spec).toMatchObject({ itemOperationTimeout: "4h0m0s" });
    expect(spec.excludedResources).toContain("nodes");

    const claim = world.get("claims", "shop", "data");
    const bound = claim.spec.selector.matchLabels[labels.dynamicPVRestore];
    expect(bound).toMatch(/^shop\.data\.[0-9a-f]{5}$/);
    expect(claim.metadata.labels).toEqual({
      app: "shop",
      [labels.backupName]: "nightly",
      [labels.restoreName]: "back",
    });
    expect(claim.metadata.annotations).toEqual({ mine: "kept" });
    expect(claim.spec.dataSource).toBeUndefined();
    const volume = world.get("volumes", "", claim.spec.volumeName);
    expect(volume.metadata.labels).toEqual({ [labels.dynamicPVRestore]: bound, zone: "a" });
    expect(volume.spec.persistentVolumeReclaimPolicy).toBe("Retain");

    const [download] = world
      .list("downloads")
      .filter((one) => one.spec.targetVolume.pvc === "data");
    expect(download?.spec).toEqual({
      targetVolume: { namespace: "shop", pvc: "data", pv: "" },
      backupStorageLocation: "default",
      snapshotID: `k-${world.upload("data").metadata.name}`,
      snapshotSize: 100,
      sourceNamespace: "shop",
      operationTimeout: "20m0s",
      datamover: "dm",
      nodeOS: "linux",
      dataMoverConfig: { WriteSparseFiles: "true", ParallelFilesDownload: "4" },
    });
    expect(download?.metadata.labels).toEqual({
      [labels.restoreName]: "back",
      [labels.restoreUid]: metadata.uid,
      [labels.asyncOperationId]: expect.stringMatching(/^dd-/),
    });
    expect(download?.metadata.ownerReferences?.[0]).toMatchObject({
      kind: "Restore",
      name: "back",
    });
    expect(results("back")).toEqual({ errors: {}, warnings: {} });
  });

  it("row 99: goes into another namespace, which it makes as the old one was", async () => {
    await backedUp();
    world.restore("back", { backupName: "nightly", namespaceMapping: { shop: "copy" } });
    expect((await world.untilEnd("restores", "back")).status?.phase).toBe("Completed");
    expect(world.get("namespaces", "", "copy").metadata.labels).toMatchObject({ team: "web" });
    expect(world.get("claims", "copy", "data").status?.phase).toBe("Bound");
    for (const { spec } of world.list("downloads")) {
      expect(spec.sourceNamespace).toBe("shop");
      expect(spec.targetVolume.namespace).toBe("copy");
    }
  });

  it("row 100: leaves a claim that is there, with a warning", async () => {
    await backedUp();
    lose("logs");
    const before = world.get("claims", "shop", "data");
    world.restore("back", { backupName: "nightly" });
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({
      phase: "Completed",
      warnings: 1,
      restoreItemOperationsAttempted: 1,
    });
    expect(world.get("claims", "shop", "data")).toEqual(before);
    expect(world.list("downloads").map(({ spec }) => spec.targetVolume.pvc)).toEqual(["logs"]);
    expect(results("back").warnings.namespaces?.["shop"]).toEqual([
      "could not restore, PersistentVolumeClaim:data already exists. " +
        "Warning: the in-cluster version is different than the backed-up version",
    ]);
  });

  it("row 101: with restorePVs false the claims come back empty", async () => {
    await backedUp();
    lose("data", "logs");
    world.restore("back", { backupName: "nightly", restorePVs: false });
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({ phase: "Completed" });
    expect(world.list("downloads")).toEqual([]);
    const { spec } = world.get("claims", "shop", "data");
    expect(spec.volumeName).toBeUndefined();
    expect(spec.selector).toBeUndefined();
    expect(spec.dataSource).toBeUndefined();
  });

  it("covers the namespaces, labels and kinds that it names", async () => {
    await backedUp();
    lose("data", "logs");
    const restored = async (name: string, spec: object): Promise<string[]> => {
      world.restore(name, { backupName: "nightly", ...spec });
      const { metadata } = await world.untilEnd("restores", name);
      return world
        .list("downloads")
        .filter((one) => one.metadata.labels?.[labels.restoreUid] === metadata.uid)
        .map(({ spec: { targetVolume } }) => targetVolume.pvc);
    };
    expect(await restored("none", { excludedNamespaces: ["shop"] })).toEqual([]);
    expect(await restored("kinds", { includedResources: ["configmaps"] })).toEqual([]);
    expect(await restored("one", { labelSelector: { matchLabels: { app: "shop" } } })).toEqual([
      "data",
    ]);
    expect(await restored("rest", { includedNamespaces: ["shop"] })).toEqual(["logs"]);
  });

  it("data that was not moved is an error, and no empty claim pretends to have it", async () => {
    world.movements.set("logs", "fail");
    await backedUp();
    lose("data", "logs");
    world.restore("back", { backupName: "nightly" });
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      restoreItemOperationsCompleted: 1,
    });
    expect(world.api.get(kinds.claims, "shop", "logs")).toBeUndefined();
    expect(results("back").errors.namespaces?.["shop"]?.[0]).toMatch(
      /^error preparing persistentvolumeclaims\/shop\/logs: its DataUpload velero\/nightly-\w+ is Failed and left no snapshot to restore$/,
    );
  });

  it("a claim of which nothing was moved comes back empty, with a warning", async () => {
    const volume = { persistentVolumeReclaimPolicy: "Delete" };
    world.claim("shop", "host", { driver: "", volume });
    await backedUp();
    lose("data", "logs", "host");
    world.restore("back", { backupName: "nightly" });
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({
      phase: "Completed",
      warnings: 1,
    });
    expect(world.get("claims", "shop", "host").spec.volumeName).toBeUndefined();
    expect(results("back").warnings.namespaces?.["shop"]).toEqual([
      "persistentvolumeclaims/shop/host: the backup has no data of it: it is restored empty",
    ]);
  });

  it("row 45: DataDownloads that fail, are cancelled, gone or late are errors", async () => {
    for (const name of ["c", "d"]) world.claim("shop", name);
    await backedUp();
    lose("data", "logs", "c", "d");
    world.movements.set("data", "fail");
    for (const name of ["logs", "c", "d"]) world.movements.set(name, "hang");
    world.restore("back", { backupName: "nightly", itemOperationTimeout: "1h" });
    await world.until(() => world.phase("restores", "back").startsWith("Waiting"));
    await world.turn();
    const named = (claim: string): string =>
      world.list("downloads").find(({ spec }) => spec.targetVolume.pvc === claim)?.metadata.name ??
      "";
    world.api.modify(kinds.downloads, operator, named("logs"), ({ spec }) => {
      spec.cancel = true;
    });
    world.api.delete(kinds.downloads, operator, named("c"));
    await world.turn();
    await world.turn();
    expect(world.phase("restores", "back")).toBe("WaitingForPluginOperationsPartiallyFailed");
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 4,
      restoreItemOperationsAttempted: 4,
      restoreItemOperationsFailed: 4,
    });
    expect(world.get("downloads", operator, named("d")).spec.cancel).toBe(true);
    expect([...(results("back").errors.namespaces?.["shop"] ?? [])].sort()).toEqual([
      "persistentvolumeclaims/d: Asynchronous action timed out",
      "persistentvolumeclaims/data: data path backup failed: cannot read /x",
      "persistentvolumeclaims/logs: DataDownload is canceled",
    ]);
  });

  it("waits for a namespace and a claim on their way out, not for ever", async () => {
    await backedUp();
    const hold = (name: string): void => {
      world.api.modify(kinds.claims, "shop", name, ({ metadata }) => {
        metadata.finalizers = ["test/hold"];
      });
      world.api.delete(kinds.claims, "shop", name);
    };
    hold("data");
    hold("logs");
    world.restore("back", { backupName: "nightly" });
    for (let turn = 0; turn < 5; turn++) await world.turn(minuteMs);
    expect(world.phase("restores", "back")).toBe("InProgress");
    world.api.modify(kinds.claims, "shop", "data", ({ metadata }) => {
      metadata.finalizers = [];
    });
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      restoreItemOperationsCompleted: 1,
    });
    expect(results("back").errors.namespaces?.["shop"]).toEqual([
      "error restoring persistentvolumeclaims/shop/logs: the old one is still being deleted",
    ]);
  });

  it("needs no bucket that takes writes", async () => {
    await backedUp();
    lose("data", "logs");
    world.hooks = {
      before: (what) => {
        if (what.startsWith("write")) throw new AccessError("DM_STORE_READ_ONLY", "read-only");
      },
    };
    world.restore("back", { backupName: "nightly" });
    expect((await world.untilEnd("restores", "back")).status?.phase).toBe("Completed");
    expect([...world.blobs.keys()].filter((key) => key.includes("restores"))).toEqual([]);
  });

  it("restores what Velero's own mover has moved, and leaves the data of others to them", async () => {
    world.claim("shop", "other");
    await backedUp();
    lose("data", "logs", "other");
    const key = "default/backups/nightly/nightly.tar.gz";
    const items = decodeItems(world.blobs.get(key) ?? new Uint8Array(), key);
    for (const { object, resource } of items) {
      if (resource !== "datauploads.velero.io") continue;
      const { spec } = object as unknown as { spec: { sourcePVC: string; datamover?: string } };
      if (spec.sourcePVC === "data") delete spec.datamover;
      if (spec.sourcePVC === "logs") spec.datamover = "velero";
      if (spec.sourcePVC === "other") spec.datamover = "acme";
    }
    world.blobs.set(key, encodeItems(items, new Date(0)));
    world.restore("back", { backupName: "nightly" });
    await world.until(() => world.list("downloads").length === 3);
    const movers = world
      .list("downloads")
      .map(({ spec }) => [spec.targetVolume.pvc, spec.datamover]);
    expect(Object.fromEntries(movers)).toEqual({ data: "dm", logs: "dm", other: "acme" });
  });
});

describe("a Restore that cannot work", () => {
  const problems = async (name: string, spec: object): Promise<unknown> => {
    world.restore(name, spec);
    const { status } = await world.untilEnd("restores", name);
    expect(status?.phase).toBe("FailedValidation");
    return status?.validationErrors;
  };

  it("names its backup or a schedule, and there must be one", async () => {
    const either =
      "Either a backup or schedule must be specified as a source for the restore, but not both";
    expect(await problems("neither", {})).toEqual([either]);
    expect(await problems("both", { backupName: "a", scheduleName: "b" })).toEqual([either]);
    expect(await problems("unknown", { backupName: "a" })).toEqual([
      'Error retrieving backup: backups.velero.io "a" not found',
    ]);
    expect(await problems("schedule", { scheduleName: "daily" })).toEqual([
      "No completed backups found for schedule",
    ]);
  });

  it("takes the newest completed backup of a schedule", async () => {
    const metadata = { labels: { [labels.scheduleName]: "daily" } };
    for (const name of ["first", "second"]) {
      world.backup(name, {}, metadata);
      await world.untilEnd("backups", name);
    }
    world.movements.set("logs", "fail");
    world.backup("third", {}, metadata);
    await world.untilEnd("backups", "third");
    lose("data", "logs");
    world.movements.clear();
    world.restore("back", { scheduleName: "daily", includedNamespaces: ["shop"] });
    const { spec } = await world.untilEnd("restores", "back");
    expect(spec.backupName).toBe("second");
  });

  it("row 98: names what is wrong with the location of its backup", async () => {
    await backedUp();
    world.api.modify(kinds.locations, operator, "default", (object) => {
      object.status = { phase: "Unavailable" };
    });
    expect(await problems("away", { backupName: "nightly" })).toEqual([
      "The BSL default is unavailable, cannot retrieve the backup",
    ]);
    world.api.delete(kinds.locations, operator, "default");
    expect(await problems("gone", { backupName: "nightly" })).toEqual([
      'Error retrieving backup: backupstoragelocations.velero.io "default" not found',
    ]);
  });

  it("says what is wrong with the files of its backup", async () => {
    await backedUp();
    const key = "default/backups/nightly/nightly.tar.gz";
    world.blobs.set(key, new TextEncoder().encode("no gzip"));
    expect(await problems("damaged", { backupName: "nightly" })).toEqual([
      "Error retrieving backup: the file nightly.tar.gz of the backup cannot be read: it is not gzip, or damaged",
    ]);
    world.blobs.delete(key);
    expect(await problems("missing", { backupName: "nightly" })).toEqual([
      "Error retrieving backup: the bucket has no file nightly.tar.gz of backup nightly",
    ]);
  });

  it("is refused while another cluster deletes the backup", async () => {
    await backedUp();
    const key = "default/backups/nightly/velero-backup.json";
    const stored = decodeBackup(world.blobs.get(key) ?? new Uint8Array());
    const deleting = { ...stored, status: { ...stored.status, phase: "Deleting" as const } };
    world.blobs.set(key, encodeBackup(deleting));
    expect(await problems("late", { backupName: "nightly" })).toEqual([
      "Error retrieving backup: backup nightly is Deleting",
    ]);
  });

  it("row 103: is refused for a backup of the VolSync data mover", async () => {
    await backedUp();
    const key = "default/backups/nightly/nightly.tar.gz";
    const items = decodeItems(world.blobs.get(key) ?? new Uint8Array(), key);
    const object = { metadata: { name: "vsb-1", namespace: "shop" } };
    const resource = "volumesnapshotbackups.datamover.oadp.openshift.io";
    world.blobs.set(
      key,
      encodeItems([...items, { resource, version: "v1alpha1", object }], new Date(0)),
    );
    expect(await problems("old", { backupName: "nightly" })).toEqual([
      expect.stringContaining("was made by the OADP 1.2 VolSync data mover"),
    ]);
    // Where no volumes are asked for there is no reason to.
    const without = [{ restorePVs: false }, { excludedResources: ["pvc"] }];
    for (const [index, spec] of without.entries()) {
      world.restore(`bare-${index}`, { backupName: "nightly", ...spec });
      const { status } = await world.untilEnd("restores", `bare-${index}`);
      expect(status?.phase).toBe("Completed");
      expect(results(`bare-${index}`).warnings.namespaces?.["shop"]).toContain(
        `${resource}/vsb-1: volumes of the OADP 1.2 VolSync data mover are not restored`,
      );
    }
  });

  it("is refused while the backup is under way, and with settings that contradict themselves", async () => {
    world.movements.set("data", "hang");
    world.backup("nightly");
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    expect(await problems("early", { backupName: "nightly" })).toEqual([
      "Error retrieving backup: backup nightly is WaitingForPluginOperations",
    ]);
    world.movements.clear();
    await world.untilEnd("backups", "nightly");
    const spec = {
      backupName: "nightly",
      includedResources: ["nodes"],
      existingResourcePolicy: "overwrite",
      itemOperationTimeout: "soon",
      labelSelector: {},
      orLabelSelectors: [{}],
    };
    expect(await problems("odd", spec)).toEqual([
      'itemOperationTimeout "soon" is no duration such as 4h0m0s',
      "nodes are non-restorable resources",
      "encountered labelSelector as well as orLabelSelectors in restore spec, only one can be specified",
      "Invalid ExistingResourcePolicy: overwrite",
    ]);
  });

  it("ends Failed when what it is given makes the program stumble again and again", async () => {
    await backedUp();
    lose("data", "logs");
    world.movements.set("data", "hang");
    world.restore("back", { backupName: "nightly", itemOperationTimeout: "1h" });
    await world.until(() => world.list("downloads").length === 2);
    world.movements.set("data", "complete");
    world.storeFailure = new TypeError("cannot read what is not there");
    world.isFaulty = true;
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({
      phase: "Failed",
      failureReason: "cannot read what is not there",
    });
  });

  it("ends Failed when its backup stays away, and takes its DataDownloads with it", async () => {
    await backedUp();
    lose("data", "logs");
    world.movements.set("data", "hang");
    world.restore("back", { backupName: "nightly", itemOperationTimeout: "1h" });
    await world.until(() => world.list("downloads").length === 2);
    world.api.delete(kinds.backups, operator, "nightly");
    world.isFaulty = true;
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({
      phase: "Failed",
      failureReason: "there is no Backup velero/nightly",
    });
  });
});
