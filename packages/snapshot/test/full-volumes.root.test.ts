// File systems without a free byte are backed up as trees, by worker threads, and come back whole: a backup writes nothing to
// what it reads.
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { uploadSnapshot, verifySnapshot } from "../src/index.ts";
import { createDataPlane, openLocalSource, restoreTree } from "../src/node/index.ts";
import { fileSystemTypes, LoopDevices, volumeBytes } from "./loop-devices.ts";
import { newRepository } from "./new-repository.ts";

const root = requirePeer("root");
const source = { host: "h", userName: "root", path: "/full" };

let loops: LoopDevices;
beforeEach(async () => {
  if (root.available) loops = await LoopDevices.create();
});
afterEach(async () => {
  if (root.available) await loops[Symbol.asyncDispose]();
});

/** Writes until the file system says that it is full: one large file of repeated bytes, then small ones. */
function fillUp(folder: string): void {
  const block = splitmix64(1, 1 << 20);
  const isFull = (write: () => void): boolean => {
    try {
      write();
      return false;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") return true;
      throw error;
    }
  };
  const fd = openSync(join(folder, "large"), "w");
  for (;;) if (isFull(() => void writeSync(fd, block))) break;
  closeSync(fd);
  for (let index = 0; index < 10_000; index++)
    if (isFull(() => writeFileSync(join(folder, `small-${index}`), block.subarray(0, 4096)))) break;
}

async function hashes(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const data = entry.isFile()
      ? createHash("sha256").update(readFileSync(path)).digest("hex")
      : "";
    found.set(relative(folder, path), data);
  }
  return found;
}

describe.skipIf(!root.available)(root.title("full file systems"), () => {
  it.each(fileSystemTypes())(
    "%s is backed up to the last byte",
    async (type) => {
      const device = await loops.device(volumeBytes[type]);
      loops.makeFileSystem(type, device);
      const { path } = loops.mount(device);
      fillUp(path);
      const { bavail, bsize } = statfsSync(path);
      expect(bavail * bsize).toBeLessThan(64 << 10);
      const before = await hashes(path);

      const { repository } = await newRepository();
      await using session = await repository.openWriteSession();
      await using dataPlane = createDataPlane(session, { workers: 1 });
      const tree = await openLocalSource(path);
      const snapshot = await uploadSnapshot(session, tree, { source, dataPlane });
      await session.commit();
      expect(snapshot.rootEntry!.summary).toMatchObject({ failedCount: 0, ignoredErrorCount: 0 });
      expect((await verifySnapshot(repository, snapshot, { readFiles: 0 })).ok).toBe(true);
      const target = join(loops.folder, "restored");
      expect(await restoreTree(repository, snapshot.rootEntry!, target)).toMatchObject({
        ok: true,
      });
      expect(await hashes(target)).toEqual(before);
    },
    60_000,
  );
});
