// The WebDAV and the rclone store over real rclone processes: the store contract for both, over a directory; what one of them
// writes, the filesystem store finds; secrets are in no argument; a process that is killed is started again.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import type { BlobStore } from "../src/index.ts";
import { type RcloneProcess, startRclone } from "../src/rclone/rclone-process.ts";
import { type RcloneConfig, rcloneStore } from "../src/rclone.ts";
import { testBlobStore } from "../src/testing.ts";
import { type WebdavConfig, webdavStore } from "../src/webdav.ts";

const rclone = requirePeer("rclone");
const data = Uint8Array.from({ length: 3 << 20 }, (_, index) => index * 7);
const id = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";

describe.skipIf(!rclone.available)(rclone.title("stores over rclone"), () => {
  let base = "";
  let server: RcloneProcess;
  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), "dm-rclone-test-"));
    server = await startRclone(
      { remotePath: base, rcloneExe: rclone.path, rcloneArgs: ["--dir-cache-time", "1ms"] },
      undefined,
    );
  });
  afterAll(async () => {
    await server?.stop();
    if (base) await rm(base, { recursive: true, force: true });
  });
  const folder = (): Promise<string> => mkdtemp(join(base, "store-"));
  const runner = { describe, it };

  const webdav = (path: string, more: Partial<WebdavConfig> = {}): WebdavConfig => ({
    url: `${server.webdavUrl}${path.slice(base.length + 1)}`,
    username: server.username,
    password: server.password,
    trustedServerCertificateFingerprint: server.certificateFingerprint,
    ...more,
  });
  const paths = new WeakMap<BlobStore, string>();
  // What is served is the same; the second runs where time does not matter.
  const full = process.env["DM_FULL"] === "1";
  (full ? testBlobStore : () => undefined)(
    "WebDAV, served by rclone",
    async () => {
      const path = await folder();
      const store = webdavStore(webdav(path), { create: true });
      paths.set(store, path);
      return store;
    },
    runner,
    {
      reopen: async (store) => webdavStore(webdav(paths.get(store)!)),
      timestampPrecisionNs: 1_000_000_000n,
      manyBlobs: 60,
    },
  );
  const config = (path: string, more: Partial<RcloneConfig> = {}): RcloneConfig => ({
    remotePath: path,
    rcloneExe: rclone.path,
    ...more,
  });
  testBlobStore(
    "rclone",
    async () => {
      const path = await folder();
      const store = rcloneStore(config(path), { create: true });
      paths.set(store, path);
      return store;
    },
    runner,
    {
      reopen: async (store) => rcloneStore(config(paths.get(store)!)),
      timestampPrecisionNs: 1_000_000_000n,
      manyBlobs: 60,
    },
  );
  it("share their directory with the filesystem store, and keep secrets out of arguments", async () => {
    const path = await folder();
    const secret = "a-very-secret-value";
    const conf = `[place]\ntype = alias\nremote = ${path}\n[other]\ntype = webdav\npass = ${secret}\n`;
    const store = rcloneStore(
      config("place:", { embeddedConfig: conf, rcloneEnv: [`SOME_TOKEN=${secret}`] }),
      { create: true },
    );
    await store.put(id, data);
    const local = filesystemStore({ path });
    expect(await local.get(id)).toEqual(data);
    await local.put("xe1", data.subarray(0, 10));
    expect(await store.get("xe1", { offset: 4 })).toEqual(data.slice(4, 10));
    expect((await readdir(path)).sort()).toEqual([".shards", "p", "xe1.f"]);
    const [pid, ...more] = children();
    expect(more).toEqual([]);
    const seen = await readFile(`/proc/${pid}/cmdline`, "utf8");
    expect(seen).toContain("webdav\0place:\0");
    expect(seen).not.toContain(secret);
    expect(store.displayName).toBe("RClone place:");
    await store.close();
    expect(children()).toEqual([]);
  });

  it("start rclone again when it was killed, and leave nothing in the temporary directory", async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith("dm-rclone-"));
    const store = rcloneStore(config(await folder()), {
      create: true,
      retries: { firstDelayMs: 1 },
    });
    await store.put(id, data);
    const [pid] = children();
    process.kill(pid!, "SIGKILL");
    expect(await store.get(id)).toEqual(data);
    expect(children()).not.toContain(pid);
    await store.close();
    expect((await readdir(tmpdir())).filter((name) => name.startsWith("dm-rclone-"))).toEqual(
      before,
    );
  });

  it("say why rclone does not serve, without what is secret", async () => {
    const refused = async (more: Partial<RcloneConfig>): Promise<Error & { code?: string }> => {
      const store = rcloneStore(config(base, more));
      const error = await store.stat("x").catch((caught: unknown) => caught);
      await store.close();
      return error as Error;
    };
    const secret = "a-very-secret-value";
    expect(await refused({ rcloneExe: "/nowhere/rclone" })).toMatchObject({
      code: "DM_STORE_UNREACHABLE",
      message: expect.stringContaining("install rclone"),
    });
    const wrong = await refused({
      remotePath: "nowhere:x",
      embeddedConfig: `[a]\ntype = local\npass = ${secret}\n`,
    });
    expect(wrong).toMatchObject({ code: "DM_STORE_UNREACHABLE" });
    expect(wrong.message).toMatch(/didn't find section/);
    const said = await refused({
      rcloneArgs: [`--no-such-flag=${secret}`],
      rcloneEnv: [`A=${secret}`],
    });
    expect(said.message).toMatch(/unknown flag/);
    expect(said.message).not.toContain(secret);
    expect(await refused({ rcloneExe: "/bin/cat", startupTimeout: "1ms" })).toMatchObject({
      name: "StorageError",
    });
  });

  /** Processes of this test, but for the shared server. */
  function children(): number[] {
    const { stdout } = spawnSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], {
      encoding: "utf8",
    });
    return stdout
      .split("\n")
      .filter((line) => / serve webdav /.test(line) && !line.includes("--dir-cache-time"))
      .map((line) => Number.parseInt(line, 10));
  }
});
