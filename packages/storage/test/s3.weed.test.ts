// The S3 store over a real server: SeaweedFS passes the contract, also with conditional puts, with TLS off and path style;
// what its refusals mean is said in our words.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { fetchTransport, type S3StoreOptions, s3Store, staticCredentials } from "../src/s3.ts";
import { testBlobStore } from "../src/testing.ts";

const weed = requirePeer("s3");
const keys = { accessKeyId: "test", secretAccessKey: "testtest" };

let endpoint = "";
let server: ChildProcess | undefined;
let folder = "";
let opened = 0;

const prefixes = new WeakMap<BlobStore, string>();

function open(options: Partial<S3StoreOptions> = {}): BlobStore {
  const prefix = options.prefix ?? `run${opened++}/kopia/`;
  const store = s3Store({
    endpoint,
    tls: false,
    bucket: "contract",
    prefix,
    credentials: staticCredentials(keys),
    objectLock: false,
    conditionalPuts: true,
    ...options,
  });
  prefixes.set(store, prefix);
  return store;
}

/** Each port, and the one ten thousand above it, is taken by the server. */
async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 40_000);
    if (!found.includes(port) && (await isFree(port)) && (await isFree(port + 10_000))) {
      found.push(port);
    }
  }
  return found;
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.on("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });

async function createBucket(bucket: string): Promise<void> {
  const { signRequest } = await import("../src/s3/signing.ts");
  const until = Date.now() + 30_000;
  for (;;) {
    const plain = { method: "PUT", url: `http://${endpoint}/${bucket}`, headers: {} };
    const context = { credentials: keys, region: "us-east-1", service: "s3", nowMs: Date.now() };
    const signed = await signRequest(plain, context);
    const answer = await fetch(signed.url, { method: "PUT", headers: signed.headers }).catch(
      () => undefined,
    );
    if (answer?.ok || answer?.status === 409) return;
    if (server?.exitCode !== null) throw new Error(`the server ended with ${server?.exitCode}`);
    if (Date.now() > until) throw new Error(`no bucket after 30 s: ${answer?.status}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

describe.skipIf(!weed.available)(weed.title("S3 store over SeaweedFS"), () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "dm-weed-"));
    const config = join(folder, "s3.json");
    const { accessKeyId: accessKey, secretAccessKey: secretKey } = keys;
    const actions = ["Admin", "Read", "Write", "List", "Tagging"];
    const identities = [{ name: "t", credentials: [{ accessKey, secretKey }], actions }];
    await writeFile(config, JSON.stringify({ identities }));
    const ports = await freePorts(4);
    endpoint = `127.0.0.1:${ports[3]}`;
    server = spawn(
      weed.path,
      [
        "-logtostderr=true",
        "server",
        `-dir=${folder}`,
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        `-master.port=${ports[0]}`,
        `-volume.port=${ports[1]}`,
        "-filer",
        `-filer.port=${ports[2]}`,
        "-s3",
        `-s3.port=${ports[3]}`,
        `-s3.config=${config}`,
        "-iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=64",
      ],
      { stdio: "ignore" },
    );
    await createBucket("contract");
  });
  afterAll(async () => {
    if (server && server.exitCode === null) {
      const gone = new Promise((resolve) => server?.once("exit", resolve));
      server.kill("SIGTERM");
      const timer = setTimeout(() => server?.kill("SIGKILL"), 3_000);
      await gone;
      clearTimeout(timer);
    }
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  testBlobStore(
    "SeaweedFS",
    async () => open(),
    { describe, it },
    {
      reopen: async (store) => open({ prefix: prefixes.get(store) }),
      timestampPrecisionNs: 1_000_000_000n,
      manyBlobs: 1100,
    },
  );

  it("keeps every character of a prefix, also through fetch", async () => {
    const prefix = "a b+c&d=é?#%2F'()*!~@:,;$[]{}/";
    for (const transport of [undefined, fetchTransport()]) {
      const store = open({ prefix, transport });
      await store.put("x", new Uint8Array([1, 2, 3]));
      expect(await store.get("x", { offset: 1 })).toEqual(new Uint8Array([2, 3]));
      const found: string[] = [];
      for await (const { id } of store.list("")) found.push(id);
      expect(found).toEqual(["x"]);
      await store.delete("x");
      await store.close();
    }
  });

  it("says that the secret is wrong, the key unknown, the bucket missing", async () => {
    const refused = async (options: Partial<S3StoreOptions>): Promise<string | undefined> => {
      const store = open(options);
      const error = await store.get("kopia.repository").catch((caught: unknown) => caught);
      await store.close();
      return (error as { code?: string }).code;
    };
    const wrongSecret = staticCredentials({ ...keys, secretAccessKey: "nottest" });
    const wrongKey = staticCredentials({ ...keys, accessKeyId: "nobody" });
    expect(await refused({ credentials: wrongSecret })).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(await refused({ credentials: wrongKey })).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(await refused({ credentials: undefined })).toBe("DM_STORE_ACCESS_DENIED");
    expect(await refused({ bucket: "nowhere" })).toBe("DM_STORE_NOT_FOUND");
    expect(await refused({})).toBe("DM_BLOB_NOT_FOUND");
  });
});
