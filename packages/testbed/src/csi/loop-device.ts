/**
 * Loop devices and mounts, told from what the kernel says and not from memory: that is what a process that was killed leaves.
 * Every call names its own device; none touches those of others.
 * Proof: test/csi/image-volume.root.test.ts.
 * @module
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { StorageError } from "@dm/core";
import { command } from "./command.ts";

/** The devices whose image is this file, lowest first. */
export async function loopDevicesOf(image: string): Promise<string[]> {
  return (await loopDevices()).filter((each) => each.image === image).map((each) => each.device);
}

/** Every loop device with an image under this folder. */
export async function loopDevicesUnder(
  folder: string,
): Promise<{ readonly device: string; readonly image: string }[]> {
  return (await loopDevices()).filter((each) => each.image.startsWith(`${folder}/`));
}

async function loopDevices(): Promise<{ device: string; image: string }[]> {
  const names = await readdir("/sys/block").catch(() => []);
  const found: { device: string; image: string }[] = [];
  for (const name of names.filter((each) => /^loop\d+$/.test(each)).sort()) {
    // No such file: the device is free.
    const text = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "");
    const image = text.replace(/\n$/, "").replace(/ \(deleted\)$/, "");
    if (image !== "") found.push({ device: `/dev/${name}`, image });
  }
  return found;
}

/** Attaches an image, and returns the device. */
export function attachLoopDevice(image: string): Promise<string> {
  return command("losetup", "--find", "--show", image);
}

export async function detachLoopDevice(device: string): Promise<void> {
  await command("losetup", "--detach", device);
}

/** Mount points at or under a path, innermost first. */
export async function mountsUnder(path: string): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  const found: string[] = [];
  for (const line of table.split("\n")) {
    const point = line
      .split(" ")[4]
      ?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    if (point !== undefined && (point === path || point.startsWith(`${path}/`))) found.push(point);
  }
  return found.reverse();
}

export async function isMounted(path: string): Promise<boolean> {
  return (await mountsUnder(path)).includes(path);
}

/** Others look at new devices and mounts for a moment, udev above all: in use is what stays so for a fifth of a second. */
const glanceMs = 50;
const glances = 4;

/**
 * Takes a mount away, also one over another.
 * @returns false when somebody has something in it open
 */
export async function unmountAll(path: string): Promise<boolean> {
  for (let tries = 0; await isMounted(path); ) {
    try {
      await command("umount", path);
    } catch (error) {
      if (!(error instanceof StorageError && /busy/.test(error.message))) throw error;
      if (++tries > glances) return false;
      await setTimeout(glanceMs);
    }
  }
  return true;
}

/** True when a process keeps the device open. Only processes that this one may look into count. */
export async function isDeviceOpen(device: string): Promise<boolean> {
  for (let tries = 0; tries <= glances; tries++) {
    if (!(await isOpenNow(device))) return false;
    await setTimeout(glanceMs);
  }
  return true;
}

async function isOpenNow(device: string): Promise<boolean> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")) === device) return true;
  }
  return false;
}
