// The S3 store passes the contract over our test server: by Node's client and by fetch, in plain HTTP and with a private
// certificate authority, in a bucket with object lock; requests are counted, and roles that may do little can work.
import { manualClock } from "@dm/core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import {
  fetchTransport,
  type ObjectBlobStore,
  type S3StoreOptions,
  s3Store,
  staticCredentials,
} from "../src/s3.ts";
import {
  readerPermissions,
  type S3Server,
  selfSignedCertificate,
  startS3Server,
  testAccessKey,
  writerPermissions,
} from "../src/testing/s3.ts";
import { testBlobStore } from "../src/testing.ts";
import { foldersOf } from "./object-service.ts";

const writer = { accessKeyId: "WRITER", secretAccessKey: "w", permissions: writerPermissions };
const reader = { accessKeyId: "READER", secretAccessKey: "r", permissions: readerPermissions };
const certificate = selfSignedCertificate();

let plain: S3Server;
let secure: S3Server;
let opened = 0;
const stores: BlobStore[] = [];
const prefixes = new WeakMap<BlobStore, string>();

beforeAll(async () => {
  const buckets = ["blobs", { name: "locked", objectLock: true }];
  const accessKeys = [testAccessKey, writer, reader];
  plain = await startS3Server({ buckets, accessKeys });
  secure = await startS3Server({ buckets, tls: certificate });
});
afterAll(async () => {
  await plain.close();
  await secure.close();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

function open(server: S3Server, options: Partial<S3StoreOptions> = {}): ObjectBlobStore {
  const prefix = options.prefix ?? `run${opened++}/kopia/`;
  const store = s3Store({
    endpoint: server.url,
    bucket: "blobs",
    prefix,
    credentials: staticCredentials(testAccessKey),
    conditionalPuts: true,
    objectLock: false,
    retries: { attempts: 3, firstDelayMs: 1 },
    ...options,
  });
  prefixes.set(store, prefix);
  stores.push(store);
  return store;
}

const timestampPrecisionNs = 1_000_000_000n;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "no error",
    (error: { code?: unknown }) => error.code,
  );
async function ids(store: BlobStore, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list(prefix)) found.push(id);
  return found;
}

testBlobStore(
  "S3, plain HTTP",
  async () => open(plain),
  { describe, it },
  {
    timestampPrecisionNs,
    reopen: async (store) => open(plain, { prefix: prefixes.get(store) }),
  },
);

testBlobStore(
  "S3, object lock",
  async () => open(plain, { bucket: "locked", objectLock: true }),
  { describe, it },
  { timestampPrecisionNs, manyBlobs: 20 },
);

testBlobStore(
  "S3, TLS with an authority of its own",
  async () => open(secure, { rootCa: certificate.cert }),
  { describe, it },
  { timestampPrecisionNs, manyBlobs: 20 },
);

testBlobStore(
  "S3, through fetch",
  async () => open(plain, { transport: fetchTransport() }),
  { describe, it },
  { timestampPrecisionNs, manyBlobs: 20 },
);

describe("TLS", () => {
  it("refuses a certificate that nobody vouches for, and says what to do", async () => {
    const error = await open(secure)
      .stat("x")
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "DM_STORE_TLS_UNTRUSTED", retryable: false });
    expect(String(error)).toContain("certificate authority");
  });
  it("takes any certificate when told so", async () => {
    const store = open(secure, { verifyTls: false });
    await store.put("x", bytes("seen"));
    expect(text(await store.get("x"))).toBe("seen");
  });
});

describe("objects", () => {
  it("lie under prefix and id, with Kopia's content type and the storage class of their rule", async () => {
    const seen: Array<ReadonlyMap<string, string>> = [];
    const stop = plain.inject(({ headers, operation }) => {
      if (operation === "PutObject") seen.push(headers);
      return undefined;
    });
    const config = { blobOptions: [{ prefix: "p", storageClass: "STANDARD_IA" }, {}] };
    const owner = open(plain, { prefix: "classes/.storage", storageClasses: [] });
    await owner.put("config", bytes(JSON.stringify(config)));
    const store = open(plain, { prefix: "classes/" });
    await store.put("pabc", bytes("1"));
    await store.put("qabc", bytes("2"));
    stop();
    expect(plain.bucket("blobs").keys.filter((key) => key.startsWith("classes/"))).toEqual([
      "classes/.storageconfig",
      "classes/pabc",
      "classes/qabc",
    ]);
    expect(seen.map((headers) => headers.get("x-amz-storage-class"))).toEqual([
      undefined,
      "STANDARD_IA",
      undefined,
    ]);
    expect(seen[1]?.get("content-type")).toBe("application/x-kopia");
    expect(seen[1]?.get("content-md5")).toBe("xMpCOKC5I4INzFCab3WEmw==");
    // Neither the rules nor keys of other programs are blobs.
    await open(plain, { prefix: "classes/deeper/" }).put("x", bytes("3"));
    expect(await ids(store)).toEqual(["pabc", "qabc"]);
  });

  it("say which part of the rules is wrong", async () => {
    await open(plain, { prefix: "wrong/.storage", storageClasses: [] }).put("config", bytes("{]"));
    const put = open(plain, { prefix: "wrong/" }).put("x", bytes("1"));
    expect(await codeOf(put)).toBe("DM_STORAGE_CONFIG_INVALID");
  });

  it("keep every character of a prefix", async () => {
    const prefix = "a b+c&d=é?#%2F'()*!~/=@:,;$[]{}/";
    const store = open(plain, { prefix });
    await store.put("x", bytes("1"));
    expect(plain.bucket("blobs").keys).toContain(`${prefix}x`);
    expect(text(await store.get("x"))).toBe("1");
    expect(await ids(store)).toEqual(["x"]);
    await store.delete("x");
    expect(await ids(store)).toEqual([]);
  });

  it("cannot be put where a URL does not reach", () => {
    for (const prefix of ["../", "a/./b", "a\nb"]) {
      expect(() => open(plain, { prefix })).toThrow(TypeError);
    }
  });

  it("are locked until the period is over, and longer when it is prolonged", async () => {
    const store = open(plain, { bucket: "locked", prefix: "lock/", objectLock: true });
    const hour = 3_600_000;
    await store.put("p1", bytes("1"), { retention: { mode: "COMPLIANCE", periodMs: hour } });
    const until = (): number =>
      plain.bucket("locked").versions("lock/p1")[0]?.retention?.untilMs ?? 0;
    expect(Math.abs(until() - Date.now() - hour)).toBeLessThan(5_000);
    await store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 3 * hour });
    expect(Math.abs(until() - Date.now() - 3 * hour)).toBeLessThan(5_000);
  });

  it("without object lock in the bucket, retention is refused as an option that is not there", async () => {
    const store = open(plain, { objectLock: true });
    const retention = { mode: "GOVERNANCE", periodMs: 1000 } as const;
    const put = store.put("p1", bytes("1"), { retention });
    expect(await codeOf(put)).toBe("DM_STORE_OPTION_UNSUPPORTED");
  });
});

describe("requests", () => {
  it("are as few as can be", async () => {
    const store = open(plain);
    const counted = async (run: () => Promise<unknown>): Promise<Record<string, number>> => {
      plain.resetCounts();
      await run();
      return Object.fromEntries(Object.entries(plain.counts).filter(([, count]) => count > 0));
    };
    // The rules of storage classes are read once.
    expect(await counted(() => store.put("a", bytes("12345")))).toEqual({
      GetObject: 1,
      PutObject: 1,
    });
    expect(await counted(() => store.put("b", bytes("1")))).toEqual({ PutObject: 1 });
    expect(await counted(() => store.get("a"))).toEqual({ GetObject: 1 });
    expect(await counted(() => store.get("a", { offset: 1, length: 2 }))).toEqual({ GetObject: 1 });
    expect(await counted(() => store.get("a", { length: 0 }))).toEqual({ HeadObject: 1 });
    expect(await counted(() => store.stat("a"))).toEqual({ HeadObject: 1 });
    expect(await counted(() => codeOf(store.stat("none")))).toEqual({ HeadObject: 1 });
    expect(await counted(() => ids(store))).toEqual({ ListObjectsV2: 1 });
    expect(await counted(() => store.delete("a"))).toEqual({ DeleteObject: 1 });
  });
});

describe("roles", () => {
  it("a writer backs up without the right to delete, a reader restores without the right to write", async () => {
    const prefix = "roles/";
    const own = open(plain, { prefix, credentials: staticCredentials(writer) });
    await own.put("p1", bytes("1"));
    expect(await ids(own)).toEqual(["p1"]);
    expect(await codeOf(own.delete("p1"))).toBe("DM_STORE_ACCESS_DENIED");
    const other = open(plain, { prefix, credentials: staticCredentials(reader) });
    expect(text(await other.get("p1"))).toBe("1");
    expect(await codeOf(other.stat("none"))).toBe("DM_BLOB_NOT_FOUND");
    const denied = await other.put("p2", bytes("2")).catch((error: unknown) => error);
    expect(denied).toMatchObject({ code: "DM_STORE_ACCESS_DENIED", name: "AccessError" });
    expect(String(denied)).toContain("s3:PutObject");
    expect(plain.bucket("blobs").keys.filter((key) => key.startsWith(prefix))).toEqual([
      "roles/p1",
    ]);
  });
});

describe("a presigned world", () => {
  it("works with URLs that somebody else has signed, and no keys here", async () => {
    const { AwsV4Signer } = await import("aws4fetch");
    const store = open(plain, {
      credentials: undefined,
      transport: fetchTransport(),
      async sign({ headers, method, url }) {
        const { accessKeyId, secretAccessKey } = testAccessKey;
        const keys = { accessKeyId, secretAccessKey, region: "us-east-1", service: "s3" };
        const signer = new AwsV4Signer({ method, url, headers, ...keys, signQuery: true });
        const signed = await signer.sign();
        return { url: signed.url.toString(), headers };
      },
    });
    await store.put("x", bytes("presigned"));
    expect(text(await store.get("x", { offset: 3, length: 6 }))).toBe("signed");
    expect(await ids(store)).toEqual(["x"]);
  });
});

it("names folders page by page, not what lies in them or beside them", async () => {
  for (const folder of ["", "shop/", "web/", "web/deep/"]) {
    const store = open(plain, { prefix: `folders/${folder}` });
    for (let at = 0; at < 3; at++) await store.put(`p${at}`, bytes("x"));
  }
  const store = open(plain, { prefix: "folders/" });
  expect(await foldersOf(store)).toEqual(["shop", "web"]);
  expect(await foldersOf(open(plain, { prefix: "none/" }))).toEqual([]);
  const past = open(plain, { prefix: "folders/", pointInTime: new Date() });
  expect(await codeOf(foldersOf(past))).toBe("DM_STORE_OPTION_UNSUPPORTED");
});

it("signs a URL for anybody, for a time, at another name of the server", async () => {
  const { host } = new URL(plain.url);
  const publicEndpoint = `http://localhost:${host.split(":")[1]}`;
  const store = open(plain, { prefix: "signed/a b+c/", publicEndpoint });
  await store.put("p1", bytes("one"));
  const url = await store.signedUrl("p1", { lifetimeMs: 600_000 });
  expect(url).toMatch(/^http:\/\/localhost:\d+\/blobs\/signed\/a%20b%2Bc\/p1\?/);
  expect(new URL(url).searchParams.get("X-Amz-Expires")).toBe("600");
  expect(url).not.toContain(testAccessKey.secretAccessKey);
  const asked = url.replace("localhost", "127.0.0.1");
  // The name is signed, too.
  expect((await fetch(asked)).status).toBe(403);
  const own = await open(plain, { prefix: "signed/a b+c/" }).signedUrl("p1", {
    lifetimeMs: 600_000,
  });
  const answer = await fetch(own);
  expect([answer.status, await answer.text()]).toEqual([200, "one"]);
  expect((await fetch(own.replace("/p1?", "/p2?"))).status).toBe(403);
  expect((await fetch(own, { method: "DELETE" })).status).toBe(403);
  const past = manualClock(BigInt(Date.now() - 700_000) * 1_000_000n);
  const late = await open(plain, { prefix: "signed/a b+c/", clock: past }).signedUrl("p1", {
    lifetimeMs: 600_000,
  });
  expect((await fetch(late)).status).toBe(403);
  const anonymous = open(plain, { credentials: undefined });
  expect(await codeOf(anonymous.signedUrl("p1", { lifetimeMs: 600_000 }))).toBe(
    "DM_STORE_OPTION_UNSUPPORTED",
  );
  await expect(store.signedUrl("p1", { lifetimeMs: 0 })).rejects.toThrow(RangeError);
});
