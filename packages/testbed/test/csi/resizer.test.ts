// Claims that ask for more get it, if their class lets them.
import { stat } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, type StorageWorld, until } from "./storage-world.ts";

function enlarge(world: StorageWorld, claim: string, storage: string): void {
  world.api.modify(resources.claims, namespace, claim, (stored) => {
    stored.spec.resources.requests.storage = storage;
  });
}

describe("expansion", () => {
  it.each(["Filesystem", "Block"])("of a %s claim", async (volumeMode) => {
    await using world = await createWorld();
    world.createStorageClass("standard", { allowVolumeExpansion: true });
    const { volumeName } = (await world.boundClaim("data", { volumeMode })).spec;
    enlarge(world, "data", "3Mi");
    await until(world, () => world.claim("data").status.capacity.storage === "3Mi");
    expect(world.claim("data").status.conditions).toBeUndefined();
    expect(world.volume(volumeName).spec.capacity).toEqual({ storage: "3Mi" });
    expect(world.reasons("data").slice(-2)).toEqual(["Resizing", "VolumeResizeSuccessful"]);
    expect(world.driver.volumes()).toMatchObject([{ sizeBytes: 3 << 20 }]);
    if (volumeMode === "Block") expect((await stat(await world.mount("data"))).size).toBe(3 << 20);
  });

  it("is not for classes that do not allow it", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data");
    enlarge(world, "data", "3Mi");
    await world.clock.advance(60_000);
    expect(world.claim("data").status.capacity).toEqual({ storage: "1Mi" });
  });

  it("fails with an event, and goes on", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard", { allowVolumeExpansion: true });
    await world.boundClaim("data");
    const off = world.driver.faults.add({ operation: "expandVolume", error: "no space" });
    enlarge(world, "data", "3Mi");
    await until(world, () => world.reasons("data").includes("VolumeResizeFailed"));
    expect(world.claim("data").status.conditions).toMatchObject([
      { type: "Resizing", status: "True" },
    ]);
    off();
    await until(world, () => world.claim("data").status.capacity.storage === "3Mi");
  });

  it("makes room for a restore from a volume snapshot of the smaller volume", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data", { volumeMode: "Block" });
    await world.readySnapshot("cut", "data");
    await world.boundClaim("restored", {
      volumeMode: "Block",
      dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "cut" },
      resources: { requests: { storage: "5Mi" } },
    });
    expect((await stat(await world.mount("restored"))).size).toBe(5 << 20);
  });
});
