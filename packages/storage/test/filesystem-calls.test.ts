// Which system calls the filesystem store makes, in which order, and what it does when one of them fails. The calls are
// real; a hook in front of them notes each and lets chosen ones fail.
import { writeFileSync } from "node:fs";
import type * as promises from "node:fs/promises";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { silentLogger } from "@dm/core";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import type { BlobStore } from "../src/index.ts";

const hook = vi.hoisted(() => ({
  root: "",
  calls: [] as string[],
  /** Error code for a call that is about to be made, or undefined. */
  fail: (_call: string): string | undefined => undefined,
}));

vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof promises>();
  const before = (name: string, path: unknown): void => {
    // Random parts of names out, so that calls can be compared.
    const where = String(path)
      .replace(hook.root, "")
      .replace(/\.tmp\.[0-9a-f]{16}$/, ".tmp");
    const call = `${name} ${where || "/"}`;
    hook.calls.push(call);
    const code = hook.fail(call);
    if (code)
      throw Object.assign(new Error(`${code}: injected`), { code, syscall: name, errno: -1 });
  };
  const watched =
    (name: keyof typeof real, label: string = name) =>
    // biome-ignore lint/suspicious/noExplicitAny: passes any arguments on
    async (...args: any[]) => {
      before(label, name === "link" || name === "rename" ? args[1] : args[0]);
      // biome-ignore lint/suspicious/noExplicitAny: passes any arguments on
      return (real[name] as any)(...args);
    };
  const open: typeof real.open = async (path, flags, mode) => {
    const creates = typeof flags === "number" && (flags & 0o100) !== 0;
    before(creates ? "create" : "open", path);
    const file = await real.open(path, flags, mode);
    for (const name of ["sync", "write", "read", "close"] as const) {
      // biome-ignore lint/suspicious/noExplicitAny: passes any arguments on
      const original = (file[name] as any).bind(file);
      Object.defineProperty(file, name, {
        // biome-ignore lint/suspicious/noExplicitAny: passes any arguments on
        value: async (...args: any[]) => {
          // A close that fails has closed all the same.
          const result = name === "close" ? await original(...args) : undefined;
          before(name, path);
          return name === "close" ? result : original(...args);
        },
      });
    }
    return file;
  };
  return {
    ...real,
    open,
    link: watched("link"),
    mkdir: watched("mkdir"),
    readdir: watched("readdir"),
    readFile: watched("readFile"),
    rename: watched("rename"),
    stat: watched("stat"),
    unlink: watched("unlink"),
  };
});

const base = await mkdtemp(join(tmpdir(), "dm-storage-calls-"));
afterAll(() => rm(base, { recursive: true, force: true }));

let store: BlobStore;
beforeEach(async () => {
  hook.fail = () => undefined;
  hook.root = await mkdtemp(join(base, "root-"));
  store = filesystemStore({ path: hook.root, create: true });
  await store.put("warm", data);
  hook.calls = [];
});

const data = new Uint8Array(100).fill(7);
const long = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";
const target = `/p/a2c/${long.slice(4)}.f`;

/** Fails the calls that `matches`, the first `times` of them. */
function failCalls(matches: RegExp, code: string, times = Infinity): () => number {
  let failed = 0;
  hook.fail = (call) => {
    if (!matches.test(call) || failed >= times) return undefined;
    failed += 1;
    return code;
  };
  return () => failed;
}

async function ids(prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list(prefix)) found.push(id);
  return found.sort();
}

const files = async (): Promise<string[]> =>
  (await readdir(hook.root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(hook.root, join(entry.parentPath, entry.name)))
    .sort();

describe("a put", () => {
  it("syncs the file before it gets its name, and then every directory that names something new", async () => {
    await store.put(long, data);
    expect(hook.calls).toEqual([
      `create ${target}.tmp`,
      "mkdir /p",
      "mkdir /p/a2c",
      `create ${target}.tmp`,
      `write ${target}.tmp`,
      `sync ${target}.tmp`,
      `close ${target}.tmp`,
      `rename ${target}`,
      ...["open /p/a2c", "sync /p/a2c", "close /p/a2c"],
      ...["open /p", "sync /p", "close /p"],
      ...["open /", "sync /", "close /"],
    ]);
    hook.calls = [];
    await store.put(long, data);
    expect(hook.calls.slice(-4)).toEqual([
      `rename ${target}`,
      ...["open /p/a2c", "sync /p/a2c", "close /p/a2c"],
    ]);
  });

  it("syncs the directories also when another client made them", async () => {
    await filesystemStore({ path: hook.root }).put(long, data);
    hook.calls = [];
    await store.put(`${long.slice(0, 8)}0123456789abcdef`, data);
    expect(hook.calls).not.toContain("mkdir /p");
    expect(hook.calls.filter((call) => call.startsWith("sync /p") || call === "sync /")).toEqual([
      expect.stringMatching(/^sync .*\.tmp$/),
      "sync /p/a2c",
      "sync /p",
      "sync /",
    ]);
  });

  it("under ifAbsent links the name and removes the temporary one", async () => {
    await store.put("lease", data, { ifAbsent: true });
    expect(hook.calls).toEqual([
      ...["create /lease.f.tmp", "write /lease.f.tmp", "sync /lease.f.tmp", "close /lease.f.tmp"],
      ...["link /lease.f", "unlink /lease.f.tmp"],
      ...["open /", "sync /", "close /"],
    ]);
  });

  it.each([
    ["create", /^create .*lease/],
    ["write", /^write .*lease/],
    ["fsync", /^sync .*lease/],
    ["close", /^close .*lease/],
    ["rename", /^rename .*lease/],
    ["directory fsync", /^sync \/$/],
  ])("is tried twice when %s fails, and not more often", async (_what, matches) => {
    const once = failCalls(matches, "EIO", 1);
    await store.put("lease", data);
    expect(once()).toBe(1);
    expect(await store.get("lease")).toEqual(data);
    await store.delete("lease");
    const always = failCalls(matches, "EIO");
    await expect(store.put("lease", data)).rejects.toMatchObject({
      name: "StorageError",
      code: "DM_STORE_FAILED",
      retryable: true,
    });
    expect(always()).toBe(2);
    hook.fail = () => undefined;
    expect((await files()).filter((path) => path.includes(".tmp."))).toEqual([]);
  });

  it.each([
    ["EACCES", "AccessError", "DM_STORE_ACCESS_DENIED"],
    ["EROFS", "AccessError", "DM_STORE_ACCESS_DENIED"],
    ["ENOSPC", "StorageError", "DM_STORE_NO_SPACE"],
    ["EDQUOT", "StorageError", "DM_STORE_NO_SPACE"],
    ["ESTALE", "StorageError", "DM_STORE_FAILED"],
    ["ENAMETOOLONG", "StorageError", "DM_STORE_FAILED"],
  ])("that meets %s is not repeated and leaves the old bytes", async (code, name, expected) => {
    const failed = failCalls(/^(?:write|rename) .*warm/, code);
    await expect(store.put("warm", new Uint8Array(5))).rejects.toMatchObject({
      name,
      code: expected,
    });
    expect(failed()).toBe(1);
    hook.fail = () => undefined;
    expect(await store.get("warm")).toEqual(data);
    expect(await files()).toEqual([".shards", "warm.f"]);
  });

  it("refuses ifAbsent by name where there are no hard links", async () => {
    failCalls(/^link /, "EPERM");
    await expect(store.put("lease", data, { ifAbsent: true })).rejects.toMatchObject({
      name: "UnsupportedError",
      code: "DM_STORE_OPTION_UNSUPPORTED",
    });
    expect(await files()).toEqual([".shards", "warm.f"]);
    const other = filesystemStore({ path: join(hook.root, "other"), create: true });
    await other.put("kopia.repository", data);
    expect(await files()).toContain("other/.shards");
  });
});

describe("reads", () => {
  it.each([
    ["get", /^open \/warm.f$/, () => store.get("warm")],
    ["get, reading", /^read \/warm.f$/, () => store.get("warm")],
    ["stat", /^stat \/warm.f$/, () => store.stat("warm")],
    ["list", /^readdir \/$/, () => ids()],
    ["list, describing", /^stat \/warm.f$/, () => ids()],
    ["delete", /^unlink \/warm.f$/, () => store.delete("warm")],
  ])("%s is repeated while the error may pass", async (_what, matches, run) => {
    const failed = failCalls(matches, "EIO", 2);
    await run();
    expect(failed()).toBe(2);
  });

  it("stop at once when the error stays", async () => {
    for (const code of ["ESTALE", "EACCES", "ELOOP"]) {
      const failed = failCalls(/^open \/warm.f$/, code);
      await expect(store.get("warm")).rejects.toMatchObject({
        details: { path: expect.any(String) },
      });
      expect(failed()).toBe(1);
    }
  });

  it("keep the system's error as the cause and tell the path", async () => {
    failCalls(/^open \/warm.f$/, "ELOOP");
    await expect(store.get("warm")).rejects.toMatchObject({
      code: "DM_STORE_FAILED",
      details: { code: "ELOOP", path: join(hook.root, "warm.f") },
      cause: { code: "ELOOP" },
    });
  });

  it("of a list that breaks repeat one directory, not the whole, and give each blob once", async () => {
    const second = long.replace("pa2c", "pb2c");
    for (const id of [long, second, "xe1"]) await store.put(id, data);
    hook.calls = [];
    const failed = failCalls(/^readdir \/p\/b2c$/, "EIO", 2);
    expect(await ids()).toEqual([long, second, "warm", "xe1"]);
    expect(failed()).toBe(2);
    const entered = hook.calls.filter((call) => call.startsWith("readdir ")).sort();
    const repeated = ["readdir /p/b2c", "readdir /p/b2c", "readdir /p/b2c"];
    expect(entered).toEqual(["readdir /", "readdir /p", "readdir /p/a2c", ...repeated]);
  });

  it("tell a logger what they try again", async () => {
    const heard: string[] = [];
    const debug = (message: string): void => void heard.push(message);
    const logger = { ...silentLogger, debug };
    const listening = filesystemStore({ path: hook.root, logger });
    failCalls(/^(?:open|readdir) \/(?:warm.f)?$/, "EIO", 1);
    await listening.get("warm");
    failCalls(/^readdir \/$/, "EIO", 1);
    for await (const _ of listening.list(""));
    expect(heard).toEqual(["Retrying store call", "Retrying store call"]);
  });

  it("of a list enter only directories that the prefix allows", async () => {
    const others = [
      `q${long.slice(1)}`,
      `pb${long.slice(2)}`,
      "_log_20261122101530_1a2b_1795380862",
    ];
    for (const id of [long, ...others]) await store.put(id, data);
    for (const name of ["lost+found", ".snapshot", "@eaDir", "p/@eaDir"]) {
      await mkdir(join(hook.root, name));
    }
    const entered = async (prefix: string): Promise<string[]> => {
      hook.calls = [];
      await ids(prefix);
      return hook.calls.filter((call) => call.startsWith("readdir ")).sort();
    };
    expect(await entered("kopia")).toEqual(["readdir /"]);
    expect(await entered("q")).toEqual(["readdir /", "readdir /q", "readdir /q/a2c"]);
    expect(await entered("pa2c8")).toEqual(["readdir /", "readdir /p", "readdir /p/a2c"]);
    expect(await entered("_log_")).toEqual(["readdir /", "readdir /_", "readdir /_/log"]);
    expect(await entered("p")).toHaveLength(4);
    expect(await entered("")).toHaveLength(8);
  });
});

describe("the file .shards", () => {
  const fresh = (): BlobStore => filesystemStore({ path: join(hook.root, "new"), create: true });

  it("may be missing on a medium that refuses it", async () => {
    await fresh().put("kopia.repository", data);
    await rm(join(hook.root, "new/.shards"));
    failCalls(/^create .*\.shards/, "EROFS");
    const reader = filesystemStore({ path: join(hook.root, "new") });
    expect(await reader.get("kopia.repository")).toEqual(data);
  });

  it("stops everything when it cannot be stored for another reason: blobs would be spread by a rule nobody knows", async () => {
    failCalls(/^write .*\.shards/, "ENOSPC");
    await expect(fresh().put(long, data)).rejects.toMatchObject({ code: "DM_STORE_NO_SPACE" });
    hook.fail = () => undefined;
    const store = fresh();
    await store.put(long, data);
    expect(await store.get(long)).toEqual(data);
  });

  it("is read once", async () => {
    const store = fresh();
    await Promise.all([store.put("xe1", data), store.put("xe2", data), store.put("xe3", data)]);
    hook.calls = [];
    await store.get("xe1");
    expect(hook.calls.filter((call) => call.startsWith("readFile"))).toEqual([]);
  });

  it("written by another client in the same moment wins", async () => {
    const path = join(hook.root, "new/.shards");
    hook.fail = (call) => {
      if (/^link .*\.shards$/.test(call)) {
        writeFileSync(path, '{"default":[4],"maxNonShardedLength":20}');
      }
      return undefined;
    };
    await fresh().put(long, data);
    expect(await files()).toContain(`new/${long.slice(0, 4)}/${long.slice(4)}.f`);
    expect(await readFile(path, "utf8")).toContain("[4]");
  });
});
