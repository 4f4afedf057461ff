/** Snapshots that are the backup: kept in the storage, waited for while their pods go on, written down, and dropped with a failure. */
import { FormatError } from "@dm/core";
import { annotations, labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  decodeGzipJson,
  decodeItems,
  type ItemOperation,
  type Results,
  type VolumeInfo,
} from "../../src/bucket/backup-files.ts";
import { Crash, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const file = (name: string): Uint8Array =>
  world.blobs.get(`default/backups/nightly/${name}`) ?? new Uint8Array();
const json = <T>(name: string): T => decodeGzipJson(file(`nightly-${name}.gz`), name) as T;
const items = () => decodeItems(file("nightly.tar.gz"), "tarball");
const run = async (spec: object = {}) => {
  world.backup("nightly", spec);
  return (await world.untilEnd("backups", "nightly")).status;
};
const ofKind = (resource: string) =>
  items().find((one) => one.resource.startsWith(`${resource}.`))?.object;

describe("a Backup whose snapshots stay where they are", () => {
  const kept = { snapshotMoveData: false };
  it("holds them, and leaves only the storage's snapshot behind", async () => {
    world.claim("shop", "data");
    expect(await run(kept)).toMatchObject({
      phase: "Completed",
      csiVolumeSnapshotsAttempted: 1,
      csiVolumeSnapshotsCompleted: 1,
    });
    expect(items().map(({ resource }) => resource.split(".")[0])).toEqual(
      expect.arrayContaining([
        "persistentvolumes",
        "volumesnapshotclasses",
        "persistentvolumeclaims",
      ]),
    );
    const [handle] = world.handles;
    expect(ofKind("volumesnapshotcontents")?.metadata.labels).toEqual({
      [labels.backupName]: "nightly",
    });
    const snapshot = ofKind("volumesnapshots");
    expect(snapshot?.metadata.annotations).toEqual({
      [annotations.csiVolumeSnapshotHandle]: handle,
      [annotations.csiDriverName]: "csi.test",
      [annotations.csiDeletionPolicy]: "Delete",
      [annotations.csiVolumeSnapshotRestoreSize]: String(1 << 30),
    });
    const claim = items().find(({ resource }) => resource === "persistentvolumeclaims")?.object
      .metadata;
    expect(claim?.annotations?.[annotations.volumeSnapshotName]).toBe(snapshot?.metadata.name);
    expect(claim?.annotations?.[annotations.dataUploadName]).toBeUndefined();
    expect(json<VolumeInfo[]>("volumeinfo.json")[0]).toMatchObject({
      backupMethod: "CSISnapshot",
      snapshotDataMoved: false,
      preserveLocalSnapshot: true,
      result: "succeeded",
      csiSnapshotInfo: { snapshotHandle: handle, ReadyToUse: true },
    });
    expect([world.list("snapshots"), world.list("contents"), world.list("uploads")]).toEqual([
      [],
      [],
      [],
    ]);
    world.playAround();
    expect([...world.handles]).toEqual([handle]);
  });

  it("reads the classes once", async () => {
    for (const name of ["a", "b", "c"]) world.claim("shop", name);
    let reads = 0;
    world.hooks = {
      before: (what) => {
        if (/^(get|list) volumesnapshotclasses/.test(what)) reads++;
      },
    };
    expect((await run(kept))?.phase).toBe("Completed");
    expect(reads).toBe(1);
    expect(ofKind("volumesnapshotclasses")?.metadata.name).toBe("plain");
  });

  it("asks for all of them at once while it waits, however many there are", async () => {
    for (const name of ["a", "b", "c"]) {
      world.claim("shop", name);
      world.slowSnapshots.add(name);
    }
    world.backup("nightly", kept);
    await world.until(() => world.phase("backups", "nightly").startsWith("Waiting"));
    const calls: string[] = [];
    world.hooks = { before: (what) => calls.push(what.split("/")[0] ?? "") };
    await world.turn();
    expect(world.phase("backups", "nightly")).toMatch(/^Waiting/);
    expect(calls.filter((what) => what.includes("snapshot"))).toEqual([
      "list volumesnapshots.snapshot.storage.k8s.io",
    ]);
  });

  it("waits until they can be used, while their pods go on", async () => {
    world.claim("shop", "data");
    world.slowSnapshots.add("data");
    const metadata = {
      annotations: {
        "pre.hook.backup.velero.io/command": "freeze",
        "post.hook.backup.velero.io/command": "thaw",
      },
    };
    world.pod("shop", "db", ["data"], { metadata });
    world.backup("nightly", kept);
    await world.turn();
    await world.turn();
    expect(world.phase("backups", "nightly")).toBe("WaitingForPluginOperations");
    expect(world.executed.at(-1)).toBe("shop/db main: thaw");
    world.slowSnapshots.clear();
    expect((await world.untilEnd("backups", "nightly")).status?.phase).toBe("Completed");
    expect(ofKind("volumesnapshots")).toMatchObject({ status: { readyToUse: true } });
    expect(json<ItemOperation[]>("itemoperations.json")).toEqual([
      {
        spec: expect.objectContaining({
          backupItemAction: "velero.io/csi-volumesnapshot-backupper",
          resourceIdentifier: expect.objectContaining({ Resource: "volumesnapshots" }),
        }),
        status: expect.objectContaining({ phase: "Completed" }),
      },
    ]);
  });

  it("one that cannot be used in its time is an error, and dropped", async () => {
    world.claim("shop", "data");
    world.claim("shop", "logs");
    world.slowSnapshots.add("data");
    expect(await run({ ...kept, itemOperationTimeout: "30m" })).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      backupItemOperationsCompleted: 1,
      backupItemOperationsFailed: 1,
      csiVolumeSnapshotsAttempted: 2,
      csiVolumeSnapshotsCompleted: 1,
    });
    expect(json<Results>("results").errors.namespaces?.["shop"]).toEqual([
      expect.stringMatching(
        /^volumesnapshots\/velero-data-\w+: timed out waiting for VolumeSnapshot shop\/velero-data-\w+ to be ready to use$/,
      ),
    ]);
    expect(
      json<VolumeInfo[]>("volumeinfo.json").map(({ pvcName, result }) => [pvcName, result]),
    ).toEqual([
      ["data", "failed"],
      ["logs", "succeeded"],
    ]);
    world.playAround();
    expect([world.list("snapshots"), world.list("contents"), [...world.handles].length]).toEqual([
      [],
      [],
      1,
    ]);
  });

  it("a server that dies while it lets go of them changes nothing", async () => {
    for (const name of ["a", "b"]) world.claim("shop", name);
    let left = 1;
    world.hooks = {
      after: (what) => {
        if (what.startsWith("delete volumesnapshots.") && left-- > 0) throw new Crash();
      },
    };
    expect(await run(kept)).toMatchObject({
      phase: "Completed",
      backupItemOperationsCompleted: 2,
      csiVolumeSnapshotsCompleted: 2,
    });
    expect(items().filter(({ resource }) => resource.startsWith("volumesnapshots."))).toHaveLength(
      2,
    );
    expect([world.list("snapshots"), [...world.handles].length]).toEqual([[], 2]);
  });

  it("drops them when it fails", async () => {
    world.claim("shop", "data");
    world.hooks = {
      before: (what) => {
        if (what === "write nightly.tar.gz") throw new FormatError("DM_STORE_ACCESS_DENIED", "no");
      },
    };
    expect(await run(kept)).toMatchObject({ phase: "Failed", failureReason: "no" });
    await world.turn();
    expect([world.list("snapshots"), world.list("contents"), [...world.handles]]).toEqual([
      [],
      [],
      [],
    ]);
  });
});
