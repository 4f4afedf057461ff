// Volume snapshots are cut, bound, used and deleted as with the cluster's snapshot controller and a driver's side-car.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import type { StoredObject } from "../../src/kube-object.ts";
import { createSnapshotKinds } from "./snapshot-kinds.ts";
import { createWorld, isGone, namespace, type StorageWorld, until } from "./storage-world.ts";

let world: StorageWorld;
beforeEach(async () => {
  world = await createWorld();
  world.createStorageClass("standard");
});
afterEach(() => world[Symbol.asyncDispose]());

const contentNameOf = (snapshot: StoredObject): string => `snapcontent-${snapshot.metadata.uid}`;

/** Each controller takes one thing after the other: what was asked before this snapshot was made has been looked at. */
async function passed(): Promise<void> {
  await world.readySnapshot("later", "data", "retain");
}

/** The content that an exposer makes beside an original one, for the same bytes. */
function createContent(
  name: string,
  ref: Record<string, string>,
  handle: string,
  policy = "Delete",
): void {
  world.api.create(resources.contents, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotContent",
    metadata: { name },
    spec: {
      volumeSnapshotRef: { kind: "VolumeSnapshot", namespace, ...ref },
      source: { snapshotHandle: handle },
      deletionPolicy: policy,
      driver: world.driver.name,
      volumeSnapshotClassName: "delete",
    },
  });
}

describe("a VolumeSnapshot of a claim", () => {
  it("gets a content, and both get ready", async () => {
    const claim = await world.boundClaim("data");
    const snapshot = await world.readySnapshot("cut", "data");
    const content = world.content(contentNameOf(snapshot));
    const [stored] = world.driver.snapshots();
    expect(content.spec).toEqual({
      volumeSnapshotRef: {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshot",
        namespace,
        name: "cut",
        uid: snapshot.metadata.uid,
        resourceVersion: expect.any(String),
      },
      source: { volumeHandle: world.volume(claim.spec.volumeName).spec.csi.volumeHandle },
      sourceVolumeMode: "Filesystem",
      volumeSnapshotClassName: "delete",
      deletionPolicy: "Delete",
      driver: "csi.testbed.dm",
    });
    expect(content.status).toEqual({
      snapshotHandle: stored?.handle,
      creationTime: stored!.createdAtMs * 1e6,
      restoreSize: 1 << 20,
      readyToUse: true,
    });
    expect(content.metadata.annotations ?? {}).toEqual({});
    expect(content.metadata.finalizers).toEqual([
      "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
    ]);
    expect(snapshot.status).toEqual({
      boundVolumeSnapshotContentName: content.metadata.name,
      creationTime: `${new Date(stored!.createdAtMs).toISOString().slice(0, 19)}Z`,
      readyToUse: true,
      restoreSize: "1Mi",
    });
    expect([...(snapshot.metadata.finalizers ?? [])].sort()).toEqual([
      "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
      "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
    ]);
    expect(world.reasons("cut")).toEqual(["CreatingSnapshot", "SnapshotCreated", "SnapshotReady"]);
    expect(world.claim("data").metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
  });

  it("waits for its claim to come and to be bound", async () => {
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" });
    await until(world, () => world.snapshot("cut").status?.error !== undefined);
    expect(world.snapshot("cut").status).toMatchObject({
      readyToUse: false,
      error: { message: expect.stringContaining("cannot get claim from snapshot") },
    });
    await world.boundClaim("data");
    await until(world, () => world.snapshot("cut").status.readyToUse === true);
    expect(world.snapshot("cut").status.error).toBeUndefined();
  });

  it("says that its class is missing, and takes the default one when it names none", async () => {
    await world.boundClaim("data");
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" }, "absent");
    world.createSnapshot("plain", { persistentVolumeClaimName: "data" }, "");
    await until(world, () =>
      Boolean(world.snapshot("cut").status?.error && world.snapshot("plain").status?.error),
    );
    expect(world.snapshot("cut").status.error.message).toContain(
      "failed to retrieve snapshot class absent",
    );
    expect(world.snapshot("plain").status.error.message).toContain(
      "cannot find default snapshot class",
    );
    world.api.modify(resources.snapshotClasses, "", "retain", (one) => {
      one.metadata.annotations = { "snapshot.storage.kubernetes.io/is-default-class": "true" };
    });
    await until(world, () => world.snapshot("plain").status.readyToUse === true);
    expect(world.snapshot("plain").spec.volumeSnapshotClassName).toBe("retain");
  });

  it("takes content and bytes with it under policy Delete", async () => {
    await world.boundClaim("data");
    const snapshot = await world.readySnapshot("cut", "data");
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    expect(isGone(world, resources.contents, contentNameOf(snapshot))).toBe(true);
    expect(world.driver.snapshots()).toEqual([]);
  });

  it("leaves content and bytes under policy Retain, and the bytes when the content is deleted", async () => {
    await world.boundClaim("data");
    const name = contentNameOf(await world.readySnapshot("cut", "data", "retain"));
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    expect(world.content(name).metadata.annotations).toEqual({
      "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes",
    });
    world.api.delete(resources.contents, "", name);
    await until(world, () => isGone(world, resources.contents, name));
    expect(world.driver.snapshots()).toHaveLength(1);
  });

  it("takes the bytes when a retained content's policy is changed to Delete before its deletion", async () => {
    await world.boundClaim("data");
    const name = contentNameOf(await world.readySnapshot("cut", "data", "retain"));
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    world.api.modify(resources.contents, "", name, (content) => {
      content.spec.deletionPolicy = "Delete";
    });
    world.api.delete(resources.contents, "", name);
    await until(world, () => isGone(world, resources.contents, name));
    expect(world.driver.snapshots()).toEqual([]);
  });

  it("keeps a deleted content, and its bytes, while the snapshot is there", async () => {
    await world.boundClaim("data");
    const name = contentNameOf(await world.readySnapshot("cut", "data"));
    world.api.delete(resources.contents, "", name);
    await passed();
    expect(world.content(name).metadata.deletionTimestamp).toBeDefined();
    expect(world.driver.snapshots()).toHaveLength(2);
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    expect(world.driver.snapshots()).toHaveLength(1);
  });

  it("goes although it never had a content", async () => {
    world.createSnapshot("cut", { persistentVolumeClaimName: "absent" });
    await until(world, () => world.snapshot("cut").status?.error !== undefined);
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
  });
});

describe("a VolumeSnapshot of a content that exists", () => {
  it("hands the bytes over as the exposer does, and deletes them only with the last content", async () => {
    await world.boundClaim("data");
    const original = await world.readySnapshot("cut", "data");
    const originalContent = contentNameOf(original);
    const handle: string = world.content(originalContent).status.snapshotHandle;
    // Snapshot first: its content is missing for a while.
    const copy = world.createSnapshot("copy", { volumeSnapshotContentName: "copy" });
    await until(world, () => world.snapshot("copy").status?.error !== undefined);
    expect(world.snapshot("copy").status.error.message).toBe("VolumeSnapshotContent is missing");
    createContent("copy", { name: "copy", uid: copy.metadata.uid }, handle);
    world.api.modify(resources.contents, "", originalContent, (content) => {
      content.spec.deletionPolicy = "Retain";
    });
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    world.api.delete(resources.contents, "", originalContent);
    await until(world, () => isGone(world, resources.contents, originalContent));
    await until(world, () => world.snapshot("copy").status.readyToUse === true);
    expect(world.snapshot("copy").status).toMatchObject({
      boundVolumeSnapshotContentName: "copy",
      restoreSize: "1Mi",
    });
    expect(world.driver.snapshots().map((each) => each.handle)).toEqual([handle]);
    world.api.delete(resources.snapshots, namespace, "copy");
    await until(world, () => isGone(world, resources.contents, "copy"));
    expect(world.driver.snapshots()).toEqual([]);
  });

  it("binds a content that names it without uid", async () => {
    await world.boundClaim("data");
    const { status } = world.content(contentNameOf(await world.readySnapshot("cut", "data")));
    createContent("beforehand", { name: "mine" }, status.snapshotHandle, "Retain");
    const snapshot = world.createSnapshot("mine", { volumeSnapshotContentName: "beforehand" });
    await until(world, () => world.snapshot("mine").status?.readyToUse === true);
    expect(world.content("beforehand").spec.volumeSnapshotRef.uid).toBe(snapshot.metadata.uid);
  });

  it.each([
    ["another snapshot's name", { name: "other" }],
    ["the uid of another", { name: "mine", uid: "other" }],
  ])("refuses a content with %s", async (_, ref) => {
    createContent("foreign", ref, "snap-any");
    world.createSnapshot("mine", { volumeSnapshotContentName: "foreign" });
    await until(world, () => world.snapshot("mine").status?.error !== undefined);
    expect(world.snapshot("mine").status.error.message).toBe(
      "VolumeSnapshotContent [foreign] is bound to a different snapshot",
    );
    world.api.delete(resources.snapshots, namespace, "mine");
    await until(world, () => isGone(world, resources.snapshots, "mine"));
    expect(world.content("foreign").metadata.annotations).toBeUndefined();
  });

  it("says that the storage has no such handle", async () => {
    createContent("lost", { name: "mine" }, "snap-lost");
    world.createSnapshot("mine", { volumeSnapshotContentName: "lost" });
    await until(world, () => world.snapshot("mine").status?.error !== undefined);
    expect(world.snapshot("mine").status.error.message).toContain(
      "volume snapshot snap-lost does not exist",
    );
    expect(world.snapshot("mine").status.readyToUse).toBe(false);
  });
});

describe("a claim from a VolumeSnapshot", () => {
  const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "cut" };

  it.each(["dataSource", "dataSourceRef"])(
    "holds what the volume held when it was cut (%s)",
    async (field) => {
      await world.boundClaim("data");
      const path = await world.mount("data");
      await writeFile(join(path, "file"), "before");
      await world.readySnapshot("cut", "data");
      await writeFile(join(path, "file"), "after");
      await world.boundClaim("restored", { [field]: dataSource });
      expect(await readFile(join(await world.mount("restored"), "file"), "utf8")).toBe("before");
      expect(await readFile(join(path, "file"), "utf8")).toBe("after");
    },
  );

  it("may be for readers only", async () => {
    await world.boundClaim("data");
    await world.readySnapshot("cut", "data");
    await world.boundClaim("restored", { dataSource, accessModes: ["ReadOnlyMany"] });
    await world.mount("restored", { pod: "one", node: "a", readOnly: true });
    await world.mount("restored", { pod: "two", node: "b", readOnly: true });
  });

  it("waits until the snapshot is there and ready", async () => {
    await world.boundClaim("data");
    const ready = world.driver.faults.add({ operation: "createSnapshot", never: true });
    world.createClaim("restored", { dataSource });
    await until(world, () => world.reasons("restored").includes("ProvisioningFailed"));
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" });
    const isTold = (): boolean =>
      world.messages("restored").some((text) => text.endsWith("snapshot cut is not Ready"));
    await until(world, isTold);
    ready();
    await until(world, () => world.claim("restored").status.phase === "Bound");
  });

  it("is refused when it asks for less than the snapshot needs", async () => {
    await world.boundClaim("data");
    await world.readySnapshot("cut", "data");
    const resources = { requests: { storage: "1Ki" } };
    world.createClaim("restored", { dataSource, resources });
    await until(world, () => world.reasons("restored").includes("ProvisioningFailed"));
    expect(world.messages("restored").at(-1)).toContain(
      "requested volume size 1024 is less than the size 1048576 for the source snapshot cut",
    );
  });

  it("keeps a deleted snapshot until it is made", async () => {
    await world.boundClaim("data");
    await world.readySnapshot("cut", "data");
    const off = world.driver.faults.add({ operation: "createVolume", error: "not now" });
    world.createClaim("restored", { dataSource });
    await until(world, () => world.reasons("restored").includes("ProvisioningFailed"));
    world.api.delete(resources.snapshots, namespace, "cut");
    await passed();
    expect(world.snapshot("cut").metadata.deletionTimestamp).toBeDefined();
    expect(world.driver.snapshots()).toHaveLength(2);
    world.api.delete(resources.claims, namespace, "restored");
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    off();
  });
});

describe("the kinds of volume snapshots", () => {
  it("may come after the cluster has started", async () => {
    await using late = await createWorld({ withoutSnapshots: true });
    late.createStorageClass("standard");
    await late.boundClaim("data");
    createSnapshotKinds(late.api);
    late.api.create(resources.snapshotClasses, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotClass",
      metadata: { name: "delete" },
      driver: late.driver.name,
      deletionPolicy: "Delete",
    });
    await late.readySnapshot("cut", "data");
  });
});

describe("a driver with a directory", () => {
  it("has the same volumes and volume snapshots when it is opened again", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-driver-"));
    try {
      let handle = "";
      {
        await using first = await createWorld({ directory });
        first.createStorageClass("standard");
        await first.boundClaim("data");
        await writeFile(join(await first.mount("data"), "file"), "text");
        handle = first.content(contentNameOf(await first.readySnapshot("cut", "data"))).status
          .snapshotHandle;
      }
      await using second = await createWorld({ directory });
      expect(second.driver.volumes()).toHaveLength(1);
      second.createStorageClass("standard");
      second.api.create(resources.contents, {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshotContent",
        metadata: { name: "kept" },
        spec: {
          volumeSnapshotRef: { kind: "VolumeSnapshot", namespace, name: "kept" },
          source: { snapshotHandle: handle },
          deletionPolicy: "Delete",
          driver: second.driver.name,
        },
      });
      second.createSnapshot("kept", { volumeSnapshotContentName: "kept" });
      await second.boundClaim("restored", {
        dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "kept" },
      });
      expect(await readFile(join(await second.mount("restored"), "file"), "utf8")).toBe("text");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
