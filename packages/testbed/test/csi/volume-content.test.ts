// Copies of volumes are the same to the last attribute: bytes, holes, owners, modes, times in nanoseconds, links.
import { execFileSync } from "node:child_process";
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createContents } from "../../src/csi/volume-content.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-content-"));
});
afterEach(() => rm(folder, { recursive: true }));

const contents = createContents({ canMount: false });

async function made(
  kind: "directory" | "raw",
  sizeBytes = 1 << 20,
): Promise<{ from: string; path: string }> {
  const from = join(folder, "from");
  await mkdir(from);
  await contents[kind].create(from, sizeBytes);
  return { from, path: await contents[kind].stage(from) };
}

async function copied(kind: "directory" | "raw", from: string): Promise<string> {
  const to = join(folder, "to");
  await mkdir(to);
  await (await contents[kind].quiesce(from))();
  await contents[kind].copy(from, to);
  return contents[kind].stage(to);
}

describe("a directory volume", () => {
  it("is copied with modes, times, links and its own directory's attributes", async () => {
    const { from, path } = await made("directory");
    await mkdir(join(path, "folder"));
    await writeFile(join(path, "folder", "file"), "text");
    await link(join(path, "folder", "file"), join(path, "twin"));
    await symlink("folder/file", join(path, "link"));
    await chmod(join(path, "folder", "file"), 0o640);
    execFileSync("touch", ["-d", "2001-02-03T04:05:06.789012345Z", join(path, "folder", "file")]);
    await chmod(join(path, "folder"), 0o2711);
    await utimes(join(path, "folder"), 1e9, 1e9);
    await chmod(path, 0o751);
    await utimes(path, 1.5e9, 1.5e9);

    const copy = await copied("directory", from);
    for (const name of ["", "folder", "folder/file", "twin", "link"]) {
      const [a, b] = [
        await lstat(join(path, name), { bigint: true }),
        await lstat(join(copy, name), { bigint: true }),
      ];
      expect([name, b.mode, b.uid, b.gid, b.mtimeNs, b.nlink]).toEqual([
        name,
        a.mode,
        a.uid,
        a.gid,
        a.mtimeNs,
        a.nlink,
      ]);
    }
    expect(await readFile(join(copy, "twin"), "utf8")).toBe("text");
    expect(await readlink(join(copy, "link"))).toBe("folder/file");
    expect((await lstat(join(copy, "twin"))).ino).toBe(
      (await lstat(join(copy, "folder", "file"))).ino,
    );
  });

  it("does not change its copy when it changes", async () => {
    const { from, path } = await made("directory");
    await writeFile(join(path, "file"), "before");
    const copy = await copied("directory", from);
    await writeFile(join(path, "file"), "after");
    expect(await readFile(join(copy, "file"), "utf8")).toBe("before");
  });
});

describe("a raw volume", () => {
  it("is copied with its bytes and its holes", async () => {
    const { from, path } = await made("raw", 64 << 20);
    const file = await open(path, "r+");
    await file.write("in the middle", 32 << 20);
    await file.close();
    const copy = await copied("raw", from);
    const stat = await lstat(copy);
    expect(stat.size).toBe(64 << 20);
    expect(stat.blocks * 512).toBeLessThan(1 << 20);
    const bytes = await readFile(copy);
    expect(bytes.toString("latin1", 32 << 20, (32 << 20) + 13)).toBe("in the middle");
  });

  it("grows", async () => {
    const { from, path } = await made("raw");
    await contents.raw.expand(from, 3 << 20);
    expect((await lstat(path)).size).toBe(3 << 20);
  });
});
