// The Azure store passes the contract over a fake of the Blob service, by Node's client and by fetch, in an account with immutable
// versions; its requests are those that Kopia would make. What real code says: test/azure.azurite.test.ts.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type AzureStoreOptions,
  azureAccountKey,
  azureSharedAccessSignature,
  azureStore,
} from "../src/azure.ts";
import type { BlobStore } from "../src/index.ts";
import { fetchTransport } from "../src/s3.ts";
import { testBlobStore } from "../src/testing.ts";
import { type FakeAzure, startFakeAzure } from "./fake-azure.ts";

const credentials = azureAccountKey("acct", "a2V5");
let fake: FakeAzure;
let opened = 0;
const stores: BlobStore[] = [];
const prefixes = new WeakMap<BlobStore, string>();

beforeAll(async () => {
  fake = await startFakeAzure();
});
afterAll(() => fake.close());
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  fake.versions.length = 0;
  fake.seen.length = 0;
  fake.versioned = false;
  fake.immutable = false;
});

function open(options: Partial<AzureStoreOptions> = {}): BlobStore {
  const prefix = options.prefix ?? `run${opened++}/kopia/`;
  const store = azureStore({
    account: "acct",
    container: "blobs",
    endpoint: `${fake.url}/acct`,
    credentials,
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
  "Azure, account key",
  async () => {
    fake.immutable = true;
    fake.versioned = true;
    return open();
  },
  { describe, it },
  { reopen: async (store) => open({ prefix: prefixes.get(store) }) },
);

testBlobStore(
  "Azure, shared access signature through fetch",
  async () => {
    fake.immutable = true;
    const token = azureSharedAccessSignature("?sv=2024-11-04&sig=abc%2F");
    return open({ credentials: token, transport: fetchTransport() });
  },
  { describe, it },
  { manyBlobs: 50 },
);

describe("the Azure store", () => {
  it("names itself without a secret, and has what the service has", async () => {
    const store = open();
    expect(store.type).toBe("azureBlob");
    expect(store.displayName).toBe("Azure: blobs");
    expect(store.features).toEqual({ ifAbsent: true, retention: true, setTimestamp: true });
    expect(await store.capacity()).toBeUndefined();
  });

  it("puts in one request, with the MD5, and reads what kopia recorded", async () => {
    const store = open({ prefix: "k/" });
    await store.put("p1", bytes("one"), { timestampNs: 1_577_934_245_000_000_001n });
    expect(fake.seen.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)).toEqual([
      "PUT /acct/blobs/k/p1",
    ]);
    const [{ headers }] = fake.seen as [(typeof fake.seen)[0]];
    expect(headers).toMatchObject({
      "content-md5": "+XxdKZQb+xsv2rCHSQargg==",
      "x-ms-blob-type": "BlockBlob",
      "x-ms-meta-kopiamtime": "1577934245000000001",
      "content-type": "application/x-kopia",
    });
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

  it("locks as Kopia does, prolongs, and hides what must not be deleted", async () => {
    fake.immutable = true;
    fake.versioned = true;
    const store = open({ prefix: "" });
    await store.put("p1", bytes("one"), { retention: { mode: "GOVERNANCE", periodMs: 3_600_000 } });
    const [first] = fake.versions as [(typeof fake.versions)[0]];
    expect(first.mode).toBe("Locked");
    const lockedUntilMs = first.lockedUntilMs ?? 0;
    expect(lockedUntilMs - Date.now()).toBeGreaterThan(3_590_000);
    await store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 7_200_000 });
    expect((first.lockedUntilMs ?? 0) - lockedUntilMs).toBeGreaterThan(3_590_000);
    expect(await codeOf(store.extendRetention("p2", { mode: "COMPLIANCE", periodMs: 1 }))).toBe(
      "DM_BLOB_NOT_FOUND",
    );
    await store.delete("p1");
    expect(await ids(store)).toEqual([]);
    expect(await codeOf(store.get("p1"))).toBe("DM_BLOB_NOT_FOUND");
    // The locked version is still there, and nothing else.
    expect(fake.versions.map(({ data }) => new TextDecoder().decode(data))).toEqual(["one"]);
  });

  it("says that a container cannot keep versions for ever", async () => {
    const store = open();
    const retention = { mode: "COMPLIANCE", periodMs: 3_600_000 } as const;
    expect(await codeOf(store.put("p1", bytes("one"), { retention }))).toBe(
      "DM_STORE_OPTION_UNSUPPORTED",
    );
  });

  it("refuses changes when it is for reading only", async () => {
    const store = open({ readOnly: true });
    expect(store.readOnly).toBe(true);
    expect(store.features).toEqual({ ifAbsent: false, retention: false, setTimestamp: false });
    expect(await codeOf(store.put("p1", bytes("one")))).toBe("DM_STORE_READ_ONLY");
    expect(await codeOf(store.delete("p1"))).toBe("DM_STORE_READ_ONLY");
    expect(fake.seen).toEqual([]);
  });

  it("knows the addresses of all clouds, and refuses what is none", () => {
    const of = (options: Partial<AzureStoreOptions>) => () =>
      azureStore({ account: "acct", container: "blobs", credentials, ...options });
    expect(of({ storageDomain: "blob.core.chinacloudapi.cn" })().type).toBe("azureBlob");
    expect(of({ account: "a/b" })).toThrow(TypeError);
    expect(of({ container: "Big" })).toThrow(TypeError);
    expect(of({ storageDomain: "evil.com/x" })).toThrow(TypeError);
    expect(of({ endpoint: "ftp://x" })).toThrow(TypeError);
    expect(of({ endpoint: "https://x?sig=secret" })).toThrow(/^(?!.*secret)/);
    expect(of({ prefix: "a/../b" })).toThrow(TypeError);
  });
});
