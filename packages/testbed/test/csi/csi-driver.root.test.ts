// The driver as root: loop devices and mounts are there while pods need them, and none is left, not even by a killed process.
import { spawnSync } from "node:child_process";
import { mkdtemp, open, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDmError } from "@dm/core";
import { requirePeer } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  attachLoopDevice,
  detachLoopDevice,
  loopDevicesUnder,
  mountsUnder,
} from "../../src/csi/loop-device.ts";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, type StorageWorld, until } from "./storage-world.ts";

const root = requirePeer("root");
const fstype = "csi.storage.k8s.io/fstype";

/** Not named `dm-`: drivers of other tests, too, look through such folders for what killed processes left. */
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "csi-driver-"));
});
afterEach(async () => {
  expect(await leftovers()).toEqual([]);
  await rm(directory, { recursive: true });
});

async function leftovers(): Promise<string[]> {
  const devices = await loopDevicesUnder(directory);
  return [...devices.map(({ device }) => device), ...(await mountsUnder(directory))];
}

/** A process of its own has all volumes of the folder mounted, and is killed. Answers with what it printed. */
function killDriver(folder: string, ...args: readonly string[]): string {
  const child = new URL("killed-driver-child.ts", import.meta.url).pathname;
  const { stdout, signal } = spawnSync(
    process.execPath,
    ["--conditions", "@dm/source", child, folder, ...args],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  expect(signal).toBe("SIGKILL");
  return stdout.trim();
}

async function createRootWorld(): Promise<StorageWorld> {
  const world = await createWorld({ directory, canMount: true });
  world.createStorageClass("standard", { allowVolumeExpansion: true });
  world.createStorageClass("ext4", {
    parameters: { [fstype]: "ext4" },
    allowVolumeExpansion: true,
  });
  world.createStorageClass("xfs", { parameters: { [fstype]: "xfs" } });
  return world;
}

describe.skipIf(!root.available || process.platform !== "linux")(
  root.title("the driver as root"),
  () => {
    it("mounts a file system once for all pods of a node, and takes it away with the last", async () => {
      await using world = await createRootWorld();
      const claim = await world.boundClaim("data", { storageClassName: "ext4" });
      expect(claim.status.capacity.storage).toBe("8Mi");
      expect(world.volume(claim.spec.volumeName).spec.csi.fsType).toBe("ext4");
      const path = await world.mount("data", { pod: "one" });
      expect(await world.mount("data", { pod: "two" })).toBe(path);
      expect(await leftovers()).toHaveLength(2);
      await world.unmount("data", { pod: "one" });
      await writeFile(join(path, "file"), "text");
      await world.unmount("data", { pod: "two" });
      expect(await leftovers()).toEqual([]);
    });

    it("gives readers a mount that cannot be written to", async () => {
      await using world = await createRootWorld();
      await world.boundClaim("data");
      await writeFile(join(await world.mount("data"), "file"), "text");
      const reader = await world.mount("data", { pod: "reader", readOnly: true });
      expect(await readFile(join(reader, "file"), "utf8")).toBe("text");
      await expect(writeFile(join(reader, "file"), "changed")).rejects.toThrow("EROFS");
      await world.unmount("data", { pod: "reader", readOnly: true });
      await expect(readFile(join(reader, "file"))).rejects.toThrow("ENOENT");
      await world.mount("data", { pod: "reader", readOnly: true });
    });

    it("restores a volume snapshot of a block device, and counts no device more than pods need", async () => {
      await using world = await createRootWorld();
      await world.boundClaim("data", { volumeMode: "Block" });
      const device = await world.mount("data");
      const file = await open(device, "r+");
      await file.write("bytes", 4096);
      await file.close();
      await world.readySnapshot("cut", "data");
      const dataSource = {
        apiGroup: "snapshot.storage.k8s.io",
        kind: "VolumeSnapshot",
        name: "cut",
      };
      await world.boundClaim("restored", { volumeMode: "Block", dataSource });
      const restored = await world.mount("restored");
      expect(await leftovers()).toEqual([device, restored].sort());
      expect((await readFile(restored)).toString("latin1", 4096, 4101)).toBe("bytes");
      await world.unmount("data");
      await world.unmount("restored");
      expect(await leftovers()).toEqual([]);
      for (const name of ["data", "restored"]) world.api.delete(resources.claims, namespace, name);
      await until(world, () => world.driver.volumes().length === 0);
    });

    it("grows an ext4 volume at the next mount, and says so until then", async () => {
      await using world = await createRootWorld();
      await world.boundClaim("data", { storageClassName: "ext4" });
      await world.mount("data");
      world.api.modify(resources.claims, namespace, "data", (claim) => {
        claim.spec.resources.requests.storage = "64Mi";
      });
      const pending = (): boolean =>
        world.claim("data").status.conditions?.[0]?.type === "FileSystemResizePending";
      await until(world, pending);
      expect(world.claim("data").status.capacity.storage).toBe("8Mi");
      await world.unmount("data");
      const path = await world.mount("data");
      await until(world, () => world.claim("data").status.capacity.storage === "64Mi");
      expect(world.claim("data").status.conditions).toBeUndefined();
      const { blocks, bsize } = await statfs(path);
      expect(blocks * bsize).toBeGreaterThan(40 << 20);
    });

    it("takes away what a killed process left, except what is in use", async () => {
      {
        await using world = await createRootWorld();
        await world.boundClaim("files", { storageClassName: "ext4" });
        await world.boundClaim("block", { volumeMode: "Block" });
      }
      const keeper = Number(killDriver(directory, "keep"));
      try {
        expect((await leftovers()).length).toBe(3);
        await using world = await createRootWorld();
        expect(world.driver.publications()).toMatchObject([{ volumeName: "files" }]);
        expect(await leftovers()).toHaveLength(2);
      } finally {
        process.kill(keeper, "SIGKILL");
      }
      await expect
        .poll(async () => {
          await using _world = await createRootWorld();
          return leftovers();
        })
        .toEqual([]);
    });

    it("takes away what a killed process left in a temporary folder that nobody opens again", async () => {
      const folder = await mkdtemp(join(tmpdir(), "dm-cluster-"));
      const volumes = join(folder, "volumes");
      {
        await using world = await createWorld({ directory: volumes, canMount: true });
        world.createStorageClass("standard");
        await world.boundClaim("block", { volumeMode: "Block" });
      }
      expect(killDriver(volumes)).toMatch(/^\/dev\/loop\d+$/);
      // Any driver of a living process does it, also one of another test.
      await using _world = await createRootWorld();
      await expect.poll(() => loopDevicesUnder(folder)).toEqual([]);
      await rm(folder, { recursive: true });
    });

    it("leaves alone what living processes have, and what is nobody's", async () => {
      const folder = await mkdtemp(join(tmpdir(), "dm-cluster-"));
      const image = join(folder, "image");
      await writeFile(image, new Uint8Array(4096));
      const foreign = await attachLoopDevice(image);
      try {
        const other = join(folder, "volumes");
        await using world = await createWorld({ directory: other, canMount: true });
        world.createStorageClass("standard");
        await world.boundClaim("block", { volumeMode: "Block" });
        await world.mount("block");
        const before = await loopDevicesUnder(folder);
        expect(before).toHaveLength(2);
        await (await createRootWorld())[Symbol.asyncDispose]();
        expect(await loopDevicesUnder(folder)).toEqual(before);
      } finally {
        await detachLoopDevice(foreign);
        await rm(folder, { recursive: true });
      }
    });

    it("has no room for labels on an XFS volume that is full, but on ext4", async () => {
      await using world = await createRootWorld();
      for (const name of ["xfs", "ext4"]) {
        await world.boundClaim(name, { storageClassName: name });
        const path = join(await world.mount(name), "file");
        // Ends when there is no space left.
        spawnSync("dd", [
          "if=/dev/zero",
          `of=${path}`,
          "bs=4k",
          "oflag=append",
          "conv=notrunc,fsync",
        ]);
        await world.readySnapshot(name, name);
        await world.boundClaim(`restored-${name}`, {
          storageClassName: name,
          resources: { requests: { storage: "300Mi" } },
          dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name },
        });
      }
      await expect(world.mount("restored-xfs")).rejects.toSatisfy((error) =>
        isDmError(error, "DM_CSI_RELABEL_FAILED"),
      );
      await world.mount("restored-xfs", { seLinuxType: "spc_t", readOnly: true });
      await world.mount("restored-ext4");
    });
  },
);
