// The Azure store passes the contract over a fake of the Blob service, by Node's client and by fetch, in an account with immutable
// versions; its requests are those that Kopia would make. What real code says: test/azure.azurite.test.ts.
import { expect, it } from "vitest";
import {
  type AzureStoreOptions,
  azureAccountKey,
  azureSharedAccessSignature,
  azureStore,
} from "../src/azure.ts";
import { fetchTransport } from "../src/s3.ts";
import { azureOn, startFakeAzure } from "./fake-azure.ts";
import { failure, idsOf, onFake, utf8 } from "./object-service.ts";
import { testObjectStore } from "./object-store.ts";

const on = onFake(startFakeAzure, azureOn);

testObjectStore({
  on,
  type: "azureBlob",
  displayName: "Azure: blobs",
  openFetching: () =>
    on.open({
      credentials: azureSharedAccessSignature("?sv=2024-11-04&sig=abc%2F"),
      transport: fetchTransport(),
    }),
});

it("puts with the MD5 and the headers that kopia sends", async () => {
  await on.open().put("p1", utf8("one"), { timestampNs: 1_577_934_245_000_000_001n });
  const [{ headers, method, url }] = on.fake.seen as [(typeof on.fake.seen)[0]];
  expect(`${method} ${url.pathname}${url.search}`).toBe("PUT /acct/blobs/k/p1");
  expect(headers).toMatchObject({
    "content-md5": "+XxdKZQb+xsv2rCHSQargg==",
    "x-ms-blob-type": "BlockBlob",
    "x-ms-meta-kopiamtime": "1577934245000000001",
    "content-type": "application/x-kopia",
  });
});

it("hides what must not be deleted", async () => {
  on.fake.retention = true;
  on.fake.versioned = true;
  const store = on.open();
  await store.put("p1", utf8("one"), { retention: { mode: "GOVERNANCE", periodMs: 3_600_000 } });
  await store.delete("p1");
  expect(await idsOf(store)).toEqual([]);
  expect((await failure(store.get("p1"))).code).toBe("DM_BLOB_NOT_FOUND");
  // The locked version is still there, and nothing else.
  expect(on.fake.versions.map(({ data }) => new TextDecoder().decode(data))).toEqual(["one"]);
});

it("knows the addresses of all clouds, and refuses what is none", () => {
  const credentials = azureAccountKey("acct", "a2V5");
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
