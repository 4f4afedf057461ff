// The Google Cloud store passes the contract over a fake of the JSON API, by Node's client and by fetch, in a bucket with object
// retention; its requests are asserted. What others' code says: test/gcs.fake-gcs-server.test.ts.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type GcsStoreOptions, gcsStore } from "../src/gcs.ts";
import type { BlobStore } from "../src/index.ts";
import { fetchTransport } from "../src/s3.ts";
import { testBlobStore } from "../src/testing.ts";
import { type FakeGcs, startFakeGcs } from "./fake-gcs.ts";

let fake: FakeGcs;
let opened = 0;
const stores: BlobStore[] = [];
const prefixes = new WeakMap<BlobStore, string>();

beforeAll(async () => {
  fake = await startFakeGcs();
});
afterAll(() => fake.close());
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  fake.versions.length = 0;
  fake.seen.length = 0;
  fake.versioned = false;
  fake.retention = false;
});

function open(options: Partial<GcsStoreOptions> = {}): BlobStore {
  const prefix = options.prefix ?? `run${opened++}/kopia/`;
  const store = gcsStore({
    bucket: "blobs",
    endpoint: fake.url,
    prefix,
    retries: { attempts: 3, firstDelayMs: 1 },
    ...options,
  });
  prefixes.set(store, prefix);
  stores.push(store);
  return store;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
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
  "Google Cloud, a bucket with retention",
  async () => {
    fake.retention = true;
    fake.versioned = true;
    return open();
  },
  { describe, it },
  { reopen: async (store) => open({ prefix: prefixes.get(store) }) },
);

testBlobStore(
  "Google Cloud, through fetch",
  async () => {
    fake.retention = true;
    return open({ transport: fetchTransport() });
  },
  { describe, it },
  { manyBlobs: 50 },
);

describe("the Google Cloud store", () => {
  it("names itself, and has what the service has", async () => {
    const store = open();
    expect(store.type).toBe("gcs");
    expect(store.displayName).toBe("GCS: blobs");
    expect(store.features).toEqual({ ifAbsent: true, retention: true, setTimestamp: true });
    expect(await store.capacity()).toBeUndefined();
  });

  it("puts in one request, with the MD5, and reads what kopia recorded", async () => {
    const store = open({ prefix: "k/" });
    await store.put("p1", bytes("one"), {
      timestampNs: 1_577_934_245_000_000_001n,
      ifAbsent: true,
    });
    expect(fake.seen.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)).toEqual([
      "POST /upload/storage/v1/b/blobs/o?fields=name&ifGenerationMatch=0&uploadType=multipart",
    ]);
    expect(fake.seen[0]?.body.toString()).toContain('"md5Hash":"+XxdKZQb+xsv2rCHSQargg=="');
    expect(fake.current("k/p1")?.metadata).toEqual({ "Kopia-Mtime": "1577934245000000001" });
    expect((await store.stat("p1")).timestampNs).toBe(1_577_934_245_000_000_001n);
    for await (const blob of store.list("")) {
      expect(blob).toEqual({ id: "p1", length: 3, timestampNs: 1_577_934_245_000_000_001n });
    }
  });

  it("lists page by page, without other folders and names", async () => {
    const store = open({ prefix: "k/" });
    for (const name of ["k/a", "k/b", "k/c", "k/folder/x", "k/.hidden", "other"]) {
      fake.store(name, bytes("x"), {});
    }
    fake.pageEntries = 2;
    expect(await ids(store)).toEqual(["a", "b", "c"]);
    expect(fake.seen.length).toBe(2);
    fake.pageEntries = 1000;
  });

  it("locks as Kopia does, and prolongs", async () => {
    fake.retention = true;
    const store = open({ prefix: "" });
    await store.put("p1", bytes("one"), { retention: { mode: "GOVERNANCE", periodMs: 3_600_000 } });
    const first = fake.current("p1");
    expect(first?.mode).toBe("Locked");
    const lockedUntilMs = first?.lockedUntilMs ?? 0;
    expect(lockedUntilMs - Date.now()).toBeGreaterThan(3_590_000);
    await store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 7_200_000 });
    expect((first?.lockedUntilMs ?? 0) - lockedUntilMs).toBeGreaterThan(3_590_000);
    expect(await codeOf(store.extendRetention("p2", { mode: "COMPLIANCE", periodMs: 1 }))).toBe(
      "DM_BLOB_NOT_FOUND",
    );
    expect(await codeOf(store.delete("p1"))).toBe("DM_STORE_ACCESS_DENIED");
  });

  it("says that a bucket retains nothing", async () => {
    const store = open();
    const retention = { mode: "COMPLIANCE", periodMs: 3_600_000 } as const;
    expect(await codeOf(store.put("p1", bytes("one"), { retention }))).toBe(
      "DM_STORE_OPTION_UNSUPPORTED",
    );
  });

  it("refuses changes when it is for reading only", async () => {
    const store = open({ readOnly: true });
    expect(store.readOnly).toBe(true);
    expect(await codeOf(store.put("p1", bytes("one")))).toBe("DM_STORE_READ_ONLY");
    expect(await codeOf(store.delete("p1"))).toBe("DM_STORE_READ_ONLY");
    expect(fake.seen).toEqual([]);
  });

  it("refuses buckets and endpoints that are none", () => {
    expect(() => gcsStore({ bucket: "A" })).toThrow(TypeError);
    expect(() => gcsStore({ bucket: "blobs", endpoint: "nonsense" })).toThrow(TypeError);
    expect(() => gcsStore({ bucket: "blobs", prefix: "a/../b" })).toThrow(TypeError);
  });
});
