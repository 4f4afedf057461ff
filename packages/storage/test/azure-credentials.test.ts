// The ways to prove to Azure who asks, and what is kept of them: signatures by the documented example's form, tokens of workload
// identities, secrets and certificates as their service reads them; files are read again, and no secret is told.
import { createHmac, generateKeyPairSync, verify, X509Certificate } from "node:crypto";
import { manualClock } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  azureAccountKey,
  azureClientCertificate,
  azureClientSecret,
  azureManagedIdentity,
  azureSharedAccessSignature,
  azureStore,
  azureWorkloadIdentity,
  refreshingToken,
} from "../src/azure.ts";
import { selfSignedCertificate } from "../src/testing/s3.ts";
import { type Answer, type Fake, type Seen, startFake } from "./fake-service.ts";
import { failure } from "./object-service.ts";

let entra: Fake;
let respond: (seen: Seen) => Answer;
const given = (token: string, seconds: number | string = 3600): Answer => ({
  status: 200,
  body: JSON.stringify({ access_token: token, expires_in: seconds, token_type: "Bearer" }),
});
beforeEach(async () => {
  respond = () => given("T1");
  entra = await startFake((seen) => respond(seen));
});
afterEach(() => entra.close());

const form = (index = 0): Record<string, string> =>
  Object.fromEntries(new URLSearchParams(entra.seen[index]?.body.toString()));
const client = () => ({ tenantId: "tenant", clientId: "client", authorityHost: entra.url });

describe("account keys", () => {
  it("sign URLs of one blob, to read for a time", async () => {
    const credentials = azureAccountKey("acct", Buffer.from("key").toString("base64"));
    const clock = manualClock(BigInt(Date.parse("2026-11-25T12:00:00Z")) * 1_000_000n);
    const store = azureStore({
      account: "acct",
      container: "acct",
      prefix: "a b/",
      credentials,
      clock,
    });
    const url = new URL(await store.signedUrl("x.gz", { lifetimeMs: 600_000 }));
    expect(url.origin + url.pathname).toBe("https://acct.blob.core.windows.net/acct/a%20b/x.gz");
    const { sig, ...query } = Object.fromEntries(url.searchParams);
    const expiry = "2026-11-25T12:10:00Z";
    expect(query).toEqual({ sv: "2021-12-02", spr: "https", se: expiry, sr: "b", sp: "r" });
    const text = `r\n\n${expiry}\n/blob/acct/acct/a b/x.gz\n\n\nhttps\n2021-12-02\nb\n\n\n\n\n\n\n`;
    expect(sig).toBe(createHmac("sha256", "key").update(text).digest("base64"));
    await store.close();
  });

  it("sign the canonical request", async () => {
    const key = azureAccountKey("acct", Buffer.from("key").toString("base64"));
    const plain = {
      method: "GET",
      url: "https://acct.blob.core.windows.net/c?restype=container&comp=list&prefix=a%2Fb",
      headers: { range: "bytes=0-9" },
    };
    const { headers, url } = await key.authorize(plain, { nowMs: Date.UTC(2026, 10, 25, 10) });
    expect(url).toBe(plain.url);
    const { createHmac } = await import("node:crypto");
    const text =
      "GET\n\n\n\n\n\n\n\n\n\n\nbytes=0-9\nx-ms-date:Wed, 25 Nov 2026 10:00:00 GMT\nx-ms-version:2021-12-02\n" +
      "/acct/c\ncomp:list\nprefix:a/b\nrestype:container";
    const signature = createHmac("sha256", "key").update(text).digest("base64");
    expect(headers).toMatchObject({ authorization: `SharedKey acct:${signature}` });
  });

  it("must be base64, and are not quoted when they are not", () => {
    expect(() => azureAccountKey("acct", "no base64: secret!")).toThrow(/^(?!.*secret)/);
  });

  it("and signatures must not be empty", async () => {
    const plain = { method: "GET", url: "https://x/", headers: {} };
    for (const empty of [azureAccountKey("acct", ""), azureSharedAccessSignature(" ")]) {
      expect((await failure(empty.authorize(plain, { nowMs: 0 }))).code).toBe(
        "DM_STORE_CREDENTIALS_MISSING",
      );
    }
  });
});

describe("workload identity", () => {
  it("exchanges the pod's token, reads it anew each time, and keeps what it got", async () => {
    const clock = manualClock(0n);
    const tokens = ["first\n", "second\n"];
    const provider = azureWorkloadIdentity({
      ...client(),
      token: async () => tokens.shift() ?? "",
      clock,
    });
    expect(await provider.token()).toEqual({ token: "T1", expiresAtMs: 3_600_000 });
    await provider.token();
    expect(entra.seen.length).toBe(1);
    expect(entra.seen[0]?.url.pathname).toBe("/tenant/oauth2/v2.0/token");
    expect(form()).toEqual({
      client_id: "client",
      grant_type: "client_credentials",
      scope: "https://storage.azure.com/.default",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: "first",
    });
    clock.advance(56 * 60_000);
    respond = () => given("T2");
    expect((await provider.token()).token).toBe("T2");
    expect(form(1)["client_assertion"]).toBe("second");
  });

  it("asks where the environment says, and says that a file is not there", async () => {
    const environment = { AZURE_AUTHORITY_HOST: `${entra.url}/cloud/` };
    const { authorityHost: _, ...rest } = client();
    const there = azureWorkloadIdentity({ ...rest, environment, token: async () => "t" });
    await there.token();
    expect(entra.seen[0]?.url.pathname).toBe("/cloud/tenant/oauth2/v2.0/token");
    const token = (): Promise<string> =>
      Promise.reject(Object.assign(new Error(), { code: "ENOENT" }));
    const error = await failure(azureWorkloadIdentity({ ...client(), token }).token());
    expect([error.code, error.message]).toEqual([
      "DM_STORE_CREDENTIALS_MISSING",
      expect.stringContaining("ENOENT"),
    ]);
  });
});

describe("service principals", () => {
  it("by secret; a refusal tells the reason, and not the secret", async () => {
    const secret = { ...client(), clientSecret: "VERY-SECRET" };
    expect((await azureClientSecret(secret).token()).token).toBe("T1");
    expect(form()["client_secret"]).toBe("VERY-SECRET");
    respond = () => ({
      status: 401,
      body: JSON.stringify({
        error: "invalid_client",
        error_description: "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1",
      }),
    });
    const error = await failure(azureClientSecret(secret).token());
    expect(error.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(error.message).toContain("AADSTS7000215");
    expect(error.message).not.toContain("Trace");
    expect(`${error.message}${JSON.stringify(error)}`).not.toContain("VERY-SECRET");
  });

  it("asks again while the service is away, and for a page of somebody else not", async () => {
    const answers: Answer[] = [{ status: 503 }, { status: 429 }, given("T1")];
    respond = () => answers.shift() ?? { status: 500 };
    const clock = manualClock(0n);
    const secret = { ...client(), clientSecret: "s" };
    const asked = azureClientSecret({ ...secret, clock }).token();
    const pushed = setInterval(() => clock.advance(1000), 1);
    expect((await asked).token).toBe("T1");
    clearInterval(pushed);
    respond = () => ({ status: 200, body: "<html>" });
    const error = await failure(azureClientSecret(secret).token());
    expect(error.code).toBe("DM_STORE_ANSWER_INVALID");
  });

  it("by certificate: an assertion that its key signed, with its thumbprint", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const { cert } = selfSignedCertificate();
    for (const type of ["pkcs8", "pkcs1"] as const) {
      entra.seen.length = 0;
      const certificate = privateKey.export({ type, format: "pem" }).toString() + cert;
      await azureClientCertificate({ ...client(), certificate }).token();
      const [head = "", claims = "", signature = ""] = (form()["client_assertion"] ?? "").split(
        ".",
      );
      const json = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
      const thumbprint = new X509Certificate(cert).fingerprint.replaceAll(":", "");
      expect(json(head)).toEqual({
        alg: "RS256",
        typ: "JWT",
        x5t: Buffer.from(thumbprint, "hex").toString("base64url"),
      });
      expect(json(claims)).toMatchObject({
        iss: "client",
        sub: "client",
        aud: `${entra.url}/tenant/oauth2/v2.0/token`,
      });
      const signed = Buffer.from(`${head}.${claims}`);
      expect(verify("sha256", signed, publicKey, Buffer.from(signature, "base64url"))).toBe(true);
    }
  });

  it("by something that is no certificate, which is not quoted", async () => {
    const { cert, key } = selfSignedCertificate();
    for (const certificate of ["SECRET", cert, `${cert}${key}`]) {
      const error = await failure(azureClientCertificate({ ...client(), certificate }).token());
      expect(error.code).toBe("DM_STORE_CREDENTIALS_INVALID");
      expect(error.message).not.toMatch(/SECRET|BEGIN/);
    }
    expect(entra.seen).toEqual([]);
  });
});

describe("the machine's identity", () => {
  it("is asked of its metadata service", async () => {
    respond = ({ headers }) =>
      headers["metadata"] === "true" ? given("T9", "3600") : { status: 400 };
    const provider = azureManagedIdentity({ endpoint: entra.url, clientId: "user-assigned" });
    expect((await provider.token()).token).toBe("T9");
    expect(entra.seen[0]?.url.href.replace("http://fake", "")).toBe(
      "/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=user-assigned&resource=https%3A%2F%2Fstorage.azure.com%2F",
    );
  });
});

describe("refreshingToken", () => {
  it("loads once for all that ask, and goes on with the old one while a renewal fails", async () => {
    const clock = manualClock(0n);
    let loads = 0;
    let fails = false;
    const provider = refreshingToken(
      async () => {
        loads += 1;
        if (fails) throw new Error("away");
        return { token: `T${loads}`, expiresAtMs: Number(clock.nowNs() / 1_000_000n) + 3_600_000 };
      },
      { clock },
    );
    const [one, other] = await Promise.all([provider.token(), provider.token()]);
    expect([one, other, loads]).toEqual([one, one, 1]);
    fails = true;
    clock.advance(58 * 60_000);
    expect((await provider.token()).token).toBe("T1");
    expect((await provider.token()).token).toBe("T1");
    expect(loads).toBe(2);
    clock.advance(31_000);
    expect((await provider.token()).token).toBe("T1");
    expect(loads).toBe(3);
    await expect(provider.token({ rejected: "T1" })).rejects.toThrow("away");
    clock.advance(3 * 60_000);
    await expect(provider.token()).rejects.toThrow("away");
    fails = false;
    expect((await provider.token()).token).toBe("T6");
  });
});
