// Snapshots in the storage that a backup keeps are deleted through their contents, and what others have is not touched. The storage's
// controller is played by the test.
import { type Backup, labels, type VolumeSnapshotContent } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import { deleteContents, deleteVolumeSnapshots } from "../../src/retention/delete-contents.ts";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { operator, World } from "./world.ts";

let world: World;
let deletedHandles: string[];
beforeEach(async () => {
  world = await World.open();
  deletedHandles = [];
  world.api.watch("volumesnapshotcontents.snapshot.storage.k8s.io", ({ object, type }) => {
    if (type !== "DELETED" || object.spec.deletionPolicy !== "Delete" || !object.status) return;
    deletedHandles.push(object.status.snapshotHandle);
  });
});
afterEach(() => world[Symbol.asyncDispose]());

const backup = { metadata: { name: "b", uid: "u", namespace: operator } } as Backup;
const content = (handle: string): VolumeSnapshotContent =>
  ({
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotContent",
    metadata: { name: `content-${handle}`, labels: { [labels.backupName]: "b" } },
    spec: {
      deletionPolicy: "Retain",
      driver: "csi.test",
      source: { volumeHandle: "v" },
      volumeSnapshotClassName: "plain",
      volumeSnapshotRef: { namespace: "shop", name: "s", uid: "x" },
    },
    status: { snapshotHandle: handle, readyToUse: true },
  }) as unknown as VolumeSnapshotContent;
const store = (one: VolumeSnapshotContent) => {
  world.create(
    "contents",
    one.metadata.name ?? "",
    { spec: one.spec },
    { labels: one.metadata.labels },
  );
  see(one.metadata.name ?? "", one.status?.snapshotHandle ?? "");
};
/** What the storage's controller does first. */
const see = (name: string, snapshotHandle: string) =>
  world.api.modify(
    "volumesnapshotcontents.snapshot.storage.k8s.io",
    "",
    name,
    (object) => {
      object.status = { snapshotHandle, readyToUse: true };
    },
    { subresource: "status" },
  );
const run = (...contents: VolumeSnapshotContent[]) =>
  deleteContents(world.deps, backup, contents, {});

it("one that is there goes with its snapshot", async () => {
  store(content("h1"));
  expect(await run(content("h1"))).toBe(false);
  expect(deletedHandles).toEqual(["h1"]);
  expect(world.names("contents")).toEqual([]);
});

it("one that is gone is made again, waited for, and goes", async () => {
  expect(await run(content("h1"))).toBe(true);
  expect(await run(content("h1"))).toBe(true);
  const [name = "", ...others] = world.names("contents");
  expect(others).toEqual([]);
  expect(world.get("contents", name).spec).toMatchObject({
    deletionPolicy: "Delete",
    driver: "csi.test",
    source: { snapshotHandle: "h1" },
  });
  expect(world.get("contents", name).spec.volumeSnapshotClassName).toBeUndefined();
  see(name, "h1");
  expect(await run(content("h1"))).toBe(false);
  expect(deletedHandles).toEqual(["h1"]);
  expect(world.names("contents")).toEqual([]);
});

it("a storage that nobody looks after is not waited for for ever", async () => {
  await run(content("h1"));
  world.advance(60_000);
  expect(await run(content("h1"))).toBe(false);
  expect(world.names("contents")).toEqual([]);
  expect(world.warnings.length).toBe(1);
});

it("another one of the same name is not touched", async () => {
  store({ ...content("h2"), metadata: { name: "content-h1" } });
  await run(content("h1"));
  expect(world.names("contents").length).toBe(2);
  expect(world.get("contents", "content-h1").spec.deletionPolicy).toBe("Retain");
});

it("a deletion waits for it", async () => {
  const one = {
    ...content("h1"),
    metadata: { ...content("h1").metadata, labels: { [labels.backupName]: "nightly" } },
  };
  const items = [
    { resource: "volumesnapshotcontents.snapshot.storage.k8s.io", version: "v1", object: one },
  ];
  await world.backup("nightly", { items });
  world.request("nightly");
  const reconcile = () =>
    reconcileDeleteRequest(world.deps, { namespace: operator, name: "nightly-x" });
  expect(await reconcile()).toEqual({ requeueAfterMs: 5_000 });
  expect(world.filesOf("backups/nightly/").length).toBe(4);
  const [name = ""] = world.names("contents");
  see(name, "h1");
  expect(await reconcile()).toEqual({});
  expect([...world.names("backups"), ...world.names("contents")]).toEqual([]);
});

it("snapshots of a backup that ended early go; what a Restore has made stays, and what is of another backup of its name", async () => {
  world.api.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  const others = {
    ours: {},
    restored: { [labels.restoreName]: "r" },
    // Another operator's, which has a backup of the same name.
    theirs: { [labels.backupUid]: "other" },
  };
  for (const [name, more] of Object.entries(others))
    world.create(
      "snapshots",
      name,
      { spec: { source: { persistentVolumeClaimName: "c" } } },
      { namespace: "shop", labels: { [labels.backupName]: "b", ...more } },
    );
  await deleteVolumeSnapshots(world.deps, { backup }, {});
  expect(world.names("snapshots")).toEqual(["restored", "theirs"]);
});

it("snapshots that a run has left go with its backup, also when that is whole", async () => {
  world.api.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  await world.backup("nightly");
  world.create(
    "snapshots",
    "left",
    { spec: { source: { persistentVolumeClaimName: "c" } } },
    {
      namespace: "shop",
      labels: {
        [labels.backupName]: "nightly",
        [labels.backupUid]: world.get("backups", "nightly").metadata.uid,
      },
    },
  );
  world.request("nightly");
  await reconcileDeleteRequest(world.deps, { namespace: operator, name: "nightly-x" });
  expect([...world.names("backups"), ...world.names("snapshots")]).toEqual([]);
});

it("the VolumeSnapshot that holds a content goes with it; one that has only its name stays", async () => {
  world.api.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  const { uid } = world.create(
    "snapshots",
    "s",
    { spec: { source: { persistentVolumeClaimName: "c" } } },
    { namespace: "shop" },
  ).metadata;
  store(content("h1"));
  await run(content("h1"));
  expect(world.names("snapshots")).toEqual(["s"]);
  const bound = content("h2");
  store({
    ...bound,
    spec: { ...bound.spec, volumeSnapshotRef: { namespace: "shop", name: "s", uid } },
  } as VolumeSnapshotContent);
  await run(bound);
  expect(world.names("snapshots")).toEqual([]);
  expect(deletedHandles).toEqual(["h1", "h2"]);
});
