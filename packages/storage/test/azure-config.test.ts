// Kopia's connection JSON of type azureBlob: what real clients wrote comes back byte for byte, wrong members are refused without
// being quoted, and the credential that is used is the one that Kopia would use.
import { describe, expect, it } from "vitest";
import {
  type AzureConfig,
  azureStoreOptions,
  decodeAzureConfig,
  encodeAzureConfig,
} from "../src/azure.ts";
import type { HttpRequest } from "../src/s3.ts";

/** As `kopia repository connect azure` writes it, with every flag given. */
const everything =
  '{"container":"c","prefix":"k/","storageAccount":"acct","storageKey":"a2V5","sasToken":"sig=x","TenantID":"t",' +
  '"ClientID":"i","ClientSecret":"s","clientCertificate":"pem","azureFederatedTokenFile":"/t","storageDomain":"d.example",' +
  '"maxUploadSpeedBytesPerSecond":1000,"pointInTime":"2026-11-25T10:00:00Z"}';

describe("the connection", () => {
  it.each([
    ["everything", everything],
    [
      "a key",
      '{"container":"blobs","prefix":"k/","storageAccount":"devstoreaccount1","storageKey":"a2V5"}',
    ],
    ["plain HTTP", '{"container":"c","storageAccount":"a","sasToken":"s","doNotUseTLS":true}'],
  ])("is written as Kopia writes it: %s", (_name, json) => {
    expect(JSON.stringify(encodeAzureConfig(decodeAzureConfig(JSON.parse(json))))).toBe(json);
  });

  it("is written in Kopia's order without what is empty, whatever came", () => {
    const config = { storageAccount: "a", future: { x: 1 }, prefix: "", container: "c" };
    expect(JSON.stringify(encodeAzureConfig(config))).toBe(
      '{"container":"c","storageAccount":"a","future":{"x":1}}',
    );
  });

  it.each([
    [null, /no object/],
    [{ storageAccount: "a" }, /container is missing/],
    [{ container: "c" }, /storageAccount is missing/],
    [{ container: "c", storageAccount: "a", storageKey: 7 }, /storageKey is no string/],
    [{ container: "c", storageAccount: "a", pointInTime: "SECRET" }, /^(?!.*SECRET).*pointInTime/],
  ])("is refused when it is none: %j", (value, message) => {
    expect(() => decodeAzureConfig(value)).toThrow(message);
    expect(() => decodeAzureConfig(value)).toThrow(
      expect.objectContaining({ code: "DM_STORE_CONFIG_INVALID" }),
    );
  });

  it("says that a key is no key, without quoting it", () => {
    const config = { container: "c", storageAccount: "a", storageKey: "SECRET!" };
    expect(() => azureStoreOptions(config)).toThrow(/^(?!.*SECRET).*storageKey is not base64/);
  });
});

describe("what it opens", () => {
  const base = { container: "c", storageAccount: "acct" };
  const client = { TenantID: "t", ClientID: "i" };

  /** How a request to the account would be authorized, and what was asked of the token service for it. */
  async function authorized(config: AzureConfig, environment: Record<string, string> = {}) {
    const asked: string[] = [];
    const body = new TextEncoder().encode('{"access_token":"TOKEN","expires_in":3600}');
    const { credentials } = azureStoreOptions(config, {
      environment,
      readText: async (path) => `content of ${path}`,
      transport: {
        async send(request: HttpRequest) {
          asked.push(`${request.url} ${new TextDecoder().decode(request.body)}`);
          return { status: 200, header: () => undefined, body };
        },
        async close() {},
      },
    });
    const plain = { method: "GET", url: "https://acct.example/c", headers: {} };
    const { headers, url } = await credentials.authorize(plain, { nowMs: 0 });
    return { way: `${url.slice(22)}${headers["authorization"]?.split(" ")[0] ?? ""}`, asked };
  }

  it("takes the first of Kopia's order", async () => {
    const all = { ...base, ...client, sasToken: "sig=x", storageKey: "a2V5", ClientSecret: "s" };
    expect(await authorized(all)).toEqual({ way: "?sig=x", asked: [] });
    expect(await authorized({ ...all, sasToken: "" })).toEqual({ way: "SharedKey", asked: [] });
    const secret = await authorized({ ...base, ...client, ClientSecret: "s" });
    expect(secret.way).toBe("Bearer");
    expect(secret.asked[0]).toContain("client_secret=s");
    expect(secret.asked[0]).toContain("https://login.microsoftonline.com/t/oauth2/v2.0/token");
    const token = await authorized({ ...base, ...client, azureFederatedTokenFile: "/f" });
    expect(token.asked[0]).toContain("client_assertion=content%20of%20%2Ff");
  });

  it("takes the pod's identity where the connection has none", async () => {
    const { way, asked } = await authorized(base, {
      AZURE_TENANT_ID: "tt",
      AZURE_CLIENT_ID: "ii",
      AZURE_FEDERATED_TOKEN_FILE: "/var/token",
      AZURE_AUTHORITY_HOST: "https://login.microsoftonline.us/",
    });
    expect(way).toBe("Bearer");
    expect(asked[0]).toContain("https://login.microsoftonline.us/tt/");
    await expect(authorized(base)).rejects.toMatchObject({ code: "DM_STORE_CREDENTIALS_MISSING" });
  });

  it("knows domain, TLS and time", () => {
    const { account, container, pointInTime, prefix, storageDomain, tls } = azureStoreOptions({
      ...base,
      storageKey: "a2V5",
      prefix: "k/",
      storageDomain: "blob.core.usgovcloudapi.net",
      doNotUseTLS: true,
      pointInTime: "2026-11-25T10:00:00Z",
    });
    expect({ account, container, pointInTime, prefix, storageDomain, tls }).toEqual({
      account: "acct",
      container: "c",
      prefix: "k/",
      storageDomain: "blob.core.usgovcloudapi.net",
      tls: false,
      pointInTime: new Date("2026-11-25T10:00:00Z"),
    });
    const none = azureStoreOptions({
      ...base,
      storageKey: "a2V5",
      pointInTime: "0001-01-01T00:00:00Z",
    });
    expect(none.pointInTime).toBeUndefined();
  });
});
