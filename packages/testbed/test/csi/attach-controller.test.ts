// VolumeAttachments follow pods, and a volume of a lost node is taken from it after the time that Kubernetes waits.
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, type StorageWorld, until } from "./storage-world.ts";

const minute = 60_000;

function createPod(world: StorageWorld, name: string, claimName: string, nodeName: string): void {
  world.api.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      nodeName,
      containers: [{ name: "c", image: "i" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName } }],
    },
  });
}

const deletePod = (world: StorageWorld, name: string): boolean =>
  world.api.delete("pods", namespace, name, { gracePeriodSeconds: 0 });

const attachments = (world: StorageWorld): string[] =>
  world.api.list(resources.attachments).map(({ spec }) => spec.nodeName);

async function createUsedVolume(world: StorageWorld): Promise<string> {
  for (const name of ["a", "b"])
    world.api.create("nodes", { apiVersion: "v1", kind: "Node", metadata: { name } });
  world.createStorageClass("standard");
  const { volumeName } = (await world.boundClaim("data")).spec;
  createPod(world, "one", "data", "a");
  await until(world, () => attachments(world).length === 1);
  await world.mount("data", { pod: "one", node: "a" });
  return volumeName;
}

describe("attachments", () => {
  it("say which node has a volume, from the first pod to the last unmount", async () => {
    await using world = await createWorld();
    const persistentVolumeName = await createUsedVolume(world);
    expect(world.api.list(resources.attachments)).toMatchObject([
      {
        metadata: { name: expect.stringMatching(/^csi-[0-9a-f]{64}$/) },
        spec: { attacher: "csi.testbed.dm", nodeName: "a", source: { persistentVolumeName } },
        status: { attached: true },
      },
    ]);
    expect(world.reasons("one")).toContain("SuccessfulAttachVolume");
    deletePod(world, "one");
    await world.clock.advance(minute);
    expect(attachments(world)).toEqual(["a"]);
    await world.unmount("data", { pod: "one", node: "a" });
    await until(world, () => attachments(world).length === 0);
  });

  it("end when the pod has ended and its volume is unmounted", async () => {
    await using world = await createWorld();
    await createUsedVolume(world);
    world.api.modify(
      "pods",
      namespace,
      "one",
      (pod) => {
        pod.status = { phase: "Succeeded" };
      },
      { subresource: "status" },
    );
    await world.unmount("data", { pod: "one", node: "a" });
    await until(world, () => attachments(world).length === 0);
  });

  it("wait for a claim that is bound after its pod was scheduled", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    world.createClaim("data", { storageClassName: "late" });
    createPod(world, "one", "data", "a");
    await world.clock.advance(minute);
    expect(attachments(world)).toEqual([]);
    world.createStorageClass("late");
    await until(world, () => attachments(world).length === 1);
  });
});

describe("an attachment that fails", () => {
  it("says why, keeps the volume from the pod, and is made when it can be", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const { volumeName } = (await world.boundClaim("data")).spec;
    const off = world.driver.faults.add({ operation: "attach", of: "app/data", error: "no path" });
    createPod(world, "one", "data", "a");
    await until(world, () => world.reasons("one").includes("FailedAttachVolume"));
    expect(world.messages("one")).toContain(
      `AttachVolume.Attach failed for volume "${volumeName}" : rpc error: code = Internal desc = no path`,
    );
    expect(world.api.list(resources.attachments)).toMatchObject([
      { status: { attached: false, attachError: { message: expect.stringContaining("no path") } } },
    ]);
    await expect(world.mount("data", { pod: "one", node: "a" })).rejects.toThrow("is not attached");
    off();
    await until(world, () => world.reasons("one").includes("SuccessfulAttachVolume"));
    expect(world.api.list(resources.attachments)).toMatchObject([{ status: { attached: true } }]);
    await world.mount("data", { pod: "one", node: "a" });
  });

  it("does not come to a second node, until the first gives the volume back", async () => {
    await using world = await createWorld();
    await createUsedVolume(world);
    createPod(world, "two", "data", "b");
    await until(world, () => world.reasons("two").includes("FailedAttachVolume"));
    expect(world.messages("two").join()).toContain("Multi-Attach error for volume");
    expect(attachments(world)).toEqual(["a"]);
    deletePod(world, "one");
    await world.unmount("data", { pod: "one", node: "a" });
    await until(world, () => attachments(world).join() === "b");
  });
});

describe("a volume whose node does not answer", () => {
  it("is taken after six minutes, and not before", async () => {
    await using world = await createWorld();
    await createUsedVolume(world);
    deletePod(world, "one");
    createPod(world, "two", "data", "b");
    await world.clock.advance(5 * minute);
    await expect(world.mount("data", { pod: "two", node: "b" })).rejects.toThrow(
      "Multi-Attach error",
    );
    await world.clock.advance(minute);
    await until(world, () => !attachments(world).includes("a"));
    await world.mount("data", { pod: "two", node: "b" });
  });

  it.each(["is deleted", "is declared out of service"])(
    "is taken at once when the node %s",
    async (what) => {
      await using world = await createWorld();
      await createUsedVolume(world);
      deletePod(world, "one");
      await world.clock.advance(1000);
      expect(attachments(world)).toEqual(["a"]);
      const now = world.clock.nowNs();
      if (what === "is deleted") world.api.delete("nodes", "", "a");
      else
        world.api.modify("nodes", "", "a", (node) => {
          node.spec = {
            taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }],
          };
        });
      await until(world, () => attachments(world).length === 0);
      expect(world.clock.nowNs() - now).toBeLessThan(60_000_000_000n);
      expect(world.driver.publications()).toEqual([]);
    },
  );
});
