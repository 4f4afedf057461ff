// Each fault switch shows where a real driver's failure would: in events, conditions and statuses, and is got over when it is off.
import { isDmError } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, isGone, namespace, type StorageWorld, until } from "./storage-world.ts";

let world: StorageWorld;
beforeEach(async () => {
  world = await createWorld();
  world.createStorageClass("standard");
});
afterEach(() => world[Symbol.asyncDispose]());

const hour = 3_600_000;

describe("volume snapshots", () => {
  it("are never ready", async () => {
    await world.boundClaim("data");
    const off = world.driver.faults.add({ operation: "createSnapshot", never: true });
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" });
    await until(world, () => world.snapshot("cut").status?.creationTime !== undefined);
    await world.clock.advance(24 * hour);
    expect(world.snapshot("cut").status.readyToUse).toBe(false);
    off();
    await until(world, () => world.snapshot("cut").status.readyToUse === true);
  });

  it("are slow: cut at once, ready later", async () => {
    await world.boundClaim("data");
    world.driver.faults.add({ operation: "createSnapshot", of: /\/cut$/, delayMs: 10 * hour });
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" });
    await until(world, () => world.snapshot("cut").status?.creationTime !== undefined);
    await world.readySnapshot("other", "data");
    await world.clock.advance(9 * hour);
    expect(world.snapshot("cut").status.readyToUse).toBe(false);
    await world.clock.advance(hour);
    await until(world, () => world.snapshot("cut").status.readyToUse === true);
  });

  it("fail twice, say why, and are ready then", async () => {
    await world.boundClaim("data");
    const fault = {
      operation: "createSnapshot",
      times: 2,
      error: "array is busy",
      code: "Unavailable",
    } as const;
    world.driver.faults.add(fault);
    world.createSnapshot("cut", { persistentVolumeClaimName: "data" });
    await until(world, () => world.snapshot("cut").status?.error !== undefined);
    expect(world.snapshot("cut").status).toMatchObject({
      readyToUse: false,
      error: {
        message: expect.stringContaining("rpc error: code = Unavailable desc = array is busy"),
        time: expect.stringMatching(/Z$/),
      },
    });
    await until(world, () => world.snapshot("cut").status.readyToUse === true);
    expect(world.snapshot("cut").status.error).toBeUndefined();
    expect(world.driver.snapshots()).toHaveLength(1);
  });

  it("cannot be deleted: the content stays with its finalizer", async () => {
    await world.boundClaim("data");
    const name = `snapcontent-${(await world.readySnapshot("cut", "data")).metadata.uid}`;
    const off = world.driver.faults.add({ operation: "deleteSnapshot", never: true });
    world.api.delete(resources.snapshots, namespace, "cut");
    await until(world, () => world.reasons(name).includes("SnapshotDeleteError"));
    await world.clock.advance(hour);
    expect(world.content(name).metadata.finalizers).toEqual([
      "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
    ]);
    expect(world.snapshot("cut").metadata.finalizers).toEqual([
      "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
    ]);
    off();
    await until(world, () => isGone(world, resources.snapshots, "cut"));
    expect(world.driver.snapshots()).toEqual([]);
  });
});

describe("volumes", () => {
  it("cannot be made for want of space, and can when there is some", async () => {
    const off = world.driver.faults.add({
      operation: "createVolume",
      of: `${namespace}/data`,
      error: "not enough space",
      code: "ResourceExhausted",
    });
    world.createClaim("data");
    await until(world, () => world.reasons("data").includes("ProvisioningFailed"));
    expect(world.messages("data")).toContain(
      'failed to provision volume with StorageClass "standard": rpc error: code = ResourceExhausted desc = not enough space',
    );
    await world.boundClaim("other");
    expect(world.claim("data").status.phase).toBe("Pending");
    off();
    await until(world, () => world.claim("data").status.phase === "Bound");
  });

  it("are slow to be made", async () => {
    world.driver.faults.add({ operation: "createVolume", of: "app/data", delayMs: 2 * hour });
    world.createClaim("data");
    await until(world, () => world.reasons("data").includes("Provisioning"));
    await world.clock.advance(hour);
    // The provisioner makes one after the other.
    await world.boundClaim("other");
    expect(world.driver.volumes()).toHaveLength(1);
    await world.clock.advance(hour);
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.reasons("data")).not.toContain("ProvisioningFailed");
  });

  it("cannot be deleted: the volume stays with its finalizer", async () => {
    const { volumeName } = (await world.boundClaim("data")).spec;
    const off = world.driver.faults.add({ operation: "deleteVolume", error: "busy" });
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => world.reasons(volumeName).includes("VolumeFailedDelete"));
    world.api.delete(resources.volumes, "", volumeName);
    await world.clock.advance(hour);
    expect(world.volume(volumeName).metadata.finalizers).toEqual([
      "external-provisioner.volume.kubernetes.io/finalizer",
    ]);
    off();
    await until(world, () => isGone(world, resources.volumes, volumeName));
    expect(world.driver.volumes()).toEqual([]);
  });

  it("cannot be attached, and leave nothing behind when the pod gives up", async () => {
    const { volumeName } = (await world.boundClaim("data")).spec;
    world.driver.faults.add({ operation: "publish", times: 1, error: "attacher is gone" });
    await expect(world.mount("data")).rejects.toThrow("attacher is gone");
    expect(world.driver.publications()).toEqual([]);
    await world.mount("data");
    expect(world.driver.publications()).toMatchObject([{ volumeName }]);
  });

  it("are slow to be attached, and the wait can be given up", async () => {
    await world.boundClaim("data");
    world.driver.faults.add({ operation: "publish", delayMs: hour });
    let isMounted = false;
    const mounting = world.mount("data").then(() => {
      isMounted = true;
    });
    await world.clock.advance(hour - 1);
    expect(isMounted).toBe(false);
    await world.clock.advance(1);
    await mounting;
  });

  it("have no room for security labels, which does not concern pods that write none", async () => {
    await world.boundClaim("data");
    world.driver.faults.add({ operation: "publish", relabelFails: true });
    await expect(world.mount("data")).rejects.toSatisfy(
      (error: Error) =>
        isDmError(error, "DM_CSI_RELABEL_FAILED") &&
        /^relabel failed .*: lsetxattr .*: no space left on device$/.test(error.message),
    );
    expect(world.driver.publications()).toEqual([]);
    await world.mount("data", { seLinuxType: "spc_t" });
  });

  it("wait for a fault to be cleared with all others", async () => {
    world.driver.faults.add({ operation: "createVolume", never: true });
    world.createClaim("data");
    await until(world, () => world.reasons("data").includes("Provisioning"));
    await world.clock.advance(hour);
    expect(world.claim("data").status.phase).toBe("Pending");
    world.driver.faults.clear();
    await until(world, () => world.claim("data").status.phase === "Bound");
  });
});
