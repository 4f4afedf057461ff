/**
 * A block volume: a sparse image file; as root its pods get a loop device over it.
 * Proof: test/csi/volume-content.test.ts, test/csi/image-volume.root.test.ts.
 * @module
 */
import { open } from "node:fs/promises";
import { command } from "./command.ts";
import { copyImage, createImage, growImage, imageOf } from "./image-file.ts";
import { attachLoopDevice, detachLoopDevice, isDeviceOpen, loopDevicesOf } from "./loop-device.ts";
import type { ContentOptions, VolumeContent } from "./volume-content.ts";

export function rawContent({ canMount }: ContentOptions): VolumeContent {
  const devicesOf = async (folder: string): Promise<string[]> =>
    canMount ? await loopDevicesOf(imageOf(folder)) : [];
  return {
    leastBytes: 512,
    description:
      `a sparse image file, ${canMount ? "seen by pods as a loop device" : "which pods open themselves (loop devices need root)"}: ` +
      "a snapshot is a copy made while the processes of the pods that use it are stopped and their writes flushed; " +
      `${canMount ? "its size is a limit" : "its size is not a limit"}`,
    create: createImage,
    copy: copyImage,
    async expand(folder, sizeBytes) {
      await growImage(folder, sizeBytes);
      for (const device of await devicesOf(folder)) await command("losetup", "-c", device);
      return true;
    },
    async stage(folder) {
      if (!canMount) return imageOf(folder);
      const [device] = await devicesOf(folder);
      return device ?? (await attachLoopDevice(imageOf(folder)));
    },
    async unstage(folder) {
      const devices = await devicesOf(folder);
      for (const device of devices) if (await isDeviceOpen(device)) return false;
      for (const device of devices) await detachLoopDevice(device);
      return true;
    },
    async quiesce(folder) {
      // The device has pages of its own above those of the file.
      for (const path of [...(await devicesOf(folder)), imageOf(folder)]) {
        const file = await open(path, "r+");
        await file.sync().finally(() => file.close());
      }
      return async () => {};
    },
  };
}
