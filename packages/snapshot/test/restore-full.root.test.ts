// File systems that are too small, as loop devices with ext4 and xfs: the report says which file system is full and how much is
// missing, everything that fits is there and whole, and no half file stands under its name. A full one loses nothing it has.
import { readdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { DirectoryEntry } from "../src/index.ts";
import { restoreArchive, restoreTree } from "../src/node/index.ts";
import { fileSystemTypes, LoopDevices, volumeBytes } from "./loop-devices.ts";
import { directoryIn, fileIn, newRepository } from "./new-repository.ts";

const root = requirePeer("root");

/** Beyond what a group holds, so that it is written in pieces. */
const longBytes = 24 << 20;
const long = splitmix64(1, longBytes);
const smallCount = 40;
const small = (index: number): Uint8Array => splitmix64(index + 100, 300_000);

let repository: Repository;
let entry: DirectoryEntry;
beforeAll(async () => {
  ({ repository } = await newRepository());
  await using session = await repository.openWriteSession();
  const entries = [await fileIn(session, "long", long)];
  for (let index = 0; index < smallCount; index++)
    entries.push(await fileIn(session, `small${index}`, small(index)));
  entry = await directoryIn(session, "root", entries);
  await session.commit();
});

let loops: LoopDevices;
beforeEach(async () => {
  if (root.available) loops = await LoopDevices.create();
});
afterEach(async () => {
  if (root.available) await loops[Symbol.asyncDispose]();
});

/** What there is, is whole. */
function expectWhole(folder: string): string[] {
  const names = readdirSync(folder);
  for (const name of names) {
    expect(name).not.toContain(".dm-restore");
    const data = name === "long" ? long : small(Number(name.slice("small".length)));
    expect(Buffer.compare(readFileSync(join(folder, name)), data), name).toBe(0);
  }
  return names;
}

describe.skipIf(!root.available).each(fileSystemTypes())(root.title("a volume of %s"), (type) => {
  const mounted = async (freeBytes: number): Promise<{ path: string; source: string }> => {
    const device = await loops.device(volumeBytes[type]);
    loops.makeFileSystem(type, device);
    const { path } = loops.mount(device);
    const { bavail, bsize } = statfsSync(path);
    writeFileSync(join(path, "ballast"), Buffer.alloc(Math.max(0, bavail * bsize - freeBytes), 1));
    return { path, source: device };
  };

  it.each([true, false])("row 88: too small, sparse %s: says what is missing", async (sparse) => {
    const { path, source } = await mounted(20 << 20);
    const target = join(path, "target");
    const report = await restoreTree(repository, entry, target, { sparse });
    expect(report.ok).toBe(false);
    const lost = report.losses.find((loss) => loss.path === "long")!;
    expect(lost.code).toBe("DM_RESTORE_NO_SPACE");
    expect(lost.reason).toContain(`no space left on device: ${path} (${type} on ${source}) has `);
    const [, free, needed, missing] =
      /has (\d+) bytes free of (\d+) that are needed; (\d+) are missing/.exec(lost.reason)!;
    expect(Number(needed)).toBe(longBytes);
    expect(Number(missing)).toBe(longBytes - Number(free));
    expect(Number(missing)).toBeGreaterThan(0);
    const names = expectWhole(target);
    expect(names).toHaveLength(report.filesDone);
    expect(report.filesDone + report.lossCount).toBe(smallCount + 1);
    // What fits is there: everything but the long file.
    expect(report.filesDone).toBe(smallCount);
  });

  it("that is full to the last block: loses everything, and says so", async () => {
    const { path } = await mounted(20 << 20);
    const target = join(path, "target");
    await restoreTree(repository, { ...entry, objectId: entry.objectId }, target);
    const kept = expectWhole(target);
    const filler = join(path, "filler");
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(64 << 10, 1), { flag: "a" });
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
    const report = await restoreTree(repository, entry, target);
    expect(report.lossCount).toBeGreaterThan(0);
    for (const { code, reason } of report.losses) {
      expect(code).toBe("DM_RESTORE_NO_SPACE");
      expect(reason).toContain("no space left on device");
    }
    // What was there before stays as it was.
    expect(expectWhole(target).sort()).toEqual(kept.sort());
    await expect(restoreArchive(repository, entry, join(path, "a.tar"))).rejects.toThrow(
      "no space left on device",
    );
    expect(readdirSync(path)).not.toContain("a.tar");
  });
});
