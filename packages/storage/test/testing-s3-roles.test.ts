// The server enforces roles: readers, writers that may not delete, keys of one bucket or prefix, temporary keys with their
// tokens and ends, keys that a web identity is exchanged for; and it knows what time it is.
import { createHash } from "node:crypto";
import { AwsClient } from "aws4fetch";
import { afterAll, describe, expect, it } from "vitest";
import {
  type AccessKey,
  readerPermissions,
  startS3Server,
  testAccessKey,
  writerPermissions,
} from "../src/testing/s3.ts";
import {
  presign,
  type RawRequest,
  send,
  sendBytes,
  target,
  texts,
  xmlOf,
} from "./s3-raw-client.ts";

const key = (name: string, more: Partial<AccessKey>): AccessKey => ({
  accessKeyId: name,
  secretAccessKey: `secret of ${name}`,
  ...more,
});
const keys = {
  reader: key("READER", { permissions: readerPermissions }),
  writer: key("WRITER", { permissions: writerPermissions }),
  blind: key("BLIND", { permissions: ["read", "write"] }),
  tenant: key("TENANT", { keyPrefix: "velero/kopia/ns1/" }),
  guest: key("GUEST", { buckets: ["other"] }),
  temporary: key("TEMPORARY", { sessionToken: "token", expiresAtMs: Date.now() + 3600_000 }),
};

describe("roles", async () => {
  const server = await startS3Server({
    accessKeys: [testAccessKey, ...Object.values(keys)],
    buckets: ["roles", "other"],
    roles: [{ roleArn: "arn:aws:iam::1:role/reader", permissions: ["read", "list"] }],
    webIdentities: [
      { token: "identity", roleArn: "arn:aws:iam::1:role/backup", permissions: ["read", "list"] },
    ],
  });
  afterAll(() => server.close());
  await send(server, "PUT", target("roles", "there"), { body: "x" });

  const as = async (
    accessKey: AccessKey,
    method: string,
    path: string,
    options: RawRequest = {},
  ) => {
    const answer = await send(server, method, path, { accessKey, ...options });
    return answer.code ?? answer.status;
  };

  it("a reader lists and reads, and changes nothing", async () => {
    const { reader } = keys;
    expect(await as(reader, "GET", target("roles", "", "list-type=2"))).toBe(200);
    expect(await as(reader, "GET", target("roles", "there"))).toBe(200);
    expect(await as(reader, "GET", target("roles", "missing"))).toBe("NoSuchKey");
    for (const [method, path] of [
      ["PUT", target("roles", "new")],
      ["DELETE", target("roles", "there")],
      ["POST", target("roles", "new", "uploads")],
      ["PUT", target("fresh")],
      ["DELETE", target("other")],
    ] as const)
      expect([method, path, await as(reader, method, path)]).toEqual([
        method,
        path,
        "AccessDenied",
      ]);
    expect(server.bucket("roles").keys).toEqual(["there"]);
  });

  it("a writer puts and reads, and deletes nothing, one by one or in batches", async () => {
    const { writer } = keys;
    expect(await as(writer, "PUT", target("roles", "written"), { body: "y" })).toBe(200);
    expect(await as(writer, "GET", target("roles", "written"))).toBe(200);
    expect(await as(writer, "DELETE", target("roles", "written"))).toBe("AccessDenied");
    const body = "<Delete><Object><Key>written</Key></Object></Delete>";
    const headers = { "content-md5": createHash("md5").update(body).digest("base64") };
    expect(await as(writer, "POST", target("roles", "", "delete"), { body, headers })).toBe(
      "AccessDenied",
    );
    expect(server.bucket("roles").keys).toContain("written");
  });

  it("who may not list does not learn what is missing", async () => {
    const { blind } = keys;
    expect(await as(blind, "GET", target("roles", "there"))).toBe(200);
    expect(await as(blind, "GET", target("roles", "missing"))).toBe("AccessDenied");
    expect(await as(blind, "GET", target("roles", "", "list-type=2"))).toBe("AccessDenied");
  });

  it("a tenant stays under its prefix, also in copies and batches", async () => {
    const { tenant } = keys;
    const own = target("roles", "velero/kopia/ns1/p1");
    expect(await as(tenant, "PUT", own, { body: "mine" })).toBe(200);
    expect(await as(tenant, "GET", target("roles", "there"))).toBe("AccessDenied");
    expect(await as(tenant, "GET", target("roles", "", "list-type=2"))).toBe("AccessDenied");
    expect(
      await as(tenant, "GET", target("roles", "", "list-type=2&prefix=velero/kopia/ns1/")),
    ).toBe(200);
    const headers = { "x-amz-copy-source": "roles/there" };
    expect(await as(tenant, "PUT", own, { headers })).toBe("AccessDenied");
    const body =
      "<Delete><Object><Key>there</Key></Object><Object><Key>velero/kopia/ns1/p1</Key></Object></Delete>";
    const answer = await send(server, "POST", target("roles", "", "delete"), {
      accessKey: tenant,
      body,
      headers: { "content-md5": createHash("md5").update(body).digest("base64") },
    });
    const root = xmlOf(answer, "DeleteResult");
    expect(texts(root, "Error", "Key")).toEqual(["there"]);
    expect(texts(root, "Deleted", "Key")).toEqual(["velero/kopia/ns1/p1"]);
  });

  it("a key of one bucket opens no other, not as the source of a copy either", async () => {
    const { guest } = keys;
    expect(await as(guest, "GET", target("roles", "there"))).toBe("AccessDenied");
    const headers = { "x-amz-copy-source": "roles/there" };
    expect(await as(guest, "PUT", target("other", "stolen"), { headers })).toBe("AccessDenied");
    expect(await as(guest, "PUT", target("other", "own"))).toBe(200);
  });

  it("a temporary key needs its token, and ends; a new one goes on", async () => {
    const { temporary } = keys;
    const path = target("roles", "there");
    expect(await as(temporary, "GET", path)).toBe(200);
    expect(
      (
        await send(server, "GET", presign(server, "GET", path, { accessKey: temporary }), {
          anonymous: true,
        })
      ).text,
    ).toBe("x");
    const { sessionToken: _token, ...bare } = temporary;
    expect(await as(bare, "GET", path)).toBe("InvalidToken");
    expect(await as({ ...temporary, sessionToken: "other" }, "GET", path)).toBe("InvalidToken");
    server.setAccessKey({ ...temporary, expiresAtMs: Date.now() - 1 });
    const expired = await send(server, "GET", path, { accessKey: temporary });
    expect([expired.status, expired.code]).toEqual([400, "ExpiredToken"]);
    expect(expired.text).toContain("The provided token has expired");
    const renewed = { ...temporary, sessionToken: "renewed" };
    server.setAccessKey(renewed);
    expect(await as(renewed, "GET", path)).toBe(200);
    server.removeAccessKey(temporary.accessKeyId);
    expect(await as(renewed, "GET", path)).toBe("InvalidAccessKeyId");
  });

  it("a clock that is wrong is told the right time", async () => {
    const path = target("roles", "there");
    const answer = await send(server, "GET", path, { dateMs: Date.now() - 3600_000 });
    expect([answer.status, answer.code]).toEqual([403, "RequestTimeTooSkewed"]);
    expect(Math.abs(Date.parse(answer.headers.date ?? "") - Date.now())).toBeLessThan(10_000);
    server.clockOffsetMs = 3600_000;
    const behind = await send(server, "GET", path);
    expect(behind.code).toBe("RequestTimeTooSkewed");
    expect(Math.abs(Date.parse(behind.headers.date ?? "") - Date.now() - 3600_000)).toBeLessThan(
      10_000,
    );
    expect((await send(server, "GET", path, { dateMs: Date.now() + 3600_000 })).status).toBe(200);
    server.clockOffsetMs = 0;
  });

  it("a web identity is exchanged for a temporary key", async () => {
    const exchange = (fields: Record<string, string>) =>
      sendBytes(
        server,
        "POST",
        "/",
        { host: server.endpoint, "content-type": "application/x-www-form-urlencoded" },
        Buffer.from(
          String(
            new URLSearchParams({
              Action: "AssumeRoleWithWebIdentity",
              Version: "2011-06-15",
              ...fields,
            }),
          ),
        ),
      );
    const right = {
      WebIdentityToken: "identity",
      RoleArn: "arn:aws:iam::1:role/backup",
      RoleSessionName: "s",
    };
    const answer = await exchange({ ...right, DurationSeconds: "900" });
    expect(answer.status).toBe(200);
    const of = (name: string): string =>
      texts(
        xmlOf(answer, "AssumeRoleWithWebIdentityResponse"),
        "AssumeRoleWithWebIdentityResult",
        "Credentials",
        name,
      )[0] ?? "";
    const given: AccessKey = {
      accessKeyId: of("AccessKeyId"),
      secretAccessKey: of("SecretAccessKey"),
      sessionToken: of("SessionToken"),
    };
    expect(Date.parse(of("Expiration")) - Date.now()).toBeGreaterThan(800_000);
    expect(await as(given, "GET", target("roles", "there"))).toBe(200);
    expect(await as(given, "PUT", target("roles", "new"))).toBe("AccessDenied");
    server.clockOffsetMs = 901_000;
    expect(await as(given, "GET", target("roles", "there"), { dateMs: Date.now() + 901_000 })).toBe(
      "ExpiredToken",
    );
    server.clockOffsetMs = 0;
    expect((await exchange({ ...right, WebIdentityToken: "forged" })).text).toContain(
      "InvalidIdentityToken",
    );
    expect((await exchange({ ...right, RoleArn: "another" })).text).toContain(
      "InvalidIdentityToken",
    );
    expect((await exchange({ ...right, Action: "GetSessionToken" })).text).toContain(
      "InvalidAction",
    );
  });

  it("a role is taken on with the signature of a key", async () => {
    const { accessKeyId, secretAccessKey } = server.accessKey;
    const assume = (roleArn: string, secret: string) =>
      new AwsClient({
        accessKeyId,
        secretAccessKey: secret,
        service: "sts",
        region: "us-east-1",
      }).fetch(server.url, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: String(
          new URLSearchParams({ Action: "AssumeRole", RoleArn: roleArn, RoleSessionName: "s" }),
        ),
      });
    const answer = await (await assume("arn:aws:iam::1:role/reader", secretAccessKey)).text();
    const of = (name: string): string =>
      new RegExp(`<${name}>([^<]+)</${name}>`).exec(answer)?.[1] ?? "";
    const given: AccessKey = {
      accessKeyId: of("AccessKeyId"),
      secretAccessKey: of("SecretAccessKey"),
      sessionToken: of("SessionToken"),
    };
    expect(await as(given, "GET", target("roles", "there"))).toBe(200);
    expect(await as(given, "PUT", target("roles", "new"))).toBe("AccessDenied");
    expect((await assume("arn:aws:iam::1:role/admin", secretAccessKey)).status).toBe(403);
    const forged = await assume("arn:aws:iam::1:role/reader", "wrong");
    expect([forged.status, await forged.text()]).toEqual([
      403,
      expect.stringContaining("SignatureDoesNotMatch"),
    ]);
  });
});
