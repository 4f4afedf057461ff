// The real kopia and the filesystem store share a directory: we list and read what it wrote, it opens what we wrote, in each
// layout, and goes on writing in it.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadGolden, requirePeer } from "@dm/fixtures";
import { afterAll, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import type { BlobStore } from "../src/index.ts";

const peer = requirePeer("kopia");
const base = await mkdtemp(join(tmpdir(), "dm-storage-kopia-"));
afterAll(() => rm(base, { recursive: true, force: true }));

interface ListedBlob {
  readonly id: string;
  readonly length: number;
  readonly timestamp: string;
}

/** A client of its own: configuration, caches and logs lie in a folder of the test. */
async function client(password: string) {
  const folder = await mkdtemp(join(base, "client-"));
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    KOPIA_PASSWORD: password,
    KOPIA_CONFIG_PATH: join(folder, "repository.config"),
    KOPIA_CACHE_DIRECTORY: join(folder, "cache"),
    KOPIA_LOG_DIR: join(folder, "logs"),
    KOPIA_CHECK_FOR_UPDATES: "false",
  };
  const run = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(peer.path, args, { env, maxBuffer: 64 << 20 });
    return stdout;
  };
  const blobs = async (): Promise<ListedBlob[]> => {
    const found: ListedBlob[] = JSON.parse(await run("blob", "list", "--json"));
    return found.sort((a, b) => (a.id < b.id ? -1 : 1));
  };
  return { run, blobs };
}

async function listed(store: BlobStore): Promise<Array<{ id: string; length: number }>> {
  const found: Array<{ id: string; length: number }> = [];
  for await (const { id, length } of store.list("")) found.push({ id, length });
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

describe.skipIf(!peer.available)(peer.title("with the real kopia"), () => {
  it.each([
    ["default layout", [], "[1,3]"],
    ["flat", ["--flat"], "[]"],
    ["format version 1", ["--format-version=1"], "[3,3]"],
  ])("%s: we read what kopia wrote", async (_name, flags, shards) => {
    const path = await mkdtemp(join(base, "theirs-"));
    const kopia = await client("secret");
    await kopia.run("repository", "create", "filesystem", `--path=${path}`, ...flags);
    await kopia.run("snapshot", "create", join(import.meta.dirname, "../src"));
    const store = filesystemStore({ path });
    const theirs = await kopia.blobs();
    expect(await readFile(join(path, ".shards"), "utf8")).toContain(`"default":${shards}`);
    expect(theirs.length).toBeGreaterThan(5);
    expect(await listed(store)).toEqual(theirs.map(({ id, length }) => ({ id, length })));
    for (const { id, length, timestamp } of theirs) {
      expect((await store.get(id)).length).toBe(length);
      const { timestampNs } = await store.stat(id);
      expect(Number(timestampNs / 1_000_000n)).toBe(Date.parse(timestamp));
    }
  });

  it.each([
    ["default layout", undefined],
    ["layout of old clients", [3, 3]],
    ["flat", []],
    ["a layout that nobody uses", [2, 1, 5]],
  ])("%s: kopia opens what we wrote, and goes on writing in it", async (_name, dirShards) => {
    const golden = loadGolden("v3-deleted-contents");
    const path = join(base, `ours-${String(dirShards).replaceAll(",", "-")}`);
    await mkdir(path);
    const store = filesystemStore({ path, create: true, dirShards });
    for (const [id, bytes] of golden.blobs) await store.put(id, bytes);
    const kopia = await client(golden.expected.password);
    await kopia.run("repository", "connect", "filesystem", `--path=${path}`);
    const ids = (blobs: ReadonlyArray<{ readonly id: string }>): string[] =>
      blobs.map(({ id }) => id);
    expect(ids(await kopia.blobs())).toEqual(ids(await listed(store)));
    await kopia.run("content", "verify", "--full");
    await kopia.run("snapshot", "create", join(import.meta.dirname, "../src"));
    const after = await kopia.blobs();
    expect(after.length).toBeGreaterThan(golden.blobs.size);
    expect(await listed(store)).toEqual(after.map(({ id, length }) => ({ id, length })));
    const temporary = (await readdir(path, { recursive: true })).filter((name) =>
      name.includes(".tmp."),
    );
    expect(temporary).toEqual([]);
  });
});
