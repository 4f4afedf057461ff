// Block devices, as loop devices with file systems on them: backed up, restored to another device that was full of something
// else, mounted, and equal in every file. A device that is too small or in use is refused before the first byte.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join, relative } from "node:path";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DirectoryEntry, uploadVolume } from "../src/index.ts";
import { restoreVolume } from "../src/node/restore-volume.ts";
import { openVolume } from "../src/node/volume-source.ts";
import { fileSystemTypes, LoopDevices, run, volumeBytes } from "./loop-devices.ts";
import { newRepository } from "./new-repository.ts";

const root = requirePeer("root");
const source = { host: "h", userName: "root", path: "/dev/volume" };

let loops: LoopDevices;
beforeEach(async () => {
  if (root.available) loops = await LoopDevices.create();
});
afterEach(async () => {
  if (root.available) await loops[Symbol.asyncDispose]();
});

async function fill(folder: string): Promise<void> {
  await mkdir(join(folder, "a/b/ü"), { recursive: true });
  await writeFile(join(folder, "small"), "hello");
  await writeFile(join(folder, "empty"), "");
  await writeFile(join(folder, "a/large.bin"), splitmix64(1, 9_000_000));
  await writeFile(join(folder, "a/b/ü/zeros"), new Uint8Array(3_000_000));
  await symlink("../small", join(folder, "a/link"));
  await utimes(join(folder, "small"), 1_600_000_000, 1_600_000_000.5);
  for (let index = 0; index < 200; index++)
    await writeFile(join(folder, `a/b/${index}`), splitmix64(index, index * 17));
}

/** Type, mode, size, time and bytes of everything in a folder, by path. */
async function listing(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode, mtimeMs, size, uid } = await lstat(path);
    const data = entry.isFile()
      ? createHash("sha256")
          .update(await readFile(path))
          .digest("hex")
      : entry.isSymbolicLink()
        ? await readlink(path)
        : "";
    const sizeText = entry.isDirectory() ? "" : size;
    found.set(relative(folder, path), `${mode} ${uid} ${sizeText} ${mtimeMs} ${data}`);
  }
  return found;
}

async function sha256Of(path: string, end: number): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { end: end - 1 })) hash.update(piece);
  return hash.digest("hex");
}

async function backUp(
  repository: Repository,
  device: string,
): Promise<{ entry: DirectoryEntry; readBytes: number }> {
  await using volume = await openVolume(device);
  const { openedAtNs, path: name } = volume;
  const uploaded = await uploadVolume(repository, volume, { source, name, openedAtNs });
  return { entry: uploaded.snapshot.rootEntry!, readBytes: uploaded.volume.readBytes };
}

describe.skipIf(!root.available)(root.title("block devices"), () => {
  it.each(fileSystemTypes())(
    "with %s on it, backed up, restored to another and mounted, has the same files",
    async (type) => {
      const { repository } = await newRepository();
      const sizeBytes = volumeBytes[type];
      const device = await loops.device(sizeBytes);
      loops.makeFileSystem(type, device);
      const mounted = loops.mount(device);
      await fill(mounted.path);
      const before = await listing(mounted.path);
      mounted.unmount();
      const { entry, readBytes } = await backUp(repository, device);
      expect(entry.name).toBe(device);
      expect(readBytes).toBe(sizeBytes);

      const target = await loops.device(sizeBytes + (1 << 20), 0xaa);
      const report = await restoreVolume(repository, entry, target);
      expect(report).toMatchObject({
        ok: true,
        isDevice: true,
        sizeBytes,
        verifiedBytes: sizeBytes,
      });
      const restored = loops.mount(target);
      expect(await listing(restored.path)).toEqual(before);
      restored.unmount();

      // One of the two will do: this takes time.
      if (type === "xfs") return;
      // The mount has written to it: a restore that goes on mends that, and leaves the rest as it is.
      const again = await restoreVolume(repository, entry, target, { resume: true });
      expect(again.writtenBytes).toBeLessThan(sizeBytes / 4);
      expect(await sha256Of(target, sizeBytes)).toBe(await sha256Of(device, sizeBytes));
    },
    60_000,
  );

  it("too small or in use are refused before the first byte", async () => {
    const { repository } = await newRepository();
    const device = await loops.device(4 << 20, 0x11);
    const { entry } = await backUp(repository, device);
    const small = await loops.device(3 << 20, 0xaa);
    const before = await sha256Of(small, 3 << 20);
    await expect(restoreVolume(repository, entry, small)).rejects.toMatchObject({
      code: "DM_VOLUME_TARGET_TOO_SMALL",
      message: `${small} has 3145728 bytes, the volume 4194304; 1048576 are missing`,
    });
    expect(await sha256Of(small, 3 << 20)).toBe(before);

    const busy = await loops.device(volumeBytes.ext4);
    loops.makeFileSystem("ext4", busy);
    loops.mount(busy);
    await expect(restoreVolume(repository, entry, busy)).rejects.toMatchObject({
      code: "DM_VOLUME_IN_USE",
    });
  });

  it("an image that its file system has no room for says so, and how much is missing", async () => {
    const { repository } = await newRepository();
    const device = await loops.device(80 << 20);
    run("dd", "if=/dev/urandom", `of=${device}`, "bs=1M", "count=80", "status=none");
    const { entry } = await backUp(repository, device);
    const full = await loops.device(volumeBytes.ext4);
    loops.makeFileSystem("ext4", full);
    const { path } = loops.mount(full);
    const target = join(path, "disk.img");
    await expect(restoreVolume(repository, entry, target)).rejects.toMatchObject({
      code: "DM_RESTORE_NO_SPACE",
      message: expect.stringMatching(/no space left on device: .* \(ext4 on .*\d+ are missing/),
    });
    expect((await readdir(path)).includes("disk.img")).toBe(false);
  });
});
