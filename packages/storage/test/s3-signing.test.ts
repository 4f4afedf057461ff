// Signatures agree with the published examples of S3's documentation (2013-05-24, key AKIAIOSFODNN7EXAMPLE); keys and
// queries are encoded so that what is signed is what is sent.

import { describe, expect, it } from "vitest";
import { encodeComponent, encodeQuery } from "../src/http/percent-encoding.ts";
import { signRequest } from "../src/s3/signing.ts";

const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const context = {
  credentials,
  region: "us-east-1",
  service: "s3",
  nowMs: Date.parse("2013-05-24T00:00:00Z"),
};
const host = "https://examplebucket.s3.amazonaws.com";
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("Signature Version 4", () => {
  it.each([
    [
      "a put with a date and a storage class",
      "PUT",
      "/test%24file.text",
      {
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      },
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ],
    [
      "a query without a value",
      "GET",
      "/?lifecycle=",
      { "x-amz-content-sha256": emptyDigest },
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ],
    [
      "a list with two parameters",
      "GET",
      "/?max-keys=2&prefix=J",
      { "x-amz-content-sha256": emptyDigest },
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
  ])("%s", async (_name, method, path, headers, signature) => {
    const signed = await signRequest({ method, url: host + path, headers }, context);
    expect(signed.headers.authorization).toContain(
      "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ",
    );
    expect(signed.headers.authorization?.split("Signature=")[1]).toBe(signature);
    expect(signed.headers["x-amz-date"]).toBe("20130524T000000Z");
    expect(signed.url).toBe(host + path);
  });

  it.each([
    ["session token", { sessionToken: "TOKEN-\nSECRET" }],
    ["session token", { sessionToken: "TOKEN\u20acSECRET" }],
    ["access key id", { accessKeyId: "AKIA\rSECRET" }],
  ])("refuses a %s that no header can carry, without quoting it", async (what, wrong) => {
    const session = { ...context, credentials: { ...credentials, ...wrong } };
    const signing = signRequest({ method: "GET", url: `${host}/x`, headers: {} }, session);
    await expect(signing).rejects.toMatchObject({
      code: "DM_STORE_CREDENTIALS_INVALID",
      message: expect.stringMatching(new RegExp(`^(?!.*(?:TOKEN|SECRET)).*${what}`)),
    });
  });

  it("carries the token of a session, signed", async () => {
    const session = { ...context, credentials: { ...credentials, sessionToken: "token" } };
    const request = { method: "GET", url: `${host}/x`, headers: {} };
    const { headers } = await signRequest(request, session);
    expect(headers["x-amz-security-token"]).toBe("token");
    expect(headers.authorization).toMatch(/SignedHeaders=[a-z0-9;-]*x-amz-security-token/);
  });

  it("covers the digest of the body and the conditions, but not what proxies may change", async () => {
    const names = ["content-md5", "if-none-match", "x-amz-object-lock-mode", "range"];
    const headers = Object.fromEntries(names.map((name) => [name, "x"]));
    const signed = await signRequest({ method: "PUT", url: `${host}/x`, headers }, context);
    const covered = /SignedHeaders=([^,]*)/.exec(signed.headers.authorization ?? "")?.[1];
    expect(covered?.split(";")).toEqual([
      "content-md5",
      "host",
      "if-none-match",
      "x-amz-content-sha256",
      "x-amz-date",
      "x-amz-object-lock-mode",
    ]);
  });

  it("is made anew for other credentials, days and regions", async () => {
    const request = { method: "GET", url: `${host}/x`, headers: {} };
    const seen = new Set<string | undefined>();
    for (let day = 0; day < 12; day++) {
      for (const region of ["us-east-1", "eu-west-1"]) {
        const nowMs = context.nowMs + day * 86_400_000;
        seen.add((await signRequest(request, { ...context, region, nowMs })).headers.authorization);
      }
    }
    expect(seen.size).toBe(24);
  });
});

describe("encoding", () => {
  it("leaves letters, digits and -_.~ alone", () => {
    expect(encodeComponent("aZ09-_.~ !'()*/+&=é")).toBe(
      "aZ09-_.~%20%21%27%28%29%2A%2F%2B%26%3D%C3%A9",
    );
  });
  it("orders a query by its names", () => {
    expect(encodeQuery({ prefix: "a/b", "list-type": "2", delimiter: "/", versions: "" })).toBe(
      "delimiter=%2F&list-type=2&prefix=a%2Fb&versions=",
    );
  });
});
