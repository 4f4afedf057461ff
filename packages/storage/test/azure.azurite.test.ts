// The Azure store passes the contract over Azurite, Microsoft's own emulator: by the account's key and by a shared access
// signature; what is refused is told apart. Azurite knows neither versions nor immutability: test/azure-store.test.ts.
import { createHmac } from "node:crypto";
import {
  azuriteAccount,
  azuriteKey,
  type ReferenceServer,
  requirePeer,
  startAzurite,
} from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AzureStoreOptions,
  azureAccountKey,
  azureSharedAccessSignature,
  azureStore,
  type ObjectBlobStore,
} from "../src/azure.ts";
import { testBlobStore } from "../src/testing.ts";
import { expectValid, failure, onServer } from "./object-service.ts";

const azurite = requirePeer("azurite");
let server: ReferenceServer;

const { open, reopen } = onServer<Partial<AzureStoreOptions>>((options) =>
  azureStore({
    account: azuriteAccount,
    container: "blobs",
    endpoint: server.url,
    credentials: azureAccountKey(azuriteAccount, azuriteKey),
    retention: false,
    retries: { attempts: 3, firstDelayMs: 10 },
    ...options,
  }),
);

/** An account signature as the portal makes it, for blobs and containers. */
function signature(permissions: string, endsAt: Date): string {
  const expiry = endsAt.toISOString().replace(/\.\d+Z$/, "Z");
  const version = "2021-12-02";
  const fields = [
    azuriteAccount,
    permissions,
    "b",
    "co",
    "",
    expiry,
    "",
    "https,http",
    version,
    "",
    "",
  ];
  const sig = createHmac("sha256", Buffer.from(azuriteKey, "base64"))
    .update(fields.join("\n"))
    .digest("base64");
  const query = {
    sv: version,
    ss: "b",
    srt: "co",
    sp: permissions,
    se: expiry,
    spr: "https,http",
    sig,
  };
  return new URLSearchParams(query).toString();
}

const inAnHour = (): Date => new Date(Date.now() + 3_600_000);
const codeOf = async (promise: Promise<unknown>): Promise<string> => (await failure(promise)).code;

describe.skipIf(!azurite.available)(azurite.title("Azure store over Azurite"), () => {
  beforeAll(async () => {
    server = await startAzurite(azurite.path);
  }, 90_000);
  afterAll(() => server?.close());

  testBlobStore("Azurite, account key", async () => open(), { describe, it }, { reopen });

  testBlobStore(
    "Azurite, shared access signature",
    async () => open({ credentials: azureSharedAccessSignature(signature("rwdlac", inAnHour())) }),
    { describe, it },
    { manyBlobs: 50 },
  );

  it("passes validation", async () => {
    await expectValid(() => open({ prefix: "validated/" }));
  }, 60_000);

  it("goes on with a new signature when the old one is used up", async () => {
    const signatures = [
      signature("rwdlac", new Date(Date.now() - 3_600_000)),
      signature("rwdlac", inAnHour()),
    ];
    const store = open({
      credentials: azureSharedAccessSignature(async () => signatures.shift() ?? ""),
    });
    await store.put("p1", new Uint8Array(10));
    expect((await store.stat("p1")).length).toBe(10);
    expect(signatures).toEqual([]);
  });

  it("works for a writer that may not delete, and for a reader", async () => {
    const signed = (permissions: string) =>
      azureSharedAccessSignature(signature(permissions, inAnHour()));
    const writer = open({ prefix: "roles/", credentials: signed("rwlc") });
    const reader = open({ prefix: "roles/", credentials: signed("rl") });
    await writer.put("p1", new Uint8Array(3));
    await writer.put("p1", new Uint8Array(4));
    expect(await codeOf(writer.put("p1", new Uint8Array(5), { ifAbsent: true }))).toBe(
      "DM_BLOB_EXISTS",
    );
    expect(await codeOf(writer.delete("p1"))).toBe("DM_STORE_ACCESS_DENIED");
    expect((await reader.get("p1", { offset: 1 })).length).toBe(3);
    expect((await reader.stat("p1")).length).toBe(4);
    for await (const { id } of reader.list("")) expect(id).toBe("p1");
    expect(await codeOf(reader.delete("p1"))).toBe("DM_STORE_ACCESS_DENIED");
  });

  it("tells apart a wrong key, a used up or too weak signature, and a missing container", async () => {
    const get = (options: Partial<AzureStoreOptions>): Promise<unknown> =>
      codeOf(open(options).get("p1"));
    const wrongKey = azureAccountKey(azuriteAccount, "d3Jvbmc=");
    expect(await get({ credentials: wrongKey })).toBe("DM_STORE_CREDENTIALS_INVALID");
    const old = azureSharedAccessSignature(signature("rl", new Date(Date.now() - 3_600_000)));
    expect(await get({ credentials: old })).toMatch(
      /^DM_STORE_(?:CREDENTIALS_EXPIRED|CREDENTIALS_INVALID)$/,
    );
    expect(await get({ container: "nowhere" })).toBe("DM_STORE_NOT_FOUND");
    expect(await get({})).toBe("DM_BLOB_NOT_FOUND");
    const reader = open({ credentials: azureSharedAccessSignature(signature("rl", inAnHour())) });
    expect(await codeOf(reader.put("p1", new Uint8Array(1)))).toBe("DM_STORE_ACCESS_DENIED");
    expect(await codeOf(reader.get("p1"))).toBe("DM_BLOB_NOT_FOUND");
  });

  it("an account key signs a URL for anybody, for a time and to read alone", async () => {
    const store = open({ prefix: "signed/a b+c/" }) as ObjectBlobStore;
    await store.put("p1", new TextEncoder().encode("one"));
    const url = await store.signedUrl("p1", { lifetimeMs: 600_000 });
    expect(await (await fetch(url)).text()).toBe("one");
    expect((await fetch(url.replace("/p1?", "/p2?"))).status).toBe(403);
    expect((await fetch(url, { method: "DELETE" })).status).toBe(403);
    const weak = open({ credentials: azureSharedAccessSignature(signature("r", inAnHour())) });
    const refused = (weak as ObjectBlobStore).signedUrl("p1", { lifetimeMs: 600_000 });
    expect(await codeOf(refused)).toBe("DM_STORE_OPTION_UNSUPPORTED");
  });
});
