// Where credentials come from, when they are read again, and that none of it shows a secret. Files are texts here; the token
// service is that of our test server, which gives out keys that it then asks for.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import { describe, expect, it } from "vitest";
import { parseProfiles } from "../src/s3/credentials-file.ts";
import {
  assumeRoleCredentials,
  defaultCredentials,
  environmentCredentials,
  fileCredentials,
  firstCredentials,
  type HttpRequest,
  type HttpTransport,
  refreshingCredentials,
  type S3Credentials,
  s3Store,
  s3StoreOptions,
  staticCredentials,
  webIdentityCredentials,
} from "../src/s3.ts";
import { selfSignedCertificate, startS3Server } from "../src/testing/s3.ts";

const missing = { code: "DM_STORE_CREDENTIALS_MISSING", name: "AccessError" };
const key = (name: string, expiresAtMs?: number): S3Credentials => ({
  accessKeyId: name,
  secretAccessKey: `secret-${name}`,
  ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
});

describe("given and from the environment", () => {
  it("are what was given, or missing", async () => {
    expect(await staticCredentials(key("A")).credentials()).toEqual(key("A"));
    const empty = staticCredentials({ accessKeyId: "", secretAccessKey: "" });
    await expect(empty.credentials()).rejects.toMatchObject(missing);
    const environment: Record<string, string> = { AWS_ACCESS_KEY_ID: "A" };
    const provider = environmentCredentials(environment);
    await expect(provider.credentials()).rejects.toMatchObject(missing);
    environment.AWS_SECRET_ACCESS_KEY = "secret-A";
    expect(await provider.credentials()).toEqual(key("A"));
    environment.AWS_SESSION_TOKEN = "t";
    expect(await provider.credentials()).toEqual({ ...key("A"), sessionToken: "t" });
  });

  it("the first place that has some wins, and all places are named when none has", async () => {
    const nowhere = environmentCredentials({});
    const chain = firstCredentials(
      nowhere,
      staticCredentials(key("B")),
      staticCredentials(key("C")),
    );
    expect(await chain.credentials()).toEqual(key("B"));
    const readText = async (): Promise<string> => {
      throw Object.assign(new Error("no"), { code: "ENOENT" });
    };
    const nobody = defaultCredentials({ environment: { HOME: "/home/me" }, readText });
    await expect(nobody.credentials()).rejects.toThrow(
      /^no credentials: AWS_ACCESS_KEY_ID(?!.*no credentials:).*\.aws\/credentials/,
    );
  });
});

describe("refreshingCredentials", () => {
  it("loads once for many, and again five minutes before the end", async () => {
    const clock = manualClock(0n);
    let loads = 0;
    const load = async (): Promise<S3Credentials> => key(`K${++loads}`, loads * 3_600_000);
    const provider = refreshingCredentials(load, { clock });
    await Promise.all(Array.from({ length: 10 }, () => provider.credentials()));
    expect(loads).toBe(1);
    clock.advance(54 * 60_000);
    expect((await provider.credentials()).accessKeyId).toBe("K1");
    clock.advance(2 * 60_000);
    expect((await provider.credentials()).accessKeyId).toBe("K2");
    expect(loads).toBe(2);
  });

  it("loads again when what it gave is refused, but not when something older is", async () => {
    let loads = 0;
    const provider = refreshingCredentials(async () => key(`K${++loads}`));
    const first = await provider.credentials();
    const [second] = await Promise.all([
      provider.credentials({ rejected: first }),
      provider.credentials({ rejected: first }),
    ]);
    expect([second.accessKeyId, loads]).toEqual(["K2", 2]);
    // A request that was sent with the first is refused late.
    expect((await provider.credentials({ rejected: first })).accessKeyId).toBe("K2");
    expect(loads).toBe(2);
  });

  it("goes on with the old ones while they hold and a renewal fails", async () => {
    const clock = manualClock(0n);
    let fails = false;
    let loads = 0;
    const provider = refreshingCredentials(
      async () => {
        loads += 1;
        if (fails) throw new Error("token service is away");
        return key("K", 3_600_000);
      },
      { clock },
    );
    const first = await provider.credentials();
    fails = true;
    clock.advance(58 * 60_000);
    expect(await provider.credentials()).toEqual(first);
    expect(await provider.credentials()).toEqual(first);
    expect(loads).toBe(2);
    clock.advance(31_000);
    expect(await provider.credentials()).toEqual(first);
    expect(loads).toBe(3);
    await expect(provider.credentials({ rejected: first })).rejects.toThrow("away");
    clock.advance(3 * 60_000);
    await expect(provider.credentials()).rejects.toThrow("away");
  });
});

describe("credentials files", () => {
  const text = [
    "# of the cluster",
    "[default]",
    "aws_access_key_id = AKIADEFAULT",
    "aws_secret_access_key=a/b+c=d==",
    "s3 =",
    "  max_concurrent_requests = 20",
    "  aws_access_key_id = nested",
    "region = eu-west-1",
    "",
    "[profile backup]",
    "  AWS_ACCESS_KEY_ID = AKIABACKUP\r",
    "  aws_secret_access_key = s\r",
    "  aws_session_token = token",
    "; end",
    "[empty]",
  ].join("\n");

  it("are read by sections, also indented, with CRLF, and past nested settings", () => {
    const profiles = parseProfiles(text);
    expect([...profiles.keys()]).toEqual(["default", "backup", "empty"]);
    expect(Object.fromEntries(profiles.get("default") ?? [])).toEqual({
      aws_access_key_id: "AKIADEFAULT",
      aws_secret_access_key: "a/b+c=d==",
      s3: "",
      region: "eu-west-1",
    });
  });

  it("give the profile that is named, or the environment names", async () => {
    const options = { path: "/secret/cloud", readText: async () => text };
    expect((await fileCredentials(options).credentials()).accessKeyId).toBe("AKIADEFAULT");
    const backup = { accessKeyId: "AKIABACKUP", secretAccessKey: "s", sessionToken: "token" };
    expect(await fileCredentials({ ...options, profile: "backup" }).credentials()).toEqual(backup);
    const environment = { AWS_PROFILE: "backup" };
    expect(await fileCredentials({ ...options, environment }).credentials()).toEqual(backup);
    for (const profile of ["empty", "none"]) {
      const error = await fileCredentials({ ...options, profile })
        .credentials()
        .catch((caught: unknown) => caught);
      expect(error).toMatchObject(missing);
      expect(String(error)).toContain("/secret/cloud");
      expect(String(error)).not.toContain("a/b+c");
    }
  });

  it("are read again from the disk when a server refuses what they said", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dm-credentials-"));
    try {
      const path = join(folder, "cloud");
      const write = (name: string): Promise<void> =>
        writeFile(
          path,
          `[default]\naws_access_key_id=${name}\naws_secret_access_key=secret-${name}\n`,
        );
      await write("OLD");
      await using server = await startS3Server({ buckets: ["b1b"], accessKeys: [key("OLD")] });
      const credentials = fileCredentials({ path, environment: {} });
      const store = s3Store({ endpoint: server.url, bucket: "b1b", credentials });
      await store.put("x", new Uint8Array(3));
      server.setAccessKey(key("NEW"));
      server.removeAccessKey("OLD");
      await write("NEW");
      expect((await store.get("x")).length).toBe(3);
      await store.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("roles", () => {
  const roleArn = "arn:aws:iam::123456789012:role/backup";

  it("are taken with the token of a service account, which is read anew each time", async () => {
    const webIdentities = [
      { token: "jwt-1", roleArn },
      { token: "jwt-2", roleArn },
    ];
    await using server = await startS3Server({ buckets: ["b1b"], webIdentities });
    const tokens = [" jwt-1\n", "jwt-2"];
    let reads = 0;
    const credentials = webIdentityCredentials({
      roleArn,
      endpoint: server.url,
      token: async () => tokens[reads++] ?? "",
    });
    const store = s3Store({ endpoint: server.url, bucket: "b1b", credentials });
    await store.put("x", new Uint8Array(3));
    expect(reads).toBe(1);
    const given = await credentials.credentials();
    expect(given.sessionToken).toBeTruthy();
    expect(given.expiresAtMs).toBeGreaterThan(Date.now());
    server.removeAccessKey(given.accessKeyId);
    expect((await store.get("x")).length).toBe(3);
    expect(reads).toBe(2);
    await store.close();
  });

  it("come from a service of one's own by the authority of the store", async () => {
    const tls = selfSignedCertificate();
    const webIdentities = [{ token: "jwt", roleArn }];
    await using server = await startS3Server({ buckets: ["b1b"], webIdentities, tls });
    const { endpoint } = server;
    const connection = {
      ...{ bucket: "b1b", endpoint, roleARN: roleArn, roleEndpoint: server.url },
      ...{ webIdentityToken: "jwt", rootCA: Buffer.from(tls.cert).toString("base64") },
    };
    const store = s3Store(s3StoreOptions(connection));
    await store.put("x", new Uint8Array(3));
    await store.close();
    const untrusting = s3Store({
      ...s3StoreOptions({ ...connection, rootCA: "" }),
      retries: { attempts: 1 },
    });
    await expect(untrusting.stat("x")).rejects.toMatchObject({ code: "DM_STORE_TLS_UNTRUSTED" });
    await untrusting.close();
  });

  it("do not keep an abort waiting", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    const asked = Promise.withResolvers<void>();
    const credentials = {
      credentials() {
        asked.resolve();
        return new Promise<never>(() => {});
      },
    };
    const store = s3Store({ endpoint: "http://127.0.0.1:1", bucket: "b1b", credentials });
    const read = store.get("x", { signal: stop.signal });
    await asked.promise;
    stop.abort(reason);
    await expect(read).rejects.toBe(reason);
  });

  it("are found by the variables of a pod, and by a profile of OpenShift's STS mode", async () => {
    const webIdentities = [{ token: "jwt", roleArn }];
    await using server = await startS3Server({ buckets: ["b1b"], webIdentities });
    // Both ask AWS's own service: here its place is taken by the test server.
    const asked: string[] = [];
    const transport: HttpTransport = {
      async send(request: HttpRequest) {
        asked.push(request.url);
        const { body, headers } = request;
        const response = await fetch(server.url, {
          method: "POST",
          headers,
          body: body as Uint8Array<ArrayBuffer>,
        });
        const bytes = new Uint8Array(await response.arrayBuffer());
        return { status: response.status, header: () => undefined, body: bytes };
      },
      async close() {},
    };
    const files = new Map([
      ["/var/run/token", "jwt"],
      ["/cloud", `[default]\nrole_arn = ${roleArn}\nweb_identity_token_file = /var/run/token\n`],
    ]);
    const readText = async (path: string): Promise<string> => files.get(path) ?? "";
    const environment = {
      AWS_ROLE_ARN: roleArn,
      AWS_WEB_IDENTITY_TOKEN_FILE: "/var/run/token",
      AWS_REGION: "eu-west-1",
    };
    const pod = defaultCredentials({ environment, readText, transport });
    expect((await pod.credentials()).sessionToken).toBeTruthy();
    const file = fileCredentials({ path: "/cloud", environment: {}, readText, transport });
    expect((await file.credentials()).sessionToken).toBeTruthy();
    expect(asked).toEqual(["https://sts.eu-west-1.amazonaws.com/", "https://sts.amazonaws.com/"]);
  });

  it("that are refused say so, without the token", async () => {
    await using server = await startS3Server({ webIdentities: [{ token: "right", roleArn }] });
    const token = async (): Promise<string> => "wrong-token";
    const provider = webIdentityCredentials({ roleArn, endpoint: server.url, token });
    const error = await provider.credentials().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "DM_STORE_CREDENTIALS_INVALID", name: "AccessError" });
    expect(String(error)).toContain(roleArn);
    expect(`${(error as Error).stack}${JSON.stringify(error)}`).not.toContain("wrong-token");
    const unread = webIdentityCredentials({
      roleArn,
      token: async () => {
        throw Object.assign(new Error("no"), { code: "EACCES" });
      },
    });
    await expect(unread.credentials()).rejects.toMatchObject(missing);
  });

  it("are taken with own keys, by a request that these sign", async () => {
    const requests: HttpRequest[] = [];
    const answer =
      "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>" +
      "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>" +
      "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    const provider = assumeRoleCredentials({
      roleArn,
      sessionName: "nightly",
      durationSeconds: 900,
      source: staticCredentials(key("A")),
      clock: manualClock(BigInt(Date.parse("2026-01-01T00:00:00Z")) * 1_000_000n),
      environment: {},
      transport: {
        async send(request) {
          requests.push(request);
          const body = new TextEncoder().encode(answer);
          return { status: 200, header: () => undefined, body };
        },
        async close() {},
      },
    });
    expect(await provider.credentials()).toEqual({
      accessKeyId: "ASIA",
      secretAccessKey: "s",
      sessionToken: "t",
      expiresAtMs: Date.parse("2099-01-01T00:00:00Z"),
    });
    const form = new URLSearchParams(new TextDecoder().decode(requests[0]?.body));
    expect(Object.fromEntries(form)).toEqual({
      Action: "AssumeRole",
      DurationSeconds: "900",
      RoleArn: roleArn,
      RoleSessionName: "nightly",
      Version: "2011-06-15",
    });
    expect(requests[0]?.headers.authorization).toMatch(
      /Credential=A\/20260101\/us-east-1\/sts\/aws4_request/,
    );
  });
});
