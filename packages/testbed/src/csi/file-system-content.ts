/**
 * A volume with a file system of its own in an image file, mounted through a loop device. Needs root.
 * Proof: test/csi/image-volume.root.test.ts.
 * @module
 */
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { StorageError } from "@dm/core";
import { command } from "./command.ts";
import { copyImage, createImage, growImage, imageOf } from "./image-file.ts";
import { detachLoopDevice, isMounted, loopDevicesOf, unmountAll } from "./loop-device.ts";
import type { VolumeContent } from "./volume-content.ts";

const facts = {
  ext4: {
    leastBytes: 8 << 20,
    // No blocks set aside for root: the size is what pods get.
    mkfs: ["mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard"],
    mountOptions: "loop",
  },
  xfs: {
    leastBytes: 300 << 20,
    mkfs: ["mkfs.xfs", "-q", "-K"],
    // Volume and copy have the same file system id.
    mountOptions: "loop,nouuid",
  },
} as const;

export function fileSystemContent(type: "ext4" | "xfs"): VolumeContent {
  const { leastBytes, mkfs, mountOptions } = facts[type];
  const mountOf = (folder: string): string => join(folder, "mount");

  return {
    leastBytes,
    description:
      `an ${type} file system in an image file, mounted through a loop device: a snapshot is a copy of the image at one ` +
      "point in time (the file system is frozen meanwhile); its size is a limit",
    async create(folder, sizeBytes) {
      await createImage(folder, sizeBytes);
      const [program, ...args] = mkfs;
      await command(program, ...args, imageOf(folder));
    },
    copy: copyImage,
    async expand(folder, sizeBytes) {
      await growImage(folder, sizeBytes);
      // ext4 grows while mounted only for a process that may pass resource limits, which root in a container may not.
      if (type === "ext4" || !(await isMounted(mountOf(folder)))) return false;
      for (const device of await loopDevicesOf(imageOf(folder)))
        await command("losetup", "-c", device);
      await command("xfs_growfs", mountOf(folder));
      return true;
    },
    async stage(folder) {
      const mount = mountOf(folder);
      if (await isMounted(mount)) return mount;
      await mkdir(mount, { recursive: true });
      if (type === "ext4") await growExt4(imageOf(folder));
      await command("mount", "-t", type, "-o", mountOptions, imageOf(folder), mount);
      if (type === "xfs") await command("xfs_growfs", mount);
      return mount;
    },
    async unstage(folder) {
      const mount = mountOf(folder);
      // Left frozen by a process that was killed while it copied, it would keep its device for ever. Else it is refused.
      if (await isMounted(mount)) await command("fsfreeze", "--unfreeze", mount).catch(() => {});
      if (!(await unmountAll(mount))) return false;
      // A mount frees its device; one whose process was killed in between has none.
      for (const device of await loopDevicesOf(imageOf(folder))) await detachLoopDevice(device);
      await rmdir(mount).catch(() => {});
      return true;
    },
    async quiesce(folder) {
      const mount = mountOf(folder);
      if (!(await isMounted(mount))) return async () => {};
      await command("fsfreeze", "--freeze", mount);
      return async () => {
        await command("fsfreeze", "--unfreeze", mount);
      };
    },
  };
}

/** After a copy into a larger volume, or an expansion. Does nothing when the file system fills its image. */
async function growExt4(image: string): Promise<void> {
  await command("e2fsck", "-f", "-p", image).catch((error: unknown) => {
    // 1: repaired, as after a copy of a mounted file system.
    if (!(error instanceof StorageError && error.details["exitCode"] === 1)) throw error;
  });
  await command("resize2fs", image);
}
