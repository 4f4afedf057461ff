// Image files of this machine as volumes: holes are not read, what is restored is sparse again, and an image gets its name only
// when it is whole.
import {
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256Hex, splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DirectoryEntry, listSnapshots, uploadVolume, volumeFile } from "../src/index.ts";
import { describePosix } from "../src/node/posix/load-posix.ts";
import { restoreVolume } from "../src/node/restore-volume.ts";
import { openVolume } from "../src/node/volume-source.ts";
import { newRepository } from "./new-repository.ts";
import { openGolden } from "./open-golden.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-volume-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const source = { host: "h", userName: "u", path: "/disk.img" };

/** An image of 64 MiB with a few data ranges. */
async function sparseImage(path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(64 << 20);
  const file = await open(path, "w");
  await file.truncate(bytes.length);
  for (const [start, length] of [
    [0, 65_536],
    [20 << 20, 3 << 20],
    [(50 << 20) + 4096, 8192],
  ] as const) {
    const data = splitmix64(start, length);
    bytes.set(data, start);
    await file.write(data, 0, length, start);
  }
  await file.sync();
  await file.close();
  return bytes;
}

async function backUp(
  repository: Repository,
  path: string,
): Promise<{ root: DirectoryEntry; readBytes: number }> {
  await using volume = await openVolume(path);
  const { path: name, openedAtNs } = volume;
  const uploaded = await uploadVolume(repository, volume, { source, name, openedAtNs });
  return { root: uploaded.snapshot.rootEntry!, readBytes: uploaded.volume.readBytes };
}

const allocatedBytes = async (path: string): Promise<number> => (await stat(path)).blocks * 512;

describe("an image file", () => {
  it("is read where it has data, and restored with its holes", async () => {
    const { repository } = await newRepository();
    const image = join(folder, "disk.img");
    const bytes = await sparseImage(image);
    const { readBytes, root } = await backUp(repository, image);
    const allocated = await allocatedBytes(image);
    expect(root.name).toBe(image);
    expect(allocated).toBeLessThan(5 << 20);
    // Without a back-end nothing is known of holes.
    const { backend } = await describePosix();
    expect(readBytes).toBeLessThanOrEqual(backend === "none" ? bytes.length : allocated + 65_536);
    const restored = join(folder, "restored.img");
    const report = await restoreVolume(repository, root, restored);
    expect(report).toMatchObject({ ok: true, isDevice: false, path: restored });
    expect(report.verifiedBytes).toBe(bytes.length);
    expect(Buffer.compare(await readFile(restored), bytes)).toBe(0);
    expect(await allocatedBytes(restored)).toBeLessThan(8 << 20);
    expect((await readdir(folder)).sort()).toEqual(["disk.img", "restored.img"]);
  });

  it("is followed through a link and named by where it lies", async () => {
    const image = join(folder, "disk.img");
    await writeFile(image, splitmix64(1, 1000));
    await symlink(image, join(folder, "link"));
    await using volume = await openVolume(join(folder, "link"));
    expect(volume).toMatchObject({ path: image, sizeBytes: 1000, isDevice: false });
  });

  it("of no bytes comes back", async () => {
    const { repository } = await newRepository();
    const image = join(folder, "empty.img");
    await writeFile(image, "");
    const { root } = await backUp(repository, image);
    await restoreVolume(repository, root, join(folder, "restored.img"));
    expect((await stat(join(folder, "restored.img"))).size).toBe(0);
  });

  it("that has become shorter fails the backup", async () => {
    const { repository } = await newRepository();
    const image = join(folder, "disk.img");
    await writeFile(image, splitmix64(1, 9 << 20));
    await using volume = await openVolume(image);
    await truncate(image, 5 << 20);
    const { openedAtNs, path: name } = volume;
    await expect(
      uploadVolume(repository, volume, { source, name, openedAtNs }),
    ).rejects.toMatchObject({ code: "DM_VOLUME_TRUNCATED" });
  });

  it("is the only file that is taken: no directory, no pipe", async () => {
    await expect(openVolume(folder)).rejects.toMatchObject({ code: "DM_VOLUME_UNSUPPORTED" });
    await expect(openVolume("/dev/null")).rejects.toMatchObject({ code: "DM_VOLUME_UNSUPPORTED" });
    const { repository } = await newRepository();
    await writeFile(join(folder, "a"), "a");
    const { root } = await backUp(repository, join(folder, "a"));
    for (const target of [folder, "/dev/null"])
      await expect(restoreVolume(repository, root, target)).rejects.toMatchObject({
        code: "DM_VOLUME_UNSUPPORTED",
      });
  });
});

describe("a restore to an image", () => {
  it("replaces an image that is there once it is whole, and not before", async () => {
    const { repository, store } = await newRepository();
    const image = join(folder, "disk.img");
    await writeFile(image, splitmix64(1, 9 << 20));
    const { root } = await backUp(repository, image);
    const target = join(folder, "target.img");
    await writeFile(target, "what was there");
    for await (const { id } of store.list("p")) {
      const pack = await store.get(id);
      await store.delete(id);
      const broken = await restoreVolume(repository, root, target);
      expect(broken).toMatchObject({ ok: false, path: `${target}.partial` });
      expect(broken.losses.length).toBeGreaterThan(0);
      expect(await readFile(target, "utf8")).toBe("what was there");
      await store.put(id, pack);
    }
    const report = await restoreVolume(repository, root, target, { resume: true });
    expect(report.ok).toBe(true);
    expect(Buffer.compare(await readFile(target), await readFile(image))).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(["disk.img", "target.img"]);
  });

  it("goes on where one was cut off", async () => {
    const { repository } = await newRepository();
    const image = join(folder, "disk.img");
    await writeFile(image, splitmix64(1, 30 << 20));
    const { root } = await backUp(repository, image);
    const target = join(folder, "target.img");
    const controller = new AbortController();
    const cutOff = restoreVolume(repository, root, target, {
      signal: controller.signal,
      parallelParts: 1,
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 10 << 20) controller.abort(new Error("killed"));
      },
    });
    await expect(cutOff).rejects.toThrow("killed");
    expect((await readdir(folder)).sort()).toEqual(["disk.img", "target.img.partial"]);
    const report = await restoreVolume(repository, root, target, { resume: true });
    expect(report.keptBytes).toBeGreaterThan(10 << 20);
    expect(Buffer.compare(await readFile(target), await readFile(image))).toBe(0);
  });

  it("takes no byte of an older attempt on trust, zeros included", async () => {
    const { repository } = await newRepository();
    const image = join(folder, "disk.img");
    const bytes = new Uint8Array(30 << 20);
    bytes.set(splitmix64(1, 5 << 20), 10 << 20);
    await writeFile(image, bytes);
    const { root } = await backUp(repository, image);
    const target = join(folder, "target.img");
    await writeFile(`${target}.partial`, new Uint8Array(31 << 20).fill(0xee));
    const report = await restoreVolume(repository, root, target, { resume: true });
    expect(report.ok).toBe(true);
    expect(Buffer.compare(await readFile(target), bytes)).toBe(0);
  });

  it("gives the recorded bytes of Velero's golden device", async () => {
    const { golden, repository } = await openGolden("velero-block");
    const recorded = new Set<string>(golden.expected.blockDeviceSha256);
    for (const [index, { rootEntry }] of (await listSnapshots(repository)).entries()) {
      const target = join(folder, `${index}.img`);
      const report = await restoreVolume(repository, rootEntry!, target);
      expect(report).toMatchObject({ ok: true, sizeBytes: golden.expected.blockDeviceLength });
      const bytes = await readFile(target);
      expect(recorded.delete(sha256Hex(bytes))).toBe(true);
      expect((await volumeFile(repository, rootEntry!)).sizeBytes).toBe(bytes.length);
    }
    expect(recorded.size).toBe(0);
  });
});
