// Kopia and the stores of type sftp, webdav and rclone share places: what kopia writes about a connection is read and written
// again byte for byte and opens the same blobs; what one puts, the other lists and reads; kopia opens a repository that was
// copied by our store, and that lies where ours would put it.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { decodeRcloneConfig, encodeRcloneConfig, rcloneStore } from "../src/rclone.ts";
import { decodeSftpConfig, encodeSftpConfig, sftpStore } from "../src/sftp.ts";
import { decodeWebdavConfig, encodeWebdavConfig, webdavStore } from "../src/webdav.ts";
import { type Sshd, startSshd } from "./sshd.ts";
import { type DavServer, startDavServer } from "./webdav-memory-server.ts";

const kopia = requirePeer("kopia");
const run = promisify(execFile);

interface Side {
  /** Flags of `kopia repository create|connect <type>` for a place. */
  flags(place: string): string[];
  config(place: string, config: Record<string, unknown>): Record<string, unknown>;
  encode(config: Record<string, unknown>): Record<string, unknown>;
  open(config: Record<string, unknown>, create: boolean): BlobStore;
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-stores-kopia-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function kopiaAs(name: string): (...args: string[]) => Promise<string> {
  return async (...args) => {
    const { stdout } = await run(
      kopia.path,
      [`--config-file=${join(folder, `${name}.config`)}`, "--no-progress", ...args],
      {
        env: {
          PATH: process.env["PATH"],
          HOME: folder,
          KOPIA_PASSWORD: "static-passw0rd",
          KOPIA_CHECK_FOR_UPDATES: "false",
          KOPIA_CACHE_DIRECTORY: join(folder, `${name}-cache`),
          KOPIA_LOG_DIR: join(folder, "logs"),
        },
      },
    );
    return stdout;
  };
}

function agreement(type: string, side: () => Side): void {
  it("agree on connections and blobs, and each opens what the other stored", async () => {
    const { config, encode, flags, open } = side();
    const call = kopiaAs(type);
    await call("repository", "create", type, ...flags("first"));
    const source = join(folder, `${type}-source`);
    await mkdir(source);
    await call("snapshot", "create", source);
    const text = await readFile(join(folder, `${type}.config`), "utf8");
    const connection = JSON.parse(text).storage;
    expect(connection.type).toBe(type);
    expect(JSON.stringify(encode({ ...connection.config }))).toBe(
      JSON.stringify(connection.config),
    );

    const store = open(connection.config, false);
    const copy = open(config("second", connection.config), true);
    await store.put("udmrepo.Repository", new TextEncoder().encode('{"uniqueID":"x"}'));
    const listed: Array<{ id: string; length: number; timestamp: string }> = JSON.parse(
      await call("blob", "list", "--json"),
    );
    const ours: string[] = [];
    for await (const blob of store.list("")) {
      const theirs = listed.find(({ id }) => id === blob.id);
      expect(theirs?.length, blob.id).toBe(blob.length);
      expect(Date.parse(theirs?.timestamp ?? "")).toBe(Number(blob.timestampNs / 1_000_000n));
      await copy.put(blob.id, await store.get(blob.id));
      ours.push(blob.id);
    }
    expect(ours.sort()).toEqual(listed.map(({ id }) => id).sort());
    expect(ours).toContain("kopia.repository");
    expect(await call("blob", "show", "udmrepo.Repository")).toBe('{"uniqueID":"x"}');
    await store.delete("udmrepo.Repository");
    expect(await call("blob", "list", "--prefix=udmrepo")).toBe("");
    await Promise.all([store.close(), copy.close()]);

    const second = kopiaAs(`${type}-second`);
    await second("repository", "connect", type, ...flags("second"));
    await second("snapshot", "verify", "--verify-files-percent=100");
    expect(JSON.parse(await second("snapshot", "list", "--all", "--json"))).toHaveLength(1);
  });
}

describe.skipIf(!kopia.available)(kopia.title("kopia and our stores"), () => {
  const sshd = requirePeer("sshd");
  describe.skipIf(!sshd.available)(sshd.title("sftp"), () => {
    let server: Sshd;
    beforeAll(async () => {
      server = await startSshd(sshd.path);
    });
    afterAll(() => server?.close());
    agreement("sftp", () => ({
      flags: (place) => [
        `--path=${server.folder}/${place}`,
        "--host=127.0.0.1",
        `--port=${server.port}`,
        `--username=${server.username}`,
        `--keyfile=${server.keyfile}`,
        `--known-hosts=${server.knownHostsFile}`,
      ],
      config: (place, config) => ({ ...config, path: `${server.folder}/${place}` }),
      encode: (config) => encodeSftpConfig(decodeSftpConfig(config)),
      open: (config, create) => sftpStore(decodeSftpConfig(config), { create }),
    }));
  });

  describe("webdav", () => {
    let server: DavServer;
    beforeAll(async () => {
      server = await startDavServer();
      server.directories.add("/dav/first");
    });
    afterAll(() => server?.close());
    const urlOf = (place: string): string => server.url.replace(/backup$/, place);
    agreement("webdav", () => ({
      flags: (place) => [
        `--url=${urlOf(place)}`,
        "--webdav-username=backup",
        "--webdav-password=very-secret",
      ],
      config: (place, config) => ({ ...config, url: urlOf(place) }),
      encode: (config) => encodeWebdavConfig(decodeWebdavConfig(config)),
      open: (config, create) => webdavStore(decodeWebdavConfig(config), { create }),
    }));
  });

  const rclone = requirePeer("rclone");
  describe.skipIf(!rclone.available)(rclone.title("rclone"), () => {
    agreement("rclone", () => ({
      flags: (place) => [`--remote-path=${folder}/${place}`, `--rclone-exe=${rclone.path}`],
      config: (place, config) => ({ ...config, remotePath: `${folder}/${place}` }),
      encode: (config) => encodeRcloneConfig(decodeRcloneConfig(config)),
      open: (config, create) => rcloneStore(decodeRcloneConfig(config), { create }),
    }));
  });
});
