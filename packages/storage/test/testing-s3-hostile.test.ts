// Requests that nobody should send: beyond every limit, malformed, or out to reach files. Each gets an error, none is
// stored, and the server goes on.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { startS3Server } from "../src/testing/s3.ts";
import { type RawRequest, send, signedChunks, signRequest, target } from "./s3-raw-client.ts";

describe("hostile requests", async () => {
  const server = await startS3Server({ buckets: ["hostile"], maxObjectBytes: 1 << 20 });
  afterAll(() => server.close());
  const port = Number(server.endpoint.split(":")[1]);
  const put = (key: string, body: string | Uint8Array, more: RawRequest = {}) =>
    send(server, "PUT", target("hostile", key), { body, ...more });

  /** Everything that comes back for these bytes until the connection ends. */
  async function raw(bytes: string): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("error", () => {});
    socket.write(bytes);
    socket.setTimeout(150, () => socket.destroy());
    await once(socket, "close");
    return text;
  }

  it.each([
    ["no HTTP", "hello\r\n\r\n", /^HTTP\/1.1 400/],
    ["no path", "GET * HTTP/1.1\r\nhost: x\r\n\r\n", /InvalidURI/],
    ["a broken escape", "GET /hostile/%zz HTTP/1.1\r\nhost: x\r\n\r\n", /InvalidURI/],
    ["a whole URL", "GET http://evil/ HTTP/1.1\r\nhost: x\r\n\r\n", /InvalidURI/],
    [
      "huge headers",
      `GET / HTTP/1.1\r\nhost: x\r\na: ${"b".repeat(20_000)}\r\n\r\n`,
      /^HTTP\/1.1 4\d\d/,
    ],
    ["a header with a zero byte", "GET / HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n", /^HTTP\/1.1 400/],
    [
      "two lengths",
      "PUT /hostile/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
      /^HTTP\/1.1 400/,
    ],
    ["an unknown method", "BREW / HTTP/1.1\r\nhost: x\r\n\r\n", /^HTTP\/1.1 400/],
    [
      "a method that S3 has not",
      "PATCH /hostile/k HTTP/1.1\r\nhost: x\r\n\r\n",
      /MethodNotAllowed/,
    ],
  ])("%s", async (_name, bytes, expected) => {
    expect(await raw(bytes)).toMatch(expected);
  });

  it("bodies beyond the limit are refused by their announcement, and in the act", async () => {
    const answer = await put("large", Buffer.alloc((1 << 20) + 1)).catch((error) => error);
    if (!(answer instanceof Error)) expect(answer.code).toBe("EntityTooLarge");
    expect(server.log.at(-1)?.code).toBe("EntityTooLarge");
    const framed = signedChunks(Buffer.alloc(3 << 20), 65_536);
    const headers = { ...framed.headers, "x-amz-decoded-content-length": "1000" };
    const cheat = await put("large", Buffer.alloc(3 << 20), { ...framed, headers }).catch(
      (error) => error,
    );
    if (!(cheat instanceof Error)) expect(cheat.status).toBe(400);
    expect((await put("fits", Buffer.alloc(1 << 20))).status).toBe(200);
    expect(server.bucket("hostile").keys).toEqual(["fits"]);
  });

  it("a large body of somebody who may not gets its answer", async () => {
    const accessKey = { ...server.accessKey, secretAccessKey: "wrong" };
    for (let round = 0; round < 3; round++) {
      const answer = await put("denied", Buffer.alloc(1 << 20), { accessKey });
      expect(answer.code).toBe("SignatureDoesNotMatch");
    }
  });

  it("bodies of other lengths or digests than announced are refused", async () => {
    const digest = createHash("sha256").update("other").digest("hex");
    expect((await put("k", "body", { payload: digest })).code).toBe("XAmzContentSHA256Mismatch");
    expect((await put("k", "body", { payload: "STREAMING-NOTHING" })).code).toBe("InvalidArgument");
    const chunked = await put("k", "body", { payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" });
    expect(chunked.code).toBe("MissingContentLength");
    const nonsense = { "x-amz-decoded-content-length": "1e3" };
    expect(
      (await put("k", "body", { payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", headers: nonsense }))
        .code,
    ).toBe("InvalidArgument");
    const trailer = { "x-amz-trailer": "x-amz-checksum-crc32" };
    expect((await put("k", "body", { headers: trailer })).code).toBe("InvalidRequest");
    expect(server.bucket("hostile").versions("k")).toEqual([]);
  });

  it("documents that are no XML, or much too long", async () => {
    const path = target("hostile", "", "delete");
    const batch = (body: string) =>
      send(server, "POST", path, {
        body,
        headers: { "content-md5": createHash("md5").update(body).digest("base64") },
      });
    const bomb = `<!DOCTYPE d [<!ENTITY a "${"a".repeat(1000)}">]><Delete>&a;</Delete>`;
    for (const body of ["", "{}", bomb, "<Delete><Object/></Delete>", `${"<a>".repeat(50_000)}`])
      expect((await batch(body)).code).toBe("MalformedXML");
    const long = await batch(`<Delete>${" ".repeat(5 << 20)}</Delete>`).catch((error) => error);
    if (!(long instanceof Error)) expect(long.code).toBe("MaxMessageLengthExceeded");
    expect(server.log.at(-1)?.code).toBe("MaxMessageLengthExceeded");
  });

  it("headers of answers cannot be made by requests", async () => {
    const path = `${target("hostile", "fits")}?response-content-type=a%0d%0aset-cookie:b`;
    expect((await send(server, "GET", path)).code).toBe("InvalidArgument");
  });

  it("metadata beyond the limit", async () => {
    const headers = { "x-amz-meta-a": "b".repeat(3000) };
    expect((await put("meta", "x", { headers })).code).toBe("InvalidRequest");
  });

  it("keys that look like paths stay keys, in memory and in a directory", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-s3-"));
    try {
      await using onDisk = await startS3Server({
        directory: join(directory, "data"),
        buckets: ["paths"],
      });
      const keys = ["../../escaped", "/etc/passwd", "..", "a/../../b", "C:\\x", "nul\u0001"];
      for (const key of keys)
        expect((await send(onDisk, "PUT", target("paths", key), { body: key })).status).toBe(200);
      for (const key of keys)
        expect((await send(onDisk, "GET", target("paths", key))).text).toBe(key);
      expect(await readdir(directory)).toEqual(["data"]);
      const files = await readdir(join(directory, "data"), { recursive: true });
      expect(
        files.filter((name) => !/^(journal\.jsonl|payloads|payloads\/[0-9a-f]{32})$/.test(name)),
      ).toEqual([]);
      expect(await readFile("/etc/passwd", "utf8").catch(() => "")).not.toBe("/etc/passwd");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it("random bytes in the place of a request, signed or not, never end the server", async () => {
    await put("fits", "x");
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("GET", "PUT", "POST", "DELETE", "HEAD"),
        fc.string({ unit: "binary", maxLength: 20 }),
        fc.dictionary(
          fc.constantFrom(
            "range",
            "content-md5",
            "x-amz-copy-source",
            "x-amz-checksum-crc32",
            "if-match",
            "x-amz-trailer",
            "x-amz-object-lock-mode",
          ),
          fc.string({ minLength: 1, maxLength: 20 }).filter((value) => value.trim() === value),
        ),
        fc.uint8Array({ maxLength: 50 }),
        async (method, key, headers, body) => {
          const answer = await send(server, method, target("hostile", key), { headers, body });
          expect(answer.status).toBeGreaterThanOrEqual(200);
          // An internal error would be a mistake of ours.
          expect([method, key, headers, answer.code]).not.toContain("InternalError");
        },
      ),
      { numRuns: 50 },
    );
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 100 }), async (query) => {
        const path = `/hostile?${encodeURIComponent(query).replaceAll("%26", "&").replaceAll("%3D", "=")}`;
        const { headers } = signRequest(server, "GET", target("hostile"));
        const { host } = new URL(server.url);
        const answer = await fetch(`http://${host}${path}`, {
          headers: { authorization: headers["authorization"] ?? "" },
        });
        expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: 25 },
    );
    expect((await send(server, "GET", target("hostile", "fits"))).status).toBe(200);
  });
});
