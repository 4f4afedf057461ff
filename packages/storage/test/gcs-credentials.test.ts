// Tokens of Google by its library: a service account's assertion is what the token service reads, files are read again when
// a server refuses, and what goes wrong is told without a secret. Nothing here leaves the machine.
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { manualClock } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gcsFileCredentials, gcsJsonCredentials, gcsStore } from "../src/gcs.ts";
import { type Answer, type Fake, type Seen, startFake } from "./fake-service.ts";
import { failure } from "./object-service.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
let service: Fake;
let respond: (seen: Seen) => Answer;
const json = { "content-type": "application/json" };
const given = (token: string): Answer => ({
  status: 200,
  headers: json,
  body: JSON.stringify({ access_token: token, expires_in: 3599, token_type: "Bearer" }),
});
beforeEach(async () => {
  respond = () => given("T1");
  service = await startFake((seen) => respond(seen));
});
afterEach(() => service.close());

/** The library asks Google whatever the file says: here all of it goes to the fake service. */
const fetch: typeof globalThis.fetch = (input, init) => {
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  return globalThis.fetch(`${service.url}${pathname}`, init);
};

const account = (): Record<string, string> => ({
  type: "service_account",
  project_id: "p",
  client_email: "backup@p.iam.gserviceaccount.com",
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  token_uri: "https://oauth2.googleapis.com/token",
});

describe("service accounts", () => {
  it("sign what the token service reads, for the scope that is needed", async () => {
    for (const [readOnly, scope] of [
      [false, "https://www.googleapis.com/auth/devstorage.full_control"],
      [true, "https://www.googleapis.com/auth/devstorage.read_only"],
    ] as const) {
      service.seen.length = 0;
      const provider = gcsJsonCredentials(account(), { readOnly, fetch });
      const { expiresAtMs = 0, token } = await provider.token();
      expect(token).toBe("T1");
      expect(expiresAtMs - Date.now()).toBeGreaterThan(3_500_000);
      await provider.token();
      expect(service.seen.length).toBe(1);
      const form = new URLSearchParams(service.seen[0]?.body.toString());
      expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
      const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
      expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
        iss: "backup@p.iam.gserviceaccount.com",
        scope,
      });
      const signed = Buffer.from(`${head}.${claims}`);
      expect(verify("sha256", signed, publicKey, Buffer.from(signature, "base64url"))).toBe(true);
    }
  });

  it("ask again when a server refused the token, and read the file again", async () => {
    let reads = 0;
    const readText = async (): Promise<string> => {
      reads += 1;
      return JSON.stringify(account());
    };
    const provider = gcsFileCredentials("/key.json", { readText, fetch });
    await provider.token();
    respond = () => given("T2");
    expect((await provider.token()).token).toBe("T1");
    expect((await provider.token({ rejected: "T1" })).token).toBe("T2");
    expect([reads, service.seen.length]).toEqual([2, 2]);
  });

  it("are told apart: refused, wrong clock, no key, no service", async () => {
    const refusal = (error: string, description: string, status = 400): Answer => ({
      status,
      headers: json,
      body: JSON.stringify({ error, error_description: description }),
    });
    const ask = (): Promise<Error & { readonly code: string }> =>
      failure(gcsJsonCredentials(account(), { fetch }).token());
    respond = () => refusal("invalid_grant", "Invalid JWT Signature.");
    const refused = await ask();
    expect(refused.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(refused.message).toContain("Invalid JWT Signature");
    const assertion = new URLSearchParams(service.seen[0]?.body.toString()).get("assertion") ?? "-";
    expect(`${refused.message}${JSON.stringify(refused)}${refused.stack}`).not.toContain(assertion);
    expect(refused.cause).toBeUndefined();
    respond = () =>
      refusal(
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
      );
    expect((await ask()).code).toBe("DM_STORE_CLOCK_SKEWED");
    const noKey = gcsJsonCredentials({ ...account(), private_key: "SECRET" }, { fetch });
    const unreadable = await failure(noKey.token());
    expect(unreadable.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(unreadable.message).not.toContain("SECRET");
    const away = gcsJsonCredentials(account(), {
      fetch: () => globalThis.fetch("http://127.0.0.1:9/token"),
    });
    expect((await failure(away.token())).code).toBe("DM_STORE_UNREACHABLE");
  }, 30_000);
});

describe("workload identity federation", () => {
  it("exchanges the pod's token as the file says", async () => {
    const { mkdtemp, rm, writeFile } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const { join } = await import("node:path");
    const folder = await mkdtemp(join(tmpdir(), "dm-gcs-"));
    const file = join(folder, "token");
    await writeFile(file, "POD-TOKEN");
    respond = () => ({
      status: 200,
      headers: json,
      body: JSON.stringify({
        access_token: "FEDERATED",
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
        token_type: "Bearer",
        expires_in: 3600,
      }),
    });
    const provider = gcsJsonCredentials({
      type: "external_account",
      audience:
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: `${service.url}/v1/token`,
      credential_source: { file },
    });
    expect((await provider.token()).token).toBe("FEDERATED");
    const form = new URLSearchParams(service.seen[0]?.body.toString());
    expect(form.get("subject_token")).toBe("POD-TOKEN");
    await rm(folder, { recursive: true });
    const error = await failure(provider.token({ rejected: "FEDERATED" }));
    expect(error.code).toBe("DM_STORE_CREDENTIALS_MISSING");
  });
});

describe("what is no credentials", () => {
  it("is refused without being quoted", async () => {
    for (const value of [
      null,
      1,
      "SECRET",
      {},
      { type: "gdch_service_account" },
      { type: "external_account", audience: "a" },
    ]) {
      expect(() => gcsJsonCredentials(value)).toThrow(/^(?!.*SECRET).*no credentials of Google/);
    }
    const incomplete = { type: "service_account", private_key: "SECRET" };
    expect(() => gcsJsonCredentials(incomplete)).toThrow(/^(?!.*SECRET).*client_email/);
    const none = gcsFileCredentials("/nowhere/key.json");
    expect((await failure(none.token())).code).toBe("DM_STORE_CREDENTIALS_MISSING");
    const readText = async (): Promise<string> => "{SECRET";
    const broken = await failure(gcsFileCredentials("/key.json", { readText }).token());
    expect([broken.code, broken.message]).toEqual([
      "DM_GCS_CREDENTIALS_INVALID",
      expect.not.stringContaining("SECRET"),
    ]);
  });
});

it("the key of a service account signs URLs as Google wants them", async () => {
  const nowMs = Date.parse("2026-11-25T12:00:00Z");
  const clock = manualClock(BigInt(nowMs) * 1_000_000n);
  const credentials = gcsJsonCredentials(account(), { fetch });
  const store = gcsStore({ bucket: "backups", prefix: "velero/a b/", credentials, clock });
  const url = await store.signedUrl("x.gz", { lifetimeMs: 600_000 });
  const { origin, pathname, search } = new URL(url);
  expect(origin + pathname).toBe("https://storage.googleapis.com/backups/velero/a%20b/x.gz");
  const [query = "", signature = ""] = search.slice(1).split("&X-Goog-Signature=");
  const scope = "20261125/auto/storage/goog4_request";
  expect(Object.fromEntries(new URLSearchParams(query))).toEqual({
    "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
    "X-Goog-Credential": `backup@p.iam.gserviceaccount.com/${scope}`,
    "X-Goog-Date": "20261125T120000Z",
    "X-Goog-Expires": "600",
    "X-Goog-SignedHeaders": "host",
  });
  const request = `GET\n${pathname}\n${query}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD`;
  const digest = createHash("sha256").update(request).digest("hex");
  const text = `GOOG4-RSA-SHA256\n20261125T120000Z\n${scope}\n${digest}`;
  expect(verify("sha256", Buffer.from(text), publicKey, Buffer.from(signature, "hex"))).toBe(true);
  const none = gcsStore({ bucket: "backups" });
  expect((await failure(none.signedUrl("x", { lifetimeMs: 1_000 }))).code).toBe(
    "DM_STORE_OPTION_UNSUPPORTED",
  );
  const broken = gcsJsonCredentials({ ...account(), private_key: "secret words" }, { fetch });
  const refused = await failure(
    gcsStore({ bucket: "backups", credentials: broken }).signedUrl("x", { lifetimeMs: 1_000 }),
  );
  expect(refused.code).toBe("DM_GCS_CREDENTIALS_INVALID");
  expect(refused.message).not.toContain("secret words");
  await Promise.all([store.close(), none.close()]);
});
