// The filesystem store on a real disk: which files appear where and with which modes, what is left alone, that nothing
// lies outside the root, and what happens when directories or the whole root vanish.
import { spawn } from "node:child_process";
import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { goldenRepositories, loadGolden, requirePeer, writeFiles } from "@dm/fixtures";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import type { BlobMetadata, BlobStore } from "../src/index.ts";

const base = await mkdtemp(join(tmpdir(), "dm-storage-filesystem-"));
afterAll(() => rm(base, { recursive: true, force: true }));

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(base, "root-"));
});

const long = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

async function list(store: BlobStore, prefix = ""): Promise<BlobMetadata[]> {
  const found: BlobMetadata[] = [];
  for await (const blob of store.list(prefix)) found.push(blob);
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Every file below `directory`, by relative path. */
async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}

describe("layout", () => {
  it("refuses a relative path and touches nothing before the first call", async () => {
    expect(() => filesystemStore({ path: "backup" })).toThrow(TypeError);
    for (const dirShards of [[0], [1, -3], [1.5]]) {
      expect(() => filesystemStore({ path: root, dirShards })).toThrow(RangeError);
    }
    filesystemStore({ path: join(root, "later"), create: true });
    expect(await readdir(root)).toEqual([]);
  });

  it("makes the root with all its parents", async () => {
    const path = join(root, "a", "b", "c");
    await filesystemStore({ path, create: true }).put("n1", bytes("x"));
    expect(await filesIn(path)).toEqual([".shards", "n1.f"]);
  });

  it.runIf(process.platform === "linux")(
    "says so when a parent is there and takes no entries (on Linux, where /proc is one)",
    async () => {
      const store = filesystemStore({ path: "/proc/dm-test/backup", create: true });
      await expect(store.put("n1", bytes("x"))).rejects.toMatchObject({ code: "DM_STORE_FAILED" });
    },
  );

  it.each([
    ["creating", { create: true }, `p/a2c/${long.slice(4)}.f`, "[1,3]"],
    ["connecting", {}, `pa2/c8b/${long.slice(6)}.f`, "[3,3]"],
    ["flat", { create: true, dirShards: [] }, `${long}.f`, "[]"],
    ["no choice in the connection", { dirShards: null }, `pa2/c8b/${long.slice(6)}.f`, "[3,3]"],
  ])("%s: writes .shards and spreads blobs by it", async (_name, options, path, shards) => {
    const store = filesystemStore({ path: root, ...options });
    await store.put(long, bytes("pack"));
    await store.put("kopia.repository", bytes("format"));
    expect(await filesIn(root)).toEqual([".shards", "kopia.repository.f", path].sort());
    expect(await readFile(join(root, ".shards"), "utf8")).toBe(
      `{"default":${shards},"maxNonShardedLength":20}\n`,
    );
  });

  it("leaves nothing where it only looks, and spreads as a client does that came meanwhile", async () => {
    const looking = filesystemStore({ path: root });
    await expect(looking.get(long)).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    await expect(looking.stat(long)).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    await looking.delete(long);
    expect(await list(looking)).toEqual([]);
    expect(await filesIn(root)).toEqual([]);
    await filesystemStore({ path: root, create: true }).put(long, bytes("pack"));
    expect(text(await looking.get(long))).toBe("pack");
    await looking.put(`${long}2`, bytes("another"));
    expect(await filesIn(root)).toContain(`p/a2c/${long.slice(4)}2.f`);
  });

  it("obeys the .shards that it finds, whatever the options say", async () => {
    const found = {
      default: [2],
      maxNonShardedLength: 3,
      overrides: [{ prefix: "x", shards: [5, 1] }],
    };
    await writeFile(join(root, ".shards"), JSON.stringify(found));
    const store = filesystemStore({ path: root, create: true, dirShards: [] });
    await store.put("xn0_abcdef", bytes("1"));
    await store.put("abcd", bytes("2"));
    await store.put("abc", bytes("3"));
    const wanted = [".shards", "ab/cd.f", "abc.f", "xn0_a/b/cdef.f"];
    expect(await filesIn(root)).toEqual(wanted);
    expect(await readFile(join(root, ".shards"), "utf8")).toBe(JSON.stringify(found));
  });

  it.each(["", "not JSON", "[]", "null", "5", '{"default":[1,-3]}', '{"default":["1"]}'])(
    "refuses the .shards file %j",
    async (damaged) => {
      await writeFile(join(root, ".shards"), damaged);
      const store = filesystemStore({ path: root });
      await expect(store.get("kopia.repository")).rejects.toMatchObject({
        name: "FormatError",
        code: "DM_SHARDS_INVALID",
      });
      await expect(list(store)).rejects.toMatchObject({ code: "DM_SHARDS_INVALID" });
    },
  );

  it("lets clients that start together agree on one way to spread", async () => {
    const stores = [[], [1, 3], [3, 3], [2, 2], [4], [5]].map((dirShards) =>
      filesystemStore({ path: root, create: true, dirShards }),
    );
    await Promise.all(
      stores.map((store, index) => store.put(`${long}${index}`, bytes(`${index}`))),
    );
    for (const store of [...stores, filesystemStore({ path: root })]) {
      expect((await list(store)).map(({ id }) => id)).toEqual(
        stores.map((_, index) => `${long}${index}`),
      );
      for (const index of stores.keys()) {
        expect(text(await store.get(`${long}${index}`))).toBe(`${index}`);
      }
    }
  });

  it.each(goldenRepositories())("reads every blob of %s where kopia put it", async (name) => {
    const { blobs, expected, files } = loadGolden(name);
    writeFiles(files, root);
    const store = filesystemStore({ path: root });
    const listed = await list(store);
    expect(listed.map(({ id, length }) => ({ id, length }))).toEqual(
      expected.blobs
        .map(({ id, length }: BlobMetadata) => ({ id, length }))
        .sort((a: BlobMetadata, b: BlobMetadata) => (a.id < b.id ? -1 : 1)),
    );
    for (const [id, wanted] of blobs) {
      expect(Buffer.compare(await store.get(id), wanted), id).toBe(0);
    }
  });

  it.each(goldenRepositories())("writes every blob of %s where kopia did", async (name) => {
    const { blobs, files } = loadGolden(name);
    await writeFile(join(root, ".shards"), files.get(".shards")!);
    const store = filesystemStore({ path: root });
    const theirs = [...files.keys()].filter((path) => path === ".shards" || path.endsWith(".f"));
    // The names decide the paths; without their bytes the test is quick.
    for (const id of blobs.keys()) await store.put(id, new Uint8Array(0));
    expect(await filesIn(root)).toEqual(theirs.sort());
  });
});

describe("modes and owners", () => {
  const mode = async (path: string): Promise<string> =>
    ((await stat(join(root, path))).mode & 0o777).toString(8);

  it("makes files 0600 and directories 0700", async () => {
    const store = filesystemStore({
      path: join(root, "new", "store"),
      create: true,
      fileMode: 0,
      dirMode: 0,
    });
    await store.put(long, bytes("pack"));
    expect(await mode(`new/store/p/a2c/${long.slice(4)}.f`)).toBe("600");
    expect(await mode("new/store/.shards")).toBe("600");
    for (const path of ["new", "new/store", "new/store/p", "new/store/p/a2c"]) {
      expect(await mode(path), path).toBe("700");
    }
  });

  it("or what the connection says, in the limits of the umask", async () => {
    const umask = process.umask(0);
    process.umask(umask);
    const store = filesystemStore({ path: root, create: true, fileMode: 0o664, dirMode: 0o775 });
    await store.put(long, bytes("pack"));
    expect(await mode(`p/a2c/${long.slice(4)}.f`)).toBe((0o664 & ~umask).toString(8));
    expect(await mode("p/a2c")).toBe((0o775 & ~umask).toString(8));
  });

  const rights = requirePeer("root");
  it.skipIf(!rights.available)(
    rights.title("gives files to the owner of the connection"),
    async () => {
      const store = filesystemStore({ path: root, create: true, uid: 1234, gid: 5678 });
      await store.put(long, bytes("pack"));
      const { gid, uid } = await stat(join(root, `p/a2c/${long.slice(4)}.f`));
      expect([uid, gid]).toEqual([1234, 5678]);
      const half = filesystemStore({ path: root, uid: 1234 });
      await half.put("kopia.repository", bytes("format"));
      expect((await stat(join(root, "kopia.repository.f"))).uid).toBe(process.getuid?.());
    },
  );
});

describe("what is no blob", () => {
  it("is left alone: temporary files of writers that died, other names, other kinds", async () => {
    const store = filesystemStore({ path: root, create: true });
    await store.put(long, bytes("pack"));
    const shard = join(root, "p/a2c");
    const leftovers = [
      join(shard, `${long.slice(4)}.f.tmp.0123456789abcdef`),
      join(root, "kopia.repository.f.tmp.ffffffffffffffff"),
      join(root, ".shards.tmp.0123456789abcdef"),
      join(root, "README.txt"),
      join(root, "name with spaces.f"),
      join(root, ".hidden.f"),
    ];
    for (const path of leftovers) await writeFile(path, "half");
    await mkdir(join(root, "kopia.maintenance.f"));
    await mkdir(join(root, "lost+found"));
    expect((await list(store)).map(({ id }) => id)).toEqual([long]);
    await expect(store.get("kopia.repository")).rejects.toMatchObject({
      code: "DM_BLOB_NOT_FOUND",
    });
    await store.put(long, bytes("pack again"));
    for (const path of leftovers) expect(await readFile(path, "utf8")).toBe("half");
  });

  it("keeps .shards from being read, replaced or deleted as a blob", async () => {
    const store = filesystemStore({ path: root, create: true });
    await list(store);
    for (const id of [".shards", ".shards.f"]) {
      await expect(store.get(id)).rejects.toThrow(RangeError);
      await expect(store.put(id, bytes("x"))).rejects.toThrow(RangeError);
      await expect(store.delete(id)).rejects.toThrow(RangeError);
    }
  });

  it("leaves no temporary file after a put, failed or not", async () => {
    const store = filesystemStore({ path: root, create: true });
    await store.put(long, bytes("first"), { ifAbsent: true });
    await expect(store.put(long, bytes("second"), { ifAbsent: true })).rejects.toThrow();
    await store.put(long, bytes("third"));
    await expect(
      store.put(long, new Uint8Array(9 << 20), { signal: AbortSignal.timeout(1) }),
    ).rejects.toThrow();
    await mkdir(join(root, "xe7.f"));
    await expect(store.put("xe7", bytes("a directory is in the way"))).rejects.toMatchObject({
      code: "DM_STORE_FAILED",
    });
    expect(await filesIn(root)).toEqual([".shards", `p/a2c/${long.slice(4)}.f`]);
  });
});

describe("the root is never left", () => {
  it.each(["../x", "..", "/etc/passwd", "a/../../x", "p\\..\\x", "\0", "a\0b", "..%2fx"])(
    "refuses the id %j",
    async (id) => {
      const store = filesystemStore({ path: root, create: true });
      for (const run of [
        () => store.get(id),
        () => store.put(id, bytes("x")),
        () => store.delete(id),
        () => store.stat(id),
      ]) {
        await expect(run()).rejects.toThrow(RangeError);
      }
    },
  );

  it("refuses ids that the cuts would turn into . or ..", async () => {
    const inner = join(root, "inner");
    await mkdir(inner);
    const shards = { default: [1, 2, 2, 1], maxNonShardedLength: 3 };
    await writeFile(join(inner, ".shards"), JSON.stringify(shards));
    const store = filesystemStore({ path: inner });
    for (const id of ["a....outside", "abc..outside", "abcde.outside"]) {
      await expect(store.put(id, bytes("x")), id).rejects.toThrow(RangeError);
      await expect(store.get(id), id).rejects.toThrow(RangeError);
    }
    expect(await filesIn(root)).toEqual(["inner/.shards"]);
    await store.put("ab.c.d.outside", bytes("dots elsewhere are fine"));
    expect(await filesIn(root)).toContain("inner/a/b./c./d/.outside.f");
    expect((await list(store)).map(({ id }) => id)).toEqual(["ab.c.d.outside"]);
  });

  it("replaces and deletes a symbolic link, not what it points at", async () => {
    const outside = join(root, "outside.f");
    await writeFile(outside, "precious");
    const inner = join(root, "inner");
    const store = filesystemStore({ path: inner, create: true });
    await list(store);
    await symlink(outside, join(inner, "xe1.f"));
    expect(text(await store.get("xe1"))).toBe("precious");
    expect(await list(store)).toMatchObject([{ id: "xe1", length: 8 }]);
    await store.put("xe1", bytes("new"));
    expect((await lstat(join(inner, "xe1.f"))).isSymbolicLink()).toBe(false);
    await rm(join(inner, "xe1.f"));
    await symlink(outside, join(inner, "xe1.f"));
    await store.delete("xe1");
    expect(await readFile(outside, "utf8")).toBe("precious");
    expect(await list(store)).toEqual([]);
  });

  it("does not list through a linked directory, and survives links to nowhere", async () => {
    const outside = join(root, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "secret.f"), "x");
    const inner = join(root, "inner");
    const store = filesystemStore({ path: inner, create: true });
    await store.put("kopia.repository", bytes("format"));
    await symlink(outside, join(inner, "p"));
    await symlink(join(root, "nowhere"), join(inner, "xe2.f"));
    await symlink("..", join(inner, "q"));
    expect((await list(store)).map(({ id }) => id)).toEqual(["kopia.repository"]);
    expect(await readlink(join(inner, "q"))).toBe("..");
  });
});

describe("timestamps", () => {
  it("are the file's in nanoseconds, or what a put asked for", async () => {
    const store = filesystemStore({ path: root, create: true });
    await store.put("plain", bytes("x"));
    const { mtimeNs } = await stat(join(root, "plain.f"), { bigint: true });
    expect((await store.stat("plain")).timestampNs).toBe(mtimeNs);
    const timestampNs = 1_577_968_240_123_456_000n;
    await store.put("timed", bytes("x"), { timestampNs });
    const found = (await list(store, "timed"))[0]?.timestampNs ?? 0n;
    // utimes takes a double: half a microsecond at worst.
    expect(Math.abs(Number(found - timestampNs))).toBeLessThan(1000);
  });
});

describe("directories that vanish", () => {
  it("makes a shard directory again", async () => {
    const store = filesystemStore({ path: root, create: true });
    await store.put(long, bytes("pack"));
    await rm(join(root, "p"), { recursive: true });
    await expect(store.get(long)).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    expect(await list(store)).toEqual([]);
    await store.put(long, bytes("again"));
    expect(text(await store.get(long))).toBe("again");
  });

  it.each([
    ["missing", async (path: string) => rm(path, { recursive: true })],
    [
      "replaced by a file",
      async (path: string) => {
        await rm(path, { recursive: true });
        await writeFile(path, "");
      },
    ],
  ])("a root that is %s is no empty store, and is not made again", async (what, destroy) => {
    const path = join(root, "volume");
    const store = filesystemStore({ path, create: true });
    await store.put(long, bytes("pack"));
    await destroy(path);
    for (const run of [
      () => store.get(long),
      () => store.stat(long),
      () => list(store),
      () => store.delete(long),
      () => store.put(long, bytes("x")),
      () => store.put("kopia.repository", bytes("x")),
    ]) {
      await expect(run()).rejects.toMatchObject({
        name: "NotFoundError",
        code: "DM_STORE_NOT_FOUND",
      });
    }
    await expect(filesystemStore({ path }).get("kopia.repository")).rejects.toMatchObject({
      code: "DM_STORE_NOT_FOUND",
    });
    expect(await readdir(root)).toEqual(what === "missing" ? [] : ["volume"]);
  });
});

describe("several processes", () => {
  const child = `
    import { filesystemStore } from "@dm/storage/filesystem";
    const [path, name, count] = process.argv.slice(1);
    const store = filesystemStore({ path, create: true });
    const won = [];
    for (let round = 0; round < Number(count); round++) {
      const id = "lease" + String(round).padStart(40, "0");
      try {
        await store.put(id, new TextEncoder().encode(name), { ifAbsent: true });
        won.push(round);
      } catch (error) {
        if (error.code !== "DM_BLOB_EXISTS") throw error;
      }
    }
    console.log(JSON.stringify(won));
  `;

  it("of puts under ifAbsent exactly one wins, and its bytes are there", async () => {
    const count = 40;
    const run = (name: string): Promise<number[]> =>
      new Promise((resolve, reject) => {
        const flags = ["--conditions=@dm/source", "--input-type=module", "-e", child, root, name];
        const running = spawn(process.execPath, [...flags, String(count)], {
          cwd: import.meta.dirname,
          stdio: ["ignore", "pipe", "inherit"],
        });
        let output = "";
        running.stdout.on("data", (chunk) => {
          output += chunk;
        });
        running.on("close", (code) =>
          code === 0 ? resolve(JSON.parse(output)) : reject(new Error(`exit code ${code}`)),
        );
      });
    const names = ["one", "two", "three"];
    const won = await Promise.all(names.map(run));
    expect(won.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    const store = filesystemStore({ path: root });
    for (const [index, rounds] of won.entries()) {
      for (const round of rounds) {
        const id = `lease${String(round).padStart(40, "0")}`;
        expect(text(await store.get(id))).toBe(names[index]);
      }
    }
    expect(await list(store)).toHaveLength(count);
  });

  it("a hard link made by somebody else counts as existing", async () => {
    const store = filesystemStore({ path: root, create: true });
    await store.put("one", bytes("1"));
    await link(join(root, "one.f"), join(root, "two.f"));
    await expect(store.put("two", bytes("2"), { ifAbsent: true })).rejects.toMatchObject({
      name: "ConflictError",
      code: "DM_BLOB_EXISTS",
    });
    await store.put("two", bytes("2"));
    expect(text(await store.get("one"))).toBe("1");
  });
});
