// Kopia's connection JSON: what it holds opens the same store, what is written has Kopia's members in Kopia's order, what is
// wrong is named without its value.
import { describe, expect, it } from "vitest";
import { decodeS3Config, encodeS3Config, s3StoreOptions } from "../src/s3.ts";
import { selfSignedCertificate } from "../src/testing/s3.ts";

const least = { bucket: "b1b", endpoint: "s3.amazonaws.com" };
const invalid = (value: unknown): string => {
  try {
    decodeS3Config(value);
  } catch (error) {
    expect(error).toMatchObject({ code: "DM_STORE_CONFIG_INVALID", name: "FormatError" });
    return String(error);
  }
  throw new Error("it was accepted");
};

describe("encodeS3Config", () => {
  it("writes empty members as Kopia does, in its order, and keeps what it does not know", () => {
    const given = {
      region: "eu-west-1",
      pointInTime: "2026-01-02T03:04:05Z",
      readsPerSecond: 5,
      later: { a: 1 },
      secretAccessKey: "s",
      accessKeyID: "k",
      doNotUseTLS: false,
      prefix: "",
      ...least,
    };
    expect(JSON.stringify(encodeS3Config(given))).toBe(
      '{"bucket":"b1b","endpoint":"s3.amazonaws.com","accessKeyID":"k","secretAccessKey":"s","sessionToken":"",' +
        '"roleARN":"","sessionName":"","duration":"0s","roleEndpoint":"","roleRegion":"","region":"eu-west-1",' +
        '"readsPerSecond":5,"later":{"a":1},"pointInTime":"2026-01-02T03:04:05Z"}',
    );
  });
  it("is stable", () => {
    const once = encodeS3Config(least);
    expect(JSON.stringify(encodeS3Config(decodeS3Config(once)))).toBe(JSON.stringify(once));
  });
});

describe("decodeS3Config", () => {
  it.each([
    [null, "no object"],
    [{ endpoint: "x" }, "bucket"],
    [{ bucket: "x" }, "endpoint"],
    [{ ...least, doNotUseTLS: "yes" }, "doNotUseTLS"],
    [{ ...least, secretAccessKey: 12345 }, "secretAccessKey"],
    [{ ...least, duration: "soon" }, "duration"],
    [{ ...least, rootCA: "bm90IGEgY2VydGlmaWNhdGU=" }, "rootCA"],
    [{ ...least, rootCA: "***" }, "rootCA"],
    [{ ...least, pointInTime: "yesterday" }, "pointInTime"],
    [{ ...least, pointInTime: "2026-01-02T03:04:05" }, "pointInTime"],
    [{ ...least, pointInTime: "2026-01-02T03:04Z" }, "pointInTime"],
  ])("refuses %j", (value, name) => {
    const message = invalid(value);
    expect(message).toContain(name);
    expect(message).not.toContain("12345");
  });
});

describe("s3StoreOptions", () => {
  it("opens what the connection says", async () => {
    const { cert } = selfSignedCertificate();
    const options = s3StoreOptions({
      ...least,
      prefix: "velero/kopia/shop/",
      doNotUseTLS: true,
      doNotVerifyTLS: true,
      rootCA: Buffer.from(cert).toString("base64"),
      accessKeyID: "k",
      secretAccessKey: "s",
      sessionToken: "t",
      region: "rack1",
      pointInTime: "2026-01-02T03:04:05Z",
    });
    expect(options).toMatchObject({
      endpoint: "s3.amazonaws.com",
      bucket: "b1b",
      prefix: "velero/kopia/shop/",
      tls: false,
      verifyTls: false,
      rootCa: cert,
      region: "rack1",
      pointInTime: new Date("2026-01-02T03:04:05Z"),
    });
    expect(await options.credentials?.credentials()).toEqual({
      accessKeyId: "k",
      secretAccessKey: "s",
      sessionToken: "t",
    });
  });

  it("takes the environment's keys only where the connection has none", async () => {
    const environment = { AWS_ACCESS_KEY_ID: "env", AWS_SECRET_ACCESS_KEY: "e" };
    const from = async (config: object): Promise<string | undefined> => {
      const { credentials } = s3StoreOptions({ ...least, ...config }, { environment });
      return (await credentials?.credentials())?.accessKeyId;
    };
    expect(await from({})).toBe("env");
    expect(await from({ accessKeyID: "k", secretAccessKey: "s" })).toBe("k");
  });

  it("takes a role by a web identity or by keys, and asks where it is told to", async () => {
    const asked: Array<[string, Record<string, string>]> = [];
    const transport = {
      async send({ body, url }: { body?: Uint8Array | undefined; url: string }) {
        const form = new URLSearchParams(new TextDecoder().decode(body));
        asked.push([url, Object.fromEntries(form)]);
        const text = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        return { status: 403, header: () => undefined, body: new TextEncoder().encode(text) };
      },
      async close() {},
    };
    const role = {
      ...least,
      roleARN: "arn:aws:iam::1:role/r",
      roleEndpoint: "https://sts.example.com",
      duration: "1h0m0s",
      sessionName: "n",
    };
    const readText = async (path: string): Promise<string> => `from ${path}`;
    for (const config of [
      { ...role, webIdentityTokenFile: "/token", webIdentityToken: "inline" },
      { ...role, webIdentityToken: "inline" },
      { ...role, accessKeyID: "k", secretAccessKey: "s" },
    ]) {
      const { credentials } = s3StoreOptions(config, { environment: {}, readText, transport });
      await expect(credentials?.credentials()).rejects.toMatchObject({
        code: "DM_STORE_CREDENTIALS_INVALID",
      });
    }
    expect(asked.map(([url]) => url)).toEqual(Array(3).fill("https://sts.example.com/"));
    expect(
      asked.map(([, form]) => [form.Action, form.WebIdentityToken, form.DurationSeconds]),
    ).toEqual([
      ["AssumeRoleWithWebIdentity", "from /token", "3600"],
      ["AssumeRoleWithWebIdentity", "inline", "3600"],
      ["AssumeRole", undefined, "3600"],
    ]);
  });
});
