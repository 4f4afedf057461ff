// The real kopia takes the test S3 server for S3: it creates, snapshots, verifies, maintains and restores a repository in it,
// validates the provider, locks blobs, looks back to a point in time, and talks TLS.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { afterAll, describe, expect, it } from "vitest";
import {
  faultOn,
  type S3Server,
  selfSignedCertificate,
  slowDown,
  startS3Server,
} from "../src/testing/s3.ts";
import { send, target } from "./s3-raw-client.ts";

const peer = requirePeer("kopia");
const base = await mkdtemp(join(tmpdir(), "dm-s3-kopia-"));
afterAll(() => rm(base, { recursive: true, force: true }));

/** A client of its own: configuration, caches and logs lie in a folder of the test. */
async function client() {
  const folder = await mkdtemp(join(base, "client-"));
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    KOPIA_PASSWORD: "static-passw0rd",
    KOPIA_CONFIG_PATH: join(folder, "repository.config"),
    KOPIA_CACHE_DIRECTORY: join(folder, "cache"),
    KOPIA_LOG_DIR: join(folder, "logs"),
    KOPIA_CHECK_FOR_UPDATES: "false",
  };
  const run = async (...args: string[]): Promise<string> => {
    const { stderr, stdout } = await promisify(execFile)(peer.path, args, {
      env,
      maxBuffer: 64 << 20,
      timeout: 60_000,
    });
    return stdout + stderr;
  };
  return { folder, run };
}

const connection = (server: S3Server, bucket: string, ...more: string[]): string[] => [
  "s3",
  `--bucket=${bucket}`,
  `--endpoint=${server.endpoint}`,
  `--access-key=${server.accessKey.accessKeyId}`,
  `--secret-access-key=${server.accessKey.secretAccessKey}`,
  "--prefix=velero/kopia/ns1/",
  ...more,
];

const failures = (server: S3Server): Array<string | undefined> =>
  server.log
    .filter(({ status }) => status !== undefined && status >= 400 && status !== 404)
    .map(({ code }) => code);

describe.skipIf(!peer.available)(peer.title("with the real kopia"), () => {
  it("a repository lives in it: create, snapshot, verify, maintenance, restore, delete", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { folder, run } = await client();
    await run("repository", "create", ...connection(server, "backups", "--disable-tls"));
    const source = join(import.meta.dirname, "../src");
    await run("snapshot", "create", source);
    await run("snapshot", "verify", "--verify-files-percent=100");
    const [{ id }] = JSON.parse(
      await run("snapshot", "list", "--json", "--no-progress").then(jsonOf),
    );
    await run("restore", id, join(folder, "restored"));
    const restored = await readFile(join(folder, "restored/testing/s3/server.ts"));
    expect(restored.equals(await readFile(join(source, "testing/s3/server.ts")))).toBe(true);
    await run("maintenance", "run", "--full");
    const keys = server.bucket("backups").keys;
    expect(keys).toContain("velero/kopia/ns1/kopia.repository");
    expect(keys.every((key) => key.startsWith("velero/kopia/ns1/"))).toBe(true);
    const theirs = (await run("blob", "list")).match(/^\S+/gm) ?? [];
    expect(theirs.map((blob) => `velero/kopia/ns1/${blob}`).sort()).toEqual(
      [...server.bucket("backups").keys].sort(),
    );
    expect(failures(server)).toEqual([]);
    expect(server.counts.PutObject).toBeGreaterThan(5);
  });

  it("kopia repository validate-provider finds all good", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { run } = await client();
    await run("repository", "create", ...connection(server, "backups", "--disable-tls"));
    const output = await run(
      "repository",
      "validate-provider",
      "--num-storage-connections=3",
      "--concurrency-test-duration=2s",
      "--put-blob-workers=2",
      "--get-blob-workers=2",
      "--get-metadata-workers=2",
    );
    expect(output).toContain("All good.");
  });

  it("blobs are locked under --retention-mode, and the past is read by --point-in-time", async () => {
    await using server = await startS3Server({ buckets: [{ name: "locked", objectLock: true }] });
    const { folder, run } = await client();
    const retention = ["--retention-mode=COMPLIANCE", "--retention-period=48h"];
    await run(
      "repository",
      "create",
      ...connection(server, "locked", "--disable-tls", ...retention),
    );
    const directory = await mkdtemp(join(base, "source-"));
    await writeFile(join(directory, "file"), "first");
    await run("snapshot", "create", directory);
    const format = server.bucket("locked").versions("velero/kopia/ns1/kopia.repository");
    expect(format[0]?.retention?.mode).toBe("COMPLIANCE");
    const packs = server.bucket("locked").keys.filter((key) => /ns1\/[pq]/.test(key));
    expect(packs.length).toBeGreaterThan(0);
    for (const key of packs)
      expect(server.bucket("locked").versions(key)[0]?.retention?.untilMs).toBeGreaterThan(
        Date.now() + 47 * 3600_000,
      );
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const then = `${new Date().toISOString().slice(0, 19)}Z`;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await writeFile(join(directory, "file"), "second");
    await run("snapshot", "create", directory);
    // Somebody deletes everything; the bucket keeps what it promised to keep.
    for (const key of server.bucket("locked").keys)
      expect((await send(server, "DELETE", target("locked", key))).status).toBe(204);
    expect(server.bucket("locked").keys).toEqual([]);
    const past = await client();
    await past.run(
      "repository",
      "connect",
      ...connection(server, "locked", "--disable-tls", `--point-in-time=${then}`),
    );
    const snapshots = JSON.parse(jsonOf(await past.run("snapshot", "list", "--all", "--json")));
    expect(snapshots).toHaveLength(1);
    await past.run("restore", snapshots[0].id, join(folder, "old"));
    expect(await readFile(join(folder, "old/file"), "utf8")).toBe("first");
  });

  it("TLS with its own authority, and unchecked; a token; busy answers and cut connections", async () => {
    const tls = selfSignedCertificate();
    const accessKey = {
      accessKeyId: "TEMPORARY",
      secretAccessKey: "temporary-secret",
      sessionToken: "token/+=",
    };
    await using server = await startS3Server({ tls, accessKeys: [accessKey], buckets: ["tls"] });
    const { folder, run } = await client();
    const authority = join(folder, "ca.pem");
    await writeFile(authority, tls.cert);
    const token = "--session-token=token/+=";
    await run(
      "repository",
      "create",
      ...connection(server, "tls", token, `--root-ca-pem-path=${authority}`),
    );
    server.inject(faultOn({ operations: ["PutObject"], skip: 1, times: 2 }, { answer: slowDown }));
    server.inject(faultOn({ operations: ["PutObject"], skip: 4, times: 1 }, { reset: "after" }));
    server.inject(
      faultOn({ operations: ["GetObject"], skip: 2, times: 1 }, { resetAfterSentBytes: 10 }),
    );
    await run("snapshot", "create", join(import.meta.dirname, "../src/testing"));
    await run("snapshot", "verify", "--verify-files-percent=100");
    const other = await client();
    await other.run(
      "repository",
      "connect",
      ...connection(server, "tls", token, "--disable-tls-verification"),
    );
    expect(await other.run("repository", "status")).toContain("s3");
    await expect(
      (await client()).run("repository", "connect", ...connection(server, "tls", token)),
    ).rejects.toThrow(/certificate/);
    expect(failures(server)).toEqual(["SlowDown", "SlowDown"]);
  });
});

/** The JSON in an output that may hold other lines. */
function jsonOf(output: string): string {
  return output.slice(output.indexOf("["), output.lastIndexOf("]") + 1);
}
