// The restored volume's way to the target claim: what both are at the end, what is refused, and what happens to the data when it
// cannot go on.
import type { DataDownload } from "@dm/crds";
import type { StoredObject } from "@dm/testbed";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RestoreExposer } from "../../src/expose/exposer.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import { namespace } from "./samples.ts";
import { createWorld, downloadOf, drive, fresh, type World } from "./world.ts";

const claims = "persistentvolumeclaims";
const volumes = "persistentvolumes";
const name = "restore-1";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

/** A volume that the data path has filled. */
async function filled(claim: object = {}): Promise<{
  readonly exposer: RestoreExposer;
  readonly volume: string;
  readonly download: DataDownload;
}> {
  const download = downloadOf(world, { claim });
  const exposer = fresh(() => genericRestoreExposer(world.context, download));
  await drive(world, exposer.expose);
  const ours = found(claims, name, namespace);
  world.csi.storedVolumes.set(world.csi.handleOf(ours), "restored");
  return { exposer, volume: ours.spec.volumeName, download };
}

function found(resource: string, objectName: string, inNamespace = ""): StoredObject {
  const object = world.api.get(resource, inNamespace, objectName);
  if (object === undefined) throw new Error(`no ${resource} ${objectName}`);
  return object;
}

/** Another claim is there, and somebody has given it the volume. */
function stealBy(volume: string): void {
  const { uid } = world.api.create(claims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "shop", name: "thief" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "none",
      resources: { requests: { storage: "1Gi" } },
    },
  }).metadata;
  world.api.modify(volumes, "", volume, (stored) => {
    stored.spec.claimRef = { kind: "PersistentVolumeClaim", namespace: "shop", name: "thief", uid };
  });
}

const target = () => found(claims, "db", "shop");
const contentOf = (volume: string) =>
  world.csi.storedVolumes.get(found(volumes, volume).spec.csi.volumeHandle);

describe("rebinding", () => {
  it.each([
    ["fast", "Delete"],
    ["kept", "Retain"],
  ])(
    "row 80: the target has the volume, class %s, its reclaim policy as before",
    async (storageClassName, policy) => {
      const { exposer, volume } = await filled({ storageClassName });
      await drive(world, exposer.rebind);
      await drive(world, exposer.cleanUp);
      expect(target().spec.volumeName).toBe(volume);
      expect(target().status.phase).toBe("Bound");
      const { metadata, spec, status } = found(volumes, volume);
      expect(status.phase).toBe("Bound");
      expect(spec.persistentVolumeReclaimPolicy).toBe(policy);
      expect(spec.claimRef).toMatchObject({
        namespace: "shop",
        name: "db",
        uid: target().metadata.uid,
      });
      expect(metadata.labels?.["velero.io/dynamic-pv-restore"]).toBe("shop.db.abcde");
      expect(
        Object.keys(metadata.annotations ?? {}).filter((key) => key.startsWith("dm.")),
      ).toEqual([]);
      expect(contentOf(volume)).toBe("restored");
      expect(world.leftovers()).toEqual([]);
      const before = world.api.list(volumes);
      expect(await exposer.rebind()).toEqual({ done: true });
      expect(world.api.list(volumes)).toEqual(before);
    },
  );

  it("keeps the labels that the volume has", async () => {
    const { exposer, volume } = await filled();
    world.api.modify(volumes, "", volume, (stored) => {
      stored.metadata.labels = { "velero.io/dynamic-pv-restore": "own", zone: "a" };
    });
    await drive(world, exposer.rebind);
    expect(found(volumes, volume).metadata.labels).toMatchObject({
      "velero.io/dynamic-pv-restore": "own",
      zone: "a",
    });
  });

  it("row 85: refuses a volume that another claim has taken, and touches neither", async () => {
    const { exposer, volume } = await filled();
    stealBy(volume);
    const before = found(volumes, volume).spec;
    await expect(exposer.rebind()).rejects.toMatchObject({
      code: "DM_REBIND_VOLUME_TAKEN",
      message: "error to wait restore PV bound, pv has been bound by unexpected pvc shop/thief",
    });
    await drive(world, exposer.cleanUp);
    expect(found(volumes, volume).spec).toEqual(before);
    expect(contentOf(volume)).toBe("restored");
  });

  it("row 85: refuses it as well when that happens after our claim is gone", async () => {
    const { exposer, volume } = await filled();
    world.csi.steering.binds = false;
    for (let call = 0; call < 5; call += 1) {
      await exposer.rebind();
      world.csi.settle();
    }
    expect(world.api.get(claims, namespace, name)).toBeUndefined();
    stealBy(volume);
    await expect(exposer.rebind()).rejects.toMatchObject({
      code: "DM_REBIND_VOLUME_TAKEN",
      message: "error to wait restore PV bound, pv has been bound by unexpected pvc shop/thief",
    });
    await drive(world, exposer.cleanUp);
    expect(found(volumes, volume).spec.persistentVolumeReclaimPolicy).toBe("Retain");
    expect(contentOf(volume)).toBe("restored");
  });

  it("row 86: a target that is deleted meanwhile fails it, and clean-up leaves nothing", async () => {
    const { exposer } = await filled();
    world.api.delete(claims, "shop", "db");
    world.csi.settle();
    await expect(exposer.rebind()).rejects.toMatchObject({
      code: "DM_REBIND_TARGET_NOT_FOUND",
      message: "error to get target PVC, shop/db: it is not there",
    });
    await drive(world, exposer.cleanUp);
    world.csi.settle();
    expect(world.leftovers()).toEqual([]);
    expect(world.csi.storedVolumes.size).toBe(0);
  });

  it("row 86: also when the volume is on its way", async () => {
    const { exposer } = await filled();
    await exposer.rebind();
    world.csi.settle();
    world.csi.steering.stuck = new Set([name]);
    expect(await exposer.rebind()).toEqual({
      done: false,
      reason: "PersistentVolumeClaim velero/restore-1 is being deleted",
    });
    world.csi.settle();
    world.api.delete(claims, "shop", "db");
    world.csi.steering.stuck = new Set();
    world.csi.settle();
    await expect(exposer.rebind()).rejects.toMatchObject({ code: "DM_REBIND_TARGET_NOT_FOUND" });
    await drive(world, exposer.cleanUp);
    world.csi.settle();
    expect(world.leftovers()).toEqual([]);
    expect(world.csi.storedVolumes.size).toBe(0);
  });

  it("refuses a target that has got another volume", async () => {
    const { exposer } = await filled();
    world.api.modify(claims, "shop", "db", (stored) => {
      stored.spec.volumeName = "other";
    });
    await expect(exposer.rebind()).rejects.toMatchObject({
      code: "DM_REBIND_TARGET_BOUND",
      message: "error to rebind target PVC: Target PVC shop/db has already been bound, abort",
    });
    await drive(world, exposer.cleanUp);
    world.csi.settle();
    expect(world.leftovers()).toEqual([]);
  });

  it("refuses without a volume of ours", async () => {
    const download = downloadOf(world);
    await expect(genericRestoreExposer(world.context, download).rebind()).rejects.toMatchObject({
      code: "DM_REBIND_VOLUME_NOT_FOUND",
      message: "error to get PV from restore PVC, velero/restore-1: neither of them is there",
    });
  });

  it("row 84: a pod that will not go ends it after the operation timeout, and the data is kept", async () => {
    const { exposer, volume } = await filled();
    world.api.modify("pods", namespace, name, (stored) => {
      stored.metadata.finalizers = ["example.com/hold"];
    });
    await expect(drive(world, exposer.rebind)).rejects.toMatchObject({
      code: "DM_EXPOSE_DELETION_STUCK",
      message: "timeout to assure pod restore-1 is deleted, finalizers in pod [example.com/hold]",
    });
    await drive(world, exposer.cleanUp);
    expect(contentOf(volume)).toBe("restored");
    expect(found(volumes, volume).spec.persistentVolumeReclaimPolicy).toBe("Retain");
    // Once the pod goes after all, what is left binds.
    world.api.modify("pods", namespace, name, (stored) => {
      stored.metadata.finalizers = [];
    });
    world.csi.settle();
    await drive(world, exposer.rebind);
    expect(target().spec.volumeName).toBe(volume);
    expect(contentOf(volume)).toBe("restored");
  });

  it("row 84: a volume that is not bound in time is kept, and the message says so", async () => {
    const { exposer, volume } = await filled();
    world.csi.steering.binds = false;
    await expect(drive(world, exposer.rebind)).rejects.toMatchObject({
      code: "DM_REBIND_NOT_BOUND",
      message: `error to wait restore PV bound, ${volume}: it is Available and waits for PVC shop/db; the restored data is in it, and it is kept`,
    });
    await drive(world, exposer.cleanUp);
    expect(contentOf(volume)).toBe("restored");
    expect(found(volumes, volume).spec.persistentVolumeReclaimPolicy).toBe("Retain");
    world.csi.steering.binds = true;
    world.csi.settle();
    expect(target().status.phase).toBe("Bound");
  });

  it("row 90: clean-up brings a volume that is on its way to its target", async () => {
    const { exposer, volume } = await filled();
    await exposer.rebind();
    world.csi.settle();
    world.csi.steering.stuck = new Set([name]);
    await exposer.rebind();
    world.csi.steering.stuck = new Set();
    world.csi.settle();
    await drive(world, exposer.cleanUp);
    expect(target().spec.volumeName).toBe(volume);
    expect(contentOf(volume)).toBe("restored");
    expect(found(volumes, volume).spec.persistentVolumeReclaimPolicy).toBe("Delete");
    expect(world.leftovers()).toEqual([]);
  });
});
