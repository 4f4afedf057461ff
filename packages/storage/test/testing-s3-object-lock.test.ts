// Object lock keeps what it says: under governance and compliance, under a legal hold, by the default of the bucket; it can
// be extended, loosened only by who may, and ends with the server's clock. Deletion without a version is always possible.
import { createHash } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { startS3Server, testAccessKey, writerPermissions } from "../src/testing/s3.ts";
import { type RawRequest, send, target, texts, xmlOf } from "./s3-raw-client.ts";

const hourMs = 3600_000;
const md5 = (body: string): Record<string, string> => ({
  "content-md5": createHash("md5").update(body).digest("base64"),
});

describe("object lock", async () => {
  const writer = {
    accessKeyId: "WRITER",
    secretAccessKey: "writer-secret",
    permissions: writerPermissions,
  };
  const server = await startS3Server({
    accessKeys: [testAccessKey, writer],
    buckets: [
      { name: "locked", objectLock: true },
      { name: "usual", objectLock: true, defaultRetention: { mode: "COMPLIANCE", days: 2 } },
      "free",
    ],
  });
  afterAll(() => server.close());
  const now = (): number => Date.now() + server.clockOffsetMs;
  const later = (ms: number): string => new Date(now() + ms).toISOString();
  const call = (method: string, path: string, options: RawRequest = {}) =>
    send(server, method, path, { dateMs: now(), ...options });
  const lock = (mode: string, ms: number): Record<string, string> => ({
    "x-amz-object-lock-mode": mode,
    "x-amz-object-lock-retain-until-date": later(ms),
  });
  const put = async (key: string, headers: Record<string, string>, bucket = "locked") => {
    const answer = await call("PUT", target(bucket, key), {
      body: key,
      headers: { ...md5(key), ...headers },
    });
    return { code: answer.code, version: String(answer.headers["x-amz-version-id"]) };
  };
  const remove = async (key: string, version: string, headers: Record<string, string> = {}) => {
    const answer = await call("DELETE", target("locked", key, `versionId=${version}`), { headers });
    return answer.code ?? answer.status;
  };
  const bypass = { "x-amz-bypass-governance-retention": "true" };
  const retain = async (
    key: string,
    version: string,
    lockOf: readonly [mode: string, ms: number] | undefined,
    headers: Record<string, string> = {},
  ) => {
    const inner = lockOf
      ? `<Mode>${lockOf[0]}</Mode><RetainUntilDate>${later(lockOf[1])}</RetainUntilDate>`
      : "";
    const body = `<Retention>${inner}</Retention>`;
    const path = target("locked", key, `retention&versionId=${version}`);
    const answer = await call("PUT", path, { body, headers: { ...md5(body), ...headers } });
    return answer.code ?? answer.status;
  };

  it("a put under governance cannot be deleted, but by who may go past it", async () => {
    const { version } = await put("governed", lock("GOVERNANCE", hourMs));
    expect(await remove("governed", version)).toBe("AccessDenied");
    const head = await call("HEAD", target("locked", "governed"));
    expect(head.headers["x-amz-object-lock-mode"]).toBe("GOVERNANCE");
    const asWriter = await call("DELETE", target("locked", "governed", `versionId=${version}`), {
      accessKey: { ...writer },
      headers: bypass,
    });
    expect(asWriter.code).toBe("AccessDenied");
    expect(await remove("governed", version, bypass)).toBe(204);
  });

  it("a put under compliance cannot be deleted by anybody until its time is over", async () => {
    const { version } = await put("compliant", lock("COMPLIANCE", hourMs));
    expect(await remove("compliant", version, bypass)).toBe("AccessDenied");
    server.clockOffsetMs = hourMs + 1000;
    expect(await remove("compliant", version)).toBe(204);
    server.clockOffsetMs = 0;
  });

  it("a locked object can be marked as deleted and replaced; its version stays", async () => {
    const { version } = await put("kept", lock("COMPLIANCE", hourMs));
    const marked = await call("DELETE", target("locked", "kept"));
    expect([marked.status, marked.headers["x-amz-delete-marker"]]).toEqual([204, "true"]);
    await put("kept", {});
    const old = await call("GET", target("locked", "kept", `versionId=${version}`));
    expect(old.text).toBe("kept");
    const batch = `<Delete><Object><Key>kept</Key><VersionId>${version}</VersionId></Object></Delete>`;
    const answer = await call("POST", target("locked", "", "delete"), {
      body: batch,
      headers: md5(batch),
    });
    expect(texts(xmlOf(answer, "DeleteResult"), "Error", "Code")).toEqual(["AccessDenied"]);
  });

  it("retention is read and extended; shortened only under governance, by who may", async () => {
    const { version } = await put("extended", lock("GOVERNANCE", hourMs));
    const read = async () => {
      const answer = await call("GET", target("locked", "extended", "retention"));
      const root = xmlOf(answer, "Retention");
      return [
        texts(root, "Mode")[0],
        Math.round((Date.parse(texts(root, "RetainUntilDate")[0] ?? "") - now()) / hourMs),
      ];
    };
    expect(await read()).toEqual(["GOVERNANCE", 1]);
    expect(await retain("extended", version, ["GOVERNANCE", 3 * hourMs])).toBe(200);
    expect(await read()).toEqual(["GOVERNANCE", 3]);
    expect(await retain("extended", version, ["GOVERNANCE", 2 * hourMs])).toBe("AccessDenied");
    expect(await retain("extended", version, undefined)).toBe("AccessDenied");
    expect(await retain("extended", version, ["GOVERNANCE", 2 * hourMs], bypass)).toBe(200);
    expect(await retain("extended", version, ["COMPLIANCE", 3 * hourMs])).toBe(200);
    expect(await retain("extended", version, ["GOVERNANCE", 4 * hourMs], bypass)).toBe(
      "AccessDenied",
    );
    expect(await retain("extended", version, ["COMPLIANCE", 2 * hourMs], bypass)).toBe(
      "AccessDenied",
    );
    expect(await retain("extended", version, undefined, bypass)).toBe("AccessDenied");
    expect(await retain("extended", version, ["COMPLIANCE", 5 * hourMs])).toBe(200);
    expect(await read()).toEqual(["COMPLIANCE", 5]);
  });

  it("a legal hold keeps without an end, and is taken away", async () => {
    const { version } = await put("held", { "x-amz-object-lock-legal-hold": "ON" });
    expect(await remove("held", version, bypass)).toBe("AccessDenied");
    const body = "<LegalHold><Status>OFF</Status></LegalHold>";
    const path = target("locked", "held", "legal-hold");
    expect((await call("PUT", path, { body, headers: md5(body) })).status).toBe(200);
    expect(texts(xmlOf(await call("GET", path), "LegalHold"), "Status")).toEqual(["OFF"]);
    expect(await remove("held", version)).toBe(204);
  });

  it("the bucket's default applies to puts that say nothing", async () => {
    const { version } = await put("defaulted", {}, "usual");
    const [stored] = server.bucket("usual").versions("defaulted");
    expect(stored?.retention?.mode).toBe("COMPLIANCE");
    expect(Math.round(((stored?.retention?.untilMs ?? 0) - now()) / hourMs)).toBe(48);
    const path = target("usual", "defaulted", `versionId=${version}`);
    expect((await call("DELETE", path)).code).toBe("AccessDenied");
    const read = await call("GET", target("usual", "", "object-lock"));
    const root = xmlOf(read, "ObjectLockConfiguration");
    expect(texts(root, "Rule", "DefaultRetention", "Days")).toEqual(["2"]);
    const body =
      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>";
    const write = await call("PUT", target("usual", "", "object-lock"), {
      body,
      headers: md5(body),
    });
    expect(write.status).toBe(200);
    await put("governed", {}, "usual");
    expect(server.bucket("usual").versions("governed")[0]?.retention?.mode).toBe("GOVERNANCE");
  });

  it.each<[string, string, Record<string, string>, string]>([
    ["a bucket without object lock", "free", lock("GOVERNANCE", hourMs), "InvalidRequest"],
    [
      "a mode without a time",
      "locked",
      { "x-amz-object-lock-mode": "GOVERNANCE" },
      "InvalidArgument",
    ],
    ["an unknown mode", "locked", lock("FOREVER", hourMs), "InvalidArgument"],
    ["a time in the past", "locked", lock("GOVERNANCE", -hourMs), "InvalidArgument"],
    [
      "a time that is none",
      "locked",
      { ...lock("GOVERNANCE", 1), "x-amz-object-lock-retain-until-date": "soon" },
      "InvalidArgument",
    ],
    ["an unknown hold", "locked", { "x-amz-object-lock-legal-hold": "MAYBE" }, "InvalidArgument"],
  ])("%s is refused", async (_name, bucket, headers, code) => {
    expect((await put("refused", headers, bucket)).code).toBe(code);
    expect(server.bucket(bucket).versions("refused")).toEqual([]);
  });

  it("a put under retention must carry a digest, as kopia's do", async () => {
    const answer = await call("PUT", target("locked", "bare"), {
      body: "x",
      headers: lock("GOVERNANCE", hourMs),
    });
    expect(answer.code).toBe("InvalidRequest");
  });

  it("versions of a locked bucket cannot be suspended; what was never locked has no retention", async () => {
    const body = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    const answer = await call("PUT", target("locked", "", "versioning"), { body });
    expect(answer.code).toBe("InvalidBucketState");
    await put("plain", {});
    const plain = await call("GET", target("locked", "plain", "retention"));
    expect(plain.code).toBe("NoSuchObjectLockConfiguration");
    const free = await call("GET", target("free", "", "object-lock"));
    expect(free.code).toBe("ObjectLockConfigurationNotFoundError");
  });
});
