// The S3 store over a real server: SeaweedFS passes the contract, also with conditional puts, with TLS off and path style;
// what its refusals mean is said in our words.
import { requirePeer, type SeaweedServer, startSeaweed } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BlobStore, validateProvider } from "../src/index.ts";
import { fetchTransport, type S3StoreOptions, s3Store, staticCredentials } from "../src/s3.ts";
import { testBlobStore } from "../src/testing.ts";

const weed = requirePeer("s3");
const keys = { accessKeyId: "test", secretAccessKey: "testtest" };

let endpoint = "";
let server: SeaweedServer | undefined;
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

describe.skipIf(!weed.available)(weed.title("S3 store over SeaweedFS"), () => {
  beforeAll(async () => {
    server = await startSeaweed(weed.path, { buckets: ["contract"] });
    endpoint = server.endpoint;
  }, 120_000);
  afterAll(() => server?.close());

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

  it.each([true, false])(
    "passes validation, conditional puts %s",
    async (conditionalPuts) => {
      const prefix = `validated-${conditionalPuts}/`;
      const connect = async (): Promise<BlobStore> => open({ prefix, conditionalPuts });
      const store = await connect();
      const report = await validateProvider(store, {
        connect,
        concurrencyTestMs: 1_000,
        maxBlobBytes: 1_000_000,
      });
      expect(report.findings).toEqual([]);
      expect(report.passed.length).toBe(12);
      for await (const { id } of store.list("")) throw new Error(`${id} was left`);
      await store.close();
    },
    60_000,
  );

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
