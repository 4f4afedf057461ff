// The SFTP store over OpenSSH's server: the store contract, through ssh2 and through the ssh program; the files lie where the
// filesystem store finds them; connections that are cut on their way are made again; full disks and foreign keys are told.
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir } from "node:fs/promises";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import type { BlobStore } from "../src/index.ts";
import { type SftpConfig, sftpStore } from "../src/sftp.ts";
import { testBlobStore } from "../src/testing.ts";
import { freePort, type Sshd, startSshd } from "./sshd.ts";

const sshd = requirePeer("sshd");
const root = requirePeer("root");

describe.skipIf(!sshd.available)(sshd.title("SFTP store over OpenSSH"), () => {
  let server: Sshd;
  beforeAll(async () => {
    server = await startSshd(sshd.path);
  });
  afterAll(() => server?.close());

  const config = (path: string, more: Partial<SftpConfig> = {}): SftpConfig => ({
    path,
    host: server.host,
    port: server.port,
    username: server.username,
    keyfile: server.keyfile,
    knownHostsFile: server.knownHostsFile,
    ...more,
  });
  const folder = (): Promise<string> => mkdtemp(join(server.folder, "store-"));
  const external = (): Partial<SftpConfig> => ({
    externalSSH: true,
    sshArguments: `-p ${server.port} -i ${server.keyfile} -o UserKnownHostsFile=${server.knownHostsFile} -o StrictHostKeyChecking=yes -o BatchMode=yes`,
  });

  const paths = new WeakMap<BlobStore, string>();
  // Only the way to the server differs: the second is run whole where time does not matter.
  const ways: ReadonlyArray<readonly [string, () => Partial<SftpConfig>]> = [
    ["ssh2", () => ({})],
    ["the ssh program", external],
  ];
  for (const [name, more] of process.env["DM_FULL"] === "1" ? ways : ways.slice(0, 1)) {
    testBlobStore(
      `OpenSSH, through ${name}`,
      async () => {
        const path = join(await folder(), "deep", "down");
        const store = sftpStore(config(path, more()), { create: true });
        paths.set(store, path);
        return store;
      },
      { describe, it },
      {
        reopen: async (store) => sftpStore(config(paths.get(store)!, more())),
        timestampPrecisionNs: 1_000_000_000n,
        manyBlobs: 100,
      },
    );
  }

  const id = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";
  const data = Uint8Array.from({ length: 3 << 20 }, (_, index) => index * 7);

  it("shares its directory with the filesystem store", async () => {
    const path = await folder();
    const ours = sftpStore(config(path), { create: true });
    const local = filesystemStore({ path });
    await ours.put(id, data);
    expect(await local.get(id)).toEqual(data);
    await local.put("xe1", data.subarray(0, 10));
    expect(await ours.get("xe1", { offset: 4 })).toEqual(data.slice(4, 10));
    expect((await readdir(path)).sort()).toEqual([".shards", "p", "xe1.f"]);
    expect((await ours.capacity())?.capacityBytes).toBe((await local.capacity())?.capacityBytes);
    expect(ours.displayName).toBe(`SFTP ${server.username}@127.0.0.1`);
    await ours.close();
  });

  it("reaches the server through the ssh program as well", async () => {
    const path = await folder();
    const store = sftpStore(config(path, { ...external(), keyfile: undefined }), { create: true });
    await store.put(id, data);
    expect(await store.get(id)).toEqual(data);
    const found: string[] = [];
    for await (const blob of store.list("")) found.push(blob.id);
    expect(found).toEqual([id]);
    await store.close();
  });

  it("goes on after connections that are cut in the middle of puts and gets", async () => {
    const path = await folder();
    const proxy = await cutting(server.port);
    const knownHostsData = server.knownHostsData.replace(`:${server.port}`, `:${proxy.port}`);
    const store = sftpStore(config(path, { port: proxy.port, knownHostsData }), {
      create: true,
      retries: { firstDelayMs: 1 },
    });
    await store.put("xe1", data.subarray(0, 10));
    for (const bytes of [1_000, 200_000, 2_000_000]) {
      proxy.cutAfter(bytes);
      await store.put(id, data);
      expect(proxy.cuts()).toBe(1);
      proxy.cutAfter(bytes);
      expect(await store.get(id)).toEqual(data);
      expect(proxy.cuts()).toBe(1);
    }
    proxy.cutAfter(Infinity);
    await store.put("xe2", data.subarray(0, 5));
    const left = (await readdir(path, { recursive: true })).filter((name) =>
      name.includes(".tmp."),
    );
    expect(left).toEqual([]);
    await store.close();
    await proxy.close();
  });

  it("verifies the key of the server, whatever else is right", async () => {
    const path = await folder();
    const refused = async (knownHostsData: string) => {
      const store = sftpStore(config(path, { knownHostsData }));
      const error = await store.stat("x").catch((caught: unknown) => caught);
      await store.close();
      return error as Error & { code?: string };
    };
    const other =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    const changed = await refused(`[127.0.0.1]:${server.port} ${other}\n`);
    expect(changed).toMatchObject({ name: "AccessError", code: "DM_STORE_HOST_KEY_CHANGED" });
    const unknown = await refused("# nothing\n");
    expect(unknown).toMatchObject({ name: "AccessError", code: "DM_STORE_HOST_KEY_UNKNOWN" });
    expect(unknown.message).toContain(`ssh-keyscan -p ${server.port} 127.0.0.1`);
    expect((await refused(`@revoked ${server.knownHostsData}`)).code).toBe(
      "DM_STORE_HOST_KEY_CHANGED",
    );
    expect((await refused(server.knownHostsData)).code).toBe("DM_BLOB_NOT_FOUND");
  });

  it("says why nobody is let in", async () => {
    const path = await folder();
    const refused = async (more: Partial<SftpConfig>) => {
      const store = sftpStore(config(path, more), { retries: { attempts: 2, firstDelayMs: 1 } });
      const error = await store.stat("x").catch((caught: unknown) => caught);
      await store.close();
      return error as Error & { code?: string };
    };
    const keyfile = join(server.folder, "other_key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyfile]);
    expect((await refused({ keyfile })).code).toBe("DM_STORE_CREDENTIALS_INVALID");
    const password = "very-secret-password";
    const wrong = await refused({ password });
    expect(wrong.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(JSON.stringify(wrong) + wrong.stack).not.toContain(password);
    const locked = join(server.folder, "locked_key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "passphrase", "-f", locked]);
    expect((await refused({ keyfile: locked })).code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect((await refused({ keyfile: join(server.folder, "none") })).code).toBe(
      "DM_STORE_CREDENTIALS_MISSING",
    );
    expect((await refused({ keyfile: undefined })).code).toBe("DM_STORE_CREDENTIALS_MISSING");
    expect((await refused({ port: await freePort() })).code).toBe("DM_STORE_UNREACHABLE");
    expect((await refused({ externalSSH: true, sshCommand: "/nowhere/ssh" })).code).toBe(
      "DM_STORE_UNREACHABLE",
    );
    const external = await refused({
      externalSSH: true,
      sshArguments: `-p ${server.port} -o BatchMode=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes`,
    });
    expect(external.code).toBe("DM_STORE_UNREACHABLE");
    expect(external.message).toMatch(/host key/i);
  });

  it("tells a directory that is not there, or is forbidden, from one without blobs", async () => {
    const path = await folder();
    const store = sftpStore(config(join(path, "nowhere")));
    await expect(store.get("x")).rejects.toMatchObject({ code: "DM_STORE_NOT_FOUND" });
    await expect(store.put("x", data)).rejects.toMatchObject({ code: "DM_STORE_NOT_FOUND" });
    await store.close();
    // Root may do everything.
    if (root.available) return;
    await mkdir(join(path, "closed"));
    await chmod(join(path, "closed"), 0o500);
    const closed = sftpStore(config(join(path, "closed")));
    await expect(closed.put("x", data)).rejects.toMatchObject({ code: "DM_STORE_ACCESS_DENIED" });
    await closed.close();
  });

  it.skipIf(!root.available)(root.title("tells a full disk"), async () => {
    const path = await folder();
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path], { stdio: "pipe" });
    } catch {
      process.stderr.write("SKIPPED: no tmpfs may be mounted here; the full disk is not tested\n");
      return;
    }
    try {
      const store = sftpStore(config(path), { create: true, retries: { firstDelayMs: 1 } });
      await store.put("xe1", data.subarray(0, 1000));
      await expect(store.put(id, data)).rejects.toMatchObject({ code: "DM_STORE_NO_SPACE" });
      expect((await readdir(path, { recursive: true })).sort()).toEqual([
        ".shards",
        "p",
        "p/a2c",
        "xe1.f",
      ]);
      await store.close();
    } finally {
      execFileSync("umount", [path]);
    }
  });
});

interface Cutting {
  readonly port: number;
  /** The next connection that has carried so many bytes, in both directions, is cut; once. */
  cutAfter(bytes: number): void;
  cuts(): number;
  close(): Promise<void>;
}

/** A proxy that cuts connections. */
async function cutting(port: number): Promise<Cutting> {
  let left = Infinity;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = dial(port, "127.0.0.1");
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("error", end).on("close", end);
      from.on("data", (piece) => {
        left -= piece.length;
        if (left > 0) {
          to.write(piece);
          return;
        }
        left = Infinity;
        cuts += 1;
        end();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    cutAfter(bytes) {
      left = bytes;
      cuts = 0;
    },
    cuts: () => cuts,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      sockets.clear();
    },
  };
}
