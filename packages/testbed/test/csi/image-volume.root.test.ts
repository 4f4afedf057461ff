// Volumes with file systems of their own and block devices, as root: what a copy holds, what is full, what grows, what is left.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { command } from "../../src/csi/command.ts";
import { isMounted, loopDevicesUnder, mountsUnder } from "../../src/csi/loop-device.ts";
import { createContents } from "../../src/csi/volume-content.ts";
import { VolumeStore } from "../../src/csi/volume-store.ts";

const root = requirePeer("root");
const isLinux = process.platform === "linux";
const contents = createContents({ canMount: true });
const kinds = (["ext4", "xfs"] as const).filter((kind) => {
  const isThere = ["/usr/sbin", "/sbin", "/usr/bin"].some((path) =>
    existsSync(`${path}/mkfs.${kind}`),
  );
  if (!isThere) process.stderr.write(`SKIPPED: mkfs.${kind} is not on this machine\n`);
  return isThere;
});

/** Far more than what file systems keep for themselves (the log of an XFS of 300 MiB takes 64). */
const growthBytes = 256 << 20;

let folder: string;
let store: VolumeStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-image-"));
  store = await VolumeStore.open(folder, contents);
});
afterEach(async () => {
  for (const { handle } of store.volumes()) await store.unstage(handle);
  expect(await loopDevicesUnder(folder)).toEqual([]);
  expect(await mountsUnder(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

const create = (name: string, kind: "ext4" | "xfs" | "raw", sizeBytes: number, source?: string) =>
  store.createVolume({ name, kind, sizeBytes, createdAtMs: 0, ...(source ? { source } : {}) });
const cut = (volumeHandle: string) =>
  store.createSnapshot({ name: `of ${volumeHandle}`, volumeHandle, createdAtMs: 0 });

describe.skipIf(!root.available || !isLinux)(root.title("image volumes"), () => {
  describe.each(kinds)("with %s", (kind) => {
    const leastBytes = contents[kind].leastBytes;

    it("hold what was written before the cut, also what is not yet on disk, beside the original", async () => {
      const volume = await create("a", kind, leastBytes);
      const path = await store.stage(volume.handle);
      expect(await store.stage(volume.handle)).toBe(path);
      await writeFile(join(path, "file"), "before");
      const snapshot = await cut(volume.handle);
      await writeFile(join(path, "file"), "after");
      const copy = await create("b", kind, leastBytes, snapshot.handle);
      const copied = await store.stage(copy.handle);
      expect(await readFile(join(copied, "file"), "utf8")).toBe("before");
      expect(await readFile(join(path, "file"), "utf8")).toBe("after");
    });

    it("are as small as their size says", async () => {
      const volume = await create("a", kind, leastBytes);
      const path = await store.stage(volume.handle);
      const chunk = Buffer.alloc(1 << 20, 1);
      const file = await open(join(path, "file"), "w");
      const fill = async (): Promise<void> => {
        for (let count = 0; count < 400; count++) await file.write(chunk);
      };
      await expect(fill()).rejects.toThrow("ENOSPC");
      await file.close();
    });

    it("fill a larger volume that is made from them", async () => {
      const snapshot = await cut((await create("a", kind, leastBytes)).handle);
      const larger = await create("b", kind, leastBytes + growthBytes, snapshot.handle);
      expect(larger.growsWhenStaged).toBe(true);
      const path = await store.stage(larger.handle);
      expect(store.volume(larger.handle).growsWhenStaged).toBe(false);
      expect(sizeOf(path)).toBeGreaterThan(leastBytes + growthBytes / 2);
    });

    it("grow, at once or when they are staged next", async () => {
      const volume = await create("a", kind, leastBytes);
      const path = await store.stage(volume.handle);
      await writeFile(join(path, "file"), "text");
      const grown = await store.expandVolume(volume.handle, leastBytes + growthBytes);
      expect(grown.growsWhenStaged).toBe(kind === "ext4");
      if (grown.growsWhenStaged) {
        await store.unstage(volume.handle);
        await store.stage(volume.handle);
      }
      expect(sizeOf(path)).toBeGreaterThan(leastBytes + growthBytes / 2);
      expect(await readFile(join(path, "file"), "utf8")).toBe("text");
    });

    it("are taken away although a process was killed while they were frozen", async () => {
      const volume = await create("a", kind, leastBytes);
      const path = await store.stage(volume.handle);
      await command("fsfreeze", "--freeze", path);
      expect(await store.unstage(volume.handle)).toBe(true);
      expect(await loopDevicesUnder(folder)).toEqual([]);
      await writeFile(join(await store.stage(volume.handle), "file"), "text");
    });

    it("stay staged while a file in them is open", async () => {
      const volume = await create("a", kind, leastBytes);
      const path = await store.stage(volume.handle);
      const file = await open(join(path, "file"), "w");
      expect(await store.unstage(volume.handle)).toBe(false);
      expect(await isMounted(path)).toBe(true);
      await file.close();
      expect(await store.unstage(volume.handle)).toBe(true);
      expect(await loopDevicesUnder(folder)).toEqual([]);
    });
  });

  describe("that are block devices", () => {
    it("are loop devices, one for each volume, and copied with what was written to the device", async () => {
      const volume = await create("a", "raw", 4 << 20);
      const device = await store.stage(volume.handle);
      expect(device).toMatch(/^\/dev\/loop\d+$/);
      expect((await stat(device)).isBlockDevice()).toBe(true);
      expect(await store.stage(volume.handle)).toBe(device);
      // Closing a device writes its pages; here they are only in memory.
      const file = await open(device, "r+");
      await file.write("before", 1 << 20);
      const snapshot = await cut(volume.handle);
      await file.close();
      await writeAt(device, 1 << 20, "after!");
      const copy = await create("b", "raw", 4 << 20, snapshot.handle);
      expect(await readAt(await store.stage(copy.handle), 1 << 20, 6)).toBe("before");
      expect(await readAt(device, 1 << 20, 6)).toBe("after!");
    });

    it("grow while they are open", async () => {
      const volume = await create("a", "raw", 4 << 20);
      const device = await store.stage(volume.handle);
      expect((await store.expandVolume(volume.handle, 8 << 20)).growsWhenStaged).toBe(false);
      await writeAt(device, 7 << 20, "new");
      expect(await readAt(device, 7 << 20, 3)).toBe("new");
    });

    it("stay attached while somebody has them open", async () => {
      const volume = await create("a", "raw", 4 << 20);
      const file = await open(await store.stage(volume.handle), "r+");
      expect(await store.unstage(volume.handle)).toBe(false);
      await file.close();
      expect(await store.unstage(volume.handle)).toBe(true);
      expect(await loopDevicesUnder(folder)).toEqual([]);
    });
  });
});

function sizeOf(mount: string): number {
  const text = execFileSync("df", ["--output=size", "-B1", mount], { encoding: "utf8" });
  return Number(text.split("\n")[1]);
}

async function writeAt(path: string, position: number, text: string): Promise<void> {
  const file = await open(path, "r+");
  await file.write(text, position);
  await file.close();
}

async function readAt(path: string, position: number, length: number): Promise<string> {
  const file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  await file.close();
  return buffer.toString();
}
