// A claim stays while a scheduled pod uses it, a volume while it is bound.
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, isGone, namespace, type StorageWorld, until } from "./storage-world.ts";

function createPod(world: StorageWorld, name: string, claimName: string, nodeName?: string): void {
  world.api.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      containers: [{ name: "c", image: "i" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName } }],
      ...(nodeName === undefined ? {} : { nodeName }),
    },
  });
}

describe("protection", () => {
  it("keeps a deleted claim, and its volume, until the last scheduled pod is gone", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const { volumeName } = (await world.boundClaim("data")).spec;
    createPod(world, "one", "data", "node");
    createPod(world, "two", "data", "node");
    world.api.delete(resources.claims, namespace, "data");
    world.api.delete("pods", namespace, "one", { gracePeriodSeconds: 0 });
    await world.clock.advance(60_000);
    expect(world.claim("data").metadata.finalizers).toContain("kubernetes.io/pvc-protection");
    expect(world.volume(volumeName).status.phase).toBe("Bound");
    world.api.delete("pods", namespace, "two", { gracePeriodSeconds: 0 });
    await until(world, () => isGone(world, resources.claims, "data"));
    await until(world, () => isGone(world, resources.volumes, volumeName));
  });

  it("does not wait for pods that no node has, nor for those of another namespace", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data");
    createPod(world, "unscheduled", "data");
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => isGone(world, resources.claims, "data"));
  });

  it("keeps a deleted volume until its claim is gone", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const { volumeName } = (await world.boundClaim("data")).spec;
    world.api.delete(resources.volumes, "", volumeName);
    await world.clock.advance(60_000);
    expect(world.volume(volumeName).metadata.deletionTimestamp).toBeDefined();
    expect(world.claim("data").status.phase).toBe("Bound");
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => isGone(world, resources.volumes, volumeName));
    expect(world.driver.volumes()).toEqual([]);
  });
});
