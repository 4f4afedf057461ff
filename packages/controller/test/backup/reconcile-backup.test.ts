/**
 * Backups on the embedded API server: from claims to DataUploads to the files in the bucket, and everything that can be in the way.
 * Rows are those of the conformance list, as far as they concern volumes.
 */
import { AccessError, StorageError } from "@dm/core";
import { annotations, type Backup, labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  decodeBackup,
  decodeGzipJson,
  encodeBackup,
  type ItemOperation,
  type Results,
  type VolumeInfo,
} from "../../src/bucket/backup-files.ts";
import { blobFolder } from "../../src/bucket/backup-store.ts";
import { readBackup } from "../../src/bucket/read-backup.ts";
import { Crash, kinds, operator, startMs, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const minuteMs = 60_000;
const file = (name: string, backup = "nightly"): Uint8Array => {
  const bytes = world.blobs.get(`default/backups/${backup}/${name}`);
  if (!bytes) throw new Error(`no ${name} among ${[...world.blobs.keys()].join(", ")}`);
  return bytes;
};
const json = <T>(name: string): T => decodeGzipJson(file(name), name) as T;
const results = (): Results => json<Results>("nightly-results.gz");
const contents = () => {
  const get = async (id: string): Promise<Uint8Array> => file(id);
  return readBackup(blobFolder({ ...unused, get }), "nightly");
};
/** What reading a backup has no use for. */
const unused = {
  put: async () => {},
  delete: async () => {},
  async *list() {},
  close: async () => {},
};
const nothingLeft = (): void => {
  expect(world.list("snapshots")).toEqual([]);
  expect(world.list("contents")).toEqual([]);
  expect([...world.handles]).toEqual([]);
};

describe("a Backup with two claims", () => {
  beforeEach(() => {
    world.claim("shop", "data", { metadata: { labels: { app: "shop" } } });
    world.claim("shop", "logs");
  });

  it("row 91: makes two DataUploads, passes its phases, and leaves the files of a backup", async () => {
    world.backup("nightly", {
      csiSnapshotTimeout: "20m",
      uploaderConfig: { parallelFilesUpload: 3 },
    });
    const { metadata, spec, status } = await world.untilEnd("backups", "nightly");
    expect(world.phases.get("backups/nightly")).toEqual([
      "New",
      "Queued",
      "ReadyToStart",
      "InProgress",
      "WaitingForPluginOperations",
      "Finalizing",
      "Completed",
    ]);
    expect(status).toEqual({
      phase: "Completed",
      version: 1,
      formatVersion: "1.1.0",
      startTimestamp: "2026-11-22T10:00:00Z",
      completionTimestamp: expect.stringMatching(/^2026-11-22T10:0/),
      expiration: "2026-12-22T10:00:00Z",
      progress: { totalItems: 5, itemsBackedUp: 5 },
      hookStatus: {},
      backupItemOperationsAttempted: 2,
      backupItemOperationsCompleted: 2,
    });
    expect(spec).toMatchObject({
      ttl: "720h0m0s",
      csiSnapshotTimeout: "20m0s",
      itemOperationTimeout: "4h0m0s",
      storageLocation: "default",
      defaultVolumesToFsBackup: false,
    });
    expect(metadata.labels).toEqual({ [labels.storageLocation]: "default" });

    const upload = world.upload("data");
    const claim = world.get("claims", "shop", "data");
    expect(upload.metadata.labels).toEqual({
      [labels.backupName]: "nightly",
      [labels.backupUid]: metadata.uid,
      [labels.pvcUid]: claim.metadata.uid,
      [labels.asyncOperationId]: expect.stringMatching(/^du-/),
    });
    expect(upload.metadata.ownerReferences).toEqual([
      {
        apiVersion: "velero.io/v1",
        kind: "Backup",
        name: "nightly",
        uid: metadata.uid,
        controller: true,
      },
    ]);
    expect(upload.spec).toEqual({
      snapshotType: "CSI",
      csiSnapshot: {
        volumeSnapshot: expect.stringMatching(/^velero-data-/),
        storageClass: "csi",
        snapshotClass: "plain",
        driver: "csi.test",
      },
      sourceNamespace: "shop",
      sourcePVC: "data",
      backupStorageLocation: "default",
      operationTimeout: "20m0s",
      datamover: "dm",
      dataMoverConfig: { ParallelFilesUpload: "3" },
    });
    nothingLeft();
  });

  it("row 91: the bucket has what a restore needs", async () => {
    world.backup("nightly");
    await world.untilEnd("backups", "nightly");
    const { backup, items, volumes } = await contents();
    expect(backup).toMatchObject({
      apiVersion: "velero.io/v1",
      kind: "Backup",
      status: { phase: "Completed" },
    });
    const names = items.map(
      ({ object, resource, version }) => `${resource}/${version}/${object.metadata.name}`,
    );
    const uploads = world.list("uploads").map(({ metadata }) => metadata.name);
    expect(names.sort()).toEqual(
      [
        "namespaces/v1/shop",
        "persistentvolumes/v1/pv-shop-data",
        "persistentvolumes/v1/pv-shop-logs",
        "persistentvolumeclaims/v1/data",
        "persistentvolumeclaims/v1/logs",
        ...uploads.map((name) => `datauploads.velero.io/v2alpha1/${name}`),
      ].sort(),
    );
    const claim = items.find(({ object }) => object.metadata.name === "data")?.object;
    const { name } = world.upload("data").metadata;
    expect(claim?.metadata.annotations).toMatchObject({
      [annotations.dataUploadName]: `${operator}/${name}`,
      [annotations.volumeSnapshotName]: expect.stringMatching(/^velero-data-/),
    });
    expect(claim?.metadata.labels).toMatchObject({ app: "shop", [labels.backupName]: "nightly" });
    const upload = items.find(({ object }) => object.metadata.name === name)?.object;
    expect(upload).toMatchObject({ status: { phase: "Completed", snapshotID: `k-${name}` } });
    expect(volumes.map(({ pvcName }) => pvcName).sort()).toEqual(["data", "logs"]);
    expect(volumes[0]).toMatchObject({
      backupMethod: "CSISnapshot",
      snapshotDataMoved: true,
      pvName: "pv-shop-data",
      pvInfo: { reclaimPolicy: "Retain", labels: { zone: "a" } },
      csiSnapshotInfo: { driver: "csi.test", snapshotHandle: expect.stringMatching(/^snap-/) },
      snapshotDataMovementInfo: {
        dataMover: "dm",
        uploaderType: "kopia",
        snapshotHandle: `k-${name}`,
        size: 100,
        Phase: "Completed",
      },
    });
    const [operation] = json<ItemOperation[]>("nightly-itemoperations.json.gz");
    expect(operation).toMatchObject({
      spec: {
        backupName: "nightly",
        backupItemAction: "velero.io/csi-pvc-backupper",
        resourceIdentifier: { Resource: "persistentvolumeclaims", Namespace: "shop", Name: "data" },
        postOperationItems: [
          { Group: "velero.io", Resource: "datauploads", Namespace: operator, Name: name },
        ],
      },
      status: { phase: "Completed", nCompleted: 100, nTotal: 100, operationUnits: "Bytes" },
    });
    expect(results()).toEqual({ errors: {}, warnings: {} });
  });

  it("row 92: a DataUpload that fails makes it PartiallyFailed, with the message in the results", async () => {
    world.movements.set("logs", "fail");
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      backupItemOperationsCompleted: 1,
      backupItemOperationsFailed: 1,
    });
    expect(world.phases.get("backups/nightly")?.at(-2)).toBe("FinalizingPartiallyFailed");
    expect(results().errors.namespaces).toEqual({
      shop: ["persistentvolumeclaims/logs: data path backup failed: cannot read /x"],
    });
    const failed = json<ItemOperation[]>("nightly-itemoperations.json.gz").map(
      ({ status: one }) => one.phase,
    );
    expect(failed.sort()).toEqual(["Completed", "Failed"]);
    nothingLeft();
  });

  it("row 93: without a class for its driver a claim is an error, the others go on", async () => {
    world.claim("shop", "alien", { driver: "csi.alien" });
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      backupItemOperationsCompleted: 2,
    });
    expect(results().errors.namespaces?.["shop"]).toEqual([
      "persistentvolumeclaims/alien: failed to get VolumeSnapshotClass for provisioner csi.alien: ensure that the desired " +
        "VolumeSnapshotClass has the velero.io/csi-volumesnapshot-class label or " +
        "snapshot.storage.kubernetes.io/is-default-class annotation, and that its driver matches the StorageClass provisioner",
    ]);
    // It would come back empty.
    const names = (await contents()).items.map(({ object }) => object.metadata.name);
    expect(names).not.toContain("alien");
    expect(names).toEqual(expect.arrayContaining(["data", "logs", "pv-shop-alien"]));
  });

  it("claims that are not bound, have no class or no CSI volume say so", async () => {
    world.claim("shop", "pending", { driver: undefined });
    world.claim("shop", "classless", { spec: { storageClassName: "" } });
    world.claim("shop", "host", { driver: "" });
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({ phase: "PartiallyFailed", errors: 2, warnings: 1 });
    expect([...(results().errors.namespaces?.["shop"] ?? [])].sort()).toEqual([
      "persistentvolumeclaims/classless: Cannot snapshot PVC shop/classless, PVC has no storage class.",
      "persistentvolumeclaims/pending: PVC shop/pending is in phase Pending and is not bound to a volume",
    ]);
    expect((await contents()).items.map(({ object }) => object.metadata.name)).toContain("host");
    expect(results().warnings.namespaces?.["shop"]).toEqual([
      "persistentvolumeclaims/host: its volume is of no CSI driver, its data is not in the backup",
    ]);
  });

  it("a snapshot without a handle is waited for as long as csiSnapshotTimeout says, then taken away", async () => {
    world.snapshotClass("kept", "csi.keeps", {}, "Retain");
    world.claim("shop", "slow", { driver: "csi.keeps" });
    world.stuckSnapshots.add("slow");
    world.backup("nightly", { csiSnapshotTimeout: "3m" });
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
    });
    expect(results().errors.namespaces?.["shop"]).toEqual([
      expect.stringMatching(
        /^persistentvolumeclaims\/slow: timed out waiting for the snapshot handle of VolumeSnapshot shop\/velero-slow-\w+: the storage is full$/,
      ),
    ]);
    const waitedMs = Date.parse(status.completionTimestamp) - startMs;
    expect(waitedMs).toBeGreaterThanOrEqual(3 * minuteMs);
    expect(waitedMs).toBeLessThan(5 * minuteMs);
    await world.turn();
    nothingLeft();
  });

  it("row 45: a DataUpload that takes longer than itemOperationTimeout is cancelled and an error", async () => {
    world.movements.set("logs", "hang");
    world.backup("nightly", { itemOperationTimeout: "30m" });
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    const { status } = await world.untilEnd("backups", "nightly", minuteMs);
    expect(status).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(world.upload("logs").spec.cancel).toBe(true);
    expect(results().errors.namespaces?.["shop"]).toEqual([
      "persistentvolumeclaims/logs: Asynchronous action timed out",
    ]);
  });

  it("a cancelled DataUpload, and one that is deleted, are errors", async () => {
    for (const claim of ["data", "logs"]) world.movements.set(claim, "hang");
    world.backup("nightly");
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    await world.turn();
    world.api.modify(kinds.uploads, operator, world.upload("data").metadata.name, ({ spec }) => {
      spec.cancel = true;
    });
    world.api.delete(kinds.uploads, operator, world.upload("logs").metadata.name);
    await world.turn();
    expect(world.phase("backups", "nightly")).toBe("WaitingForPluginOperationsPartiallyFailed");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 2,
      backupItemOperationsFailed: 2,
    });
    expect([...(results().errors.namespaces?.["shop"] ?? [])].sort()).toEqual([
      "persistentvolumeclaims/data: DataUpload is canceled",
      expect.stringContaining("persistentvolumeclaims/logs: no DataUpload found with label"),
    ]);
    nothingLeft();
  });

  it("a claim that is deleted while its data moves stays in the backup", async () => {
    world.movements.set("data", "hang");
    world.backup("nightly");
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    world.api.delete(kinds.claims, "shop", "data");
    world.api.modify(kinds.claims, "shop", "data", ({ metadata }) => {
      metadata.finalizers = [];
    });
    expect(world.api.get(kinds.claims, "shop", "data")).toBeUndefined();
    world.movements.set("data", "complete");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({ backupItemOperationsCompleted: 2 });
    expect((await contents()).items.map(({ object }) => object.metadata.name)).toContain("data");
  });

  it("covers the namespaces, labels and kinds that it names, and nothing that is marked as excluded", async () => {
    world.namespace("other");
    world.namespace("hidden", { [labels.excludeFromBackup]: "true" });
    for (const namespace of ["other", "hidden"]) world.claim(namespace, "data");
    world.claim("other", "skipped", {
      metadata: { labels: { [labels.excludeFromBackup]: "true" } },
    });
    const covered = async (name: string, spec: object): Promise<string[]> => {
      world.backup(name, spec);
      const { metadata } = await world.untilEnd("backups", name);
      return world
        .list("uploads")
        .filter((one) => one.metadata.labels?.[labels.backupUid] === metadata.uid)
        .map(({ spec: { sourceNamespace, sourcePVC } }) => `${sourceNamespace}/${sourcePVC}`)
        .sort();
    };
    const all = ["other/data", "shop/data", "shop/logs"];
    expect(await covered("all", { includedNamespaces: null })).toEqual(all);
    expect(
      await covered("star", { includedNamespaces: ["*"], excludedNamespaces: ["shop"] }),
    ).toEqual(["other/data"]);
    expect(await covered("labelled", { labelSelector: { matchLabels: { app: "shop" } } })).toEqual([
      "shop/data",
    ]);
    expect(
      await covered("either", {
        orLabelSelectors: [{ matchLabels: { app: "shop" } }, { matchLabels: { app: "x" } }],
      }),
    ).toEqual(["shop/data"]);
    expect(await covered("kinds", { excludedResources: ["persistentvolumeclaims"] })).toEqual([]);
    expect(await covered("unsnapped", { snapshotVolumes: false, snapshotMoveData: false })).toEqual(
      [],
    );
  });

  it("takes the volumes of selected pods too, and namespaces that are not there are errors", async () => {
    world.api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace: "shop", labels: { tier: "front" } },
      spec: {
        containers: [{ name: "web", image: "web" }],
        volumes: [{ name: "logs", persistentVolumeClaim: { claimName: "logs" } }],
      },
    });
    world.backup("nightly", {
      includedNamespaces: ["shop", "nowhere"],
      labelSelector: { matchLabels: { tier: "front" } },
    });
    const { status } = await world.untilEnd("backups", "nightly");
    expect(world.list("uploads").map(({ spec }) => spec.sourcePVC)).toEqual(["logs"]);
    expect(status?.errors).toBe(1);
    expect(results().errors.cluster).toEqual(["namespaces/nowhere: it does not exist"]);
  });

  it("row 96: waits on in another server, with nothing kept in the first one", async () => {
    world.movements.set("data", "hang");
    world.backup("nightly");
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    await world.turn();
    world.movements.delete("data");
    expect((await world.untilEnd("backups", "nightly")).status?.phase).toBe("Completed");
    expect(world.list("uploads")).toHaveLength(2);
  });

  it("row 97: does not begin when the bucket has a backup of its name", async () => {
    world.blobs.set("default/backups/nightly/velero-backup.json", new Uint8Array([1]));
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "Failed",
      failureReason: "backup already exists in object storage",
    });
    expect(world.list("uploads")).toEqual([]);
    expect(file("velero-backup.json")).toEqual(new Uint8Array([1]));
  });

  it("row 97: leaves a backup of its name alone that another cluster writes while it runs", async () => {
    const other = encodeBackup({
      metadata: { name: "nightly", uid: "other" },
      status: { phase: "Completed" },
    } as Backup);
    world.hooks = {
      after: (what) => {
        if (what.startsWith("create datauploads"))
          world.blobs.set("default/backups/nightly/velero-backup.json", other);
      },
    };
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({
      phase: "Failed",
      failureReason: "backup already exists in object storage",
    });
    expect(file("velero-backup.json")).toEqual(other);
    expect(world.blobs.size).toBe(1);
    await world.turn();
    nothingLeft();
  });

  it("row 98: names what is wrong with its location", async () => {
    world.location("readonly", { accessMode: "ReadOnly" });
    world.location("away", {}, { phase: "Unavailable" });
    const problems = async (storageLocation: string): Promise<unknown> => {
      world.backup(`to-${storageLocation}`, { storageLocation });
      const { status } = await world.untilEnd("backups", `to-${storageLocation}`);
      expect(status?.phase).toBe("FailedValidation");
      return status?.validationErrors;
    };
    expect(await problems("readonly")).toEqual([
      "backup can't be created because backup storage location readonly is currently in read-only mode",
    ]);
    expect(await problems("away")).toEqual([
      "backup can't be created because BackupStorageLocation away is in Unavailable status.",
    ]);
    expect(await problems("missing")).toEqual([
      "an existing backup storage location was not found: missing",
    ]);
    expect(world.blobs.size).toBe(0);
  });

  it("an outage of the store is waited out, and ends the Backup only after hours", async () => {
    world.backup("nightly");
    await world.until(() => world.list("uploads").length === 2);
    world.storeFailure = new AccessError("DM_STORE_ACCESS_DENIED", "the key is refused");
    for (let turn = 0; turn < 10; turn++) await world.turn(minuteMs);
    expect(world.phase("backups", "nightly")).toBe("WaitingForPluginOperations");
    world.storeFailure = undefined;
    expect((await world.untilEnd("backups", "nightly")).status?.phase).toBe("Completed");

    world.movements.set("data", "hang");
    world.backup("second");
    await world.until(() => world.list("uploads").length === 4);
    world.storeFailure = new StorageError("DM_STORE_DOWN", "down", {}, { retryable: true });
    const { metadata, status } = await world.untilEnd("backups", "second", minuteMs);
    expect(status).toMatchObject({ phase: "Failed", failureReason: "down" });
    for (const upload of world.list("uploads"))
      if (
        upload.metadata.labels?.[labels.backupUid] === metadata.uid &&
        upload.status?.phase !== "Completed"
      )
        expect(upload.spec.cancel).toBe(true);
    nothingLeft();
  });

  it("what cannot be taken away does not keep it from its end", async () => {
    world.hooks = {
      after: (what) => {
        if (what.startsWith("create volumesnapshots")) throw new Crash("killed");
      },
    };
    world.backup("nightly");
    await world.until(() => world.list("snapshots").length > 0);
    world.isFaulty = true;
    world.hooks = {
      before: (what) => {
        if (what.startsWith("list volumesnapshots"))
          throw new AccessError("DM_KUBE_FORBIDDEN", "no right to list volumesnapshots");
      },
    };
    const { status } = await world.untilEnd("backups", "nightly", 60_000);
    expect(status).toMatchObject({
      phase: "Failed",
      failureReason: "no right to list volumesnapshots",
    });
  });

  it("a store that refuses before the start ends it at once", async () => {
    world.storeFailure = new AccessError("DM_STORE_ACCESS_DENIED", "the key is refused");
    world.backup("nightly");
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({ phase: "Failed", failureReason: "the key is refused" });
  });

  it("leaves finished and foreign objects alone", async () => {
    world.backup("nightly");
    const ended = await world.untilEnd("backups", "nightly");
    await world.turn();
    expect(world.get("backups", operator, "nightly").metadata.resourceVersion).toBe(
      ended.metadata.resourceVersion,
    );
    const { name } = world.upload("data").metadata;
    expect(name).toMatch(/^nightly-[0-9a-f]{10}$/);
  });

  it("does not take over a snapshot or DataUpload that somebody else has made", async () => {
    world.backup("nightly");
    world.hooks = {
      before: (what) => {
        if (!what.startsWith("create volumesnapshots") || !what.includes("velero-data-")) return;
        const name = what.split("/")[1] ?? "";
        if (world.api.get(kinds.snapshots, "shop", name)) return;
        world.api.create(kinds.snapshots, {
          apiVersion: "snapshot.storage.k8s.io/v1",
          kind: "VolumeSnapshot",
          metadata: { name, namespace: "shop" },
          spec: { source: { persistentVolumeClaimName: "data" }, volumeSnapshotClassName: "plain" },
        });
      },
    };
    const { status } = await world.untilEnd("backups", "nightly");
    expect(status).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(results().errors.namespaces?.["shop"]?.[0]).toContain("was not made for this backup");
    expect(world.list("snapshots")).toHaveLength(1);
  });
});

it("the head of a backup in the bucket is a Backup", async () => {
  world.backup("nightly");
  const { status } = await world.untilEnd("backups", "nightly");
  expect(status?.phase).toBe("Completed");
  expect(decodeBackup(file("velero-backup.json")).metadata.name).toBe("nightly");
  expect(json<VolumeInfo[]>("nightly-volumeinfo.json.gz")).toEqual([]);
  expect(json("nightly-itemoperations.json.gz")).toEqual([]);
  expect(json("nightly-podvolumebackups.json.gz")).toBeNull();
  expect(json("nightly-volumesnapshots.json.gz")).toBeNull();
});
