// The test S3 server as a program: loopback only, TLS with a certificate made on the spot, data that survives a restart,
// counts and log, latency and lockstep, browsers, other regions, and servers that understand less.
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import { describe, expect, it } from "vitest";
import { parseXml } from "../src/testing/s3/xml.ts";
import {
  faultOn,
  openCors,
  type S3Server,
  selfSignedCertificate,
  startS3Server,
} from "../src/testing/s3.ts";
import {
  type RawAnswer,
  send,
  signedChunks,
  signRequest,
  target,
  texts,
  unsignedChunks,
  xmlOf,
} from "./s3-raw-client.ts";

const put = (server: S3Server, bucket: string, key: string, body = key): Promise<RawAnswer> =>
  send(server, "PUT", target(bucket, key), { body });
const get = (server: S3Server, bucket: string, key: string): Promise<RawAnswer> =>
  send(server, "GET", target(bucket, key));

describe("address", () => {
  it.each(["0.0.0.0", "::", "192.168.0.1", "example.org", "127.0.0.1.example.org", ""])(
    "%s is refused: loopback only",
    async (host) => {
      await expect(startS3Server({ host })).rejects.toThrow(RangeError);
    },
  );

  it("localhost is loopback, and buckets may stand in the name of the host", async () => {
    await using server = await startS3Server({ host: "localhost", buckets: ["named"] });
    await put(server, "named", "k", "x");
    const endpoint = `named.${server.endpoint}`;
    const { headers } = signRequest({ ...server, endpoint }, "GET", "/k");
    const { hostname, port } = new URL(server.url);
    const http = await import("node:http");
    const status = await new Promise((resolve, reject) => {
      http
        .request(
          { host: hostname, port, path: "/k", headers, setHost: false, agent: false },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        )
        .on("error", reject)
        .end();
    });
    expect(status).toBe(200);
  });

  it("a taken port, a bad name of a bucket, no keys: an error, and no server", async () => {
    await using server = await startS3Server();
    const port = Number(server.endpoint.split(":")[1]);
    await expect(startS3Server({ port })).rejects.toThrow("EADDRINUSE");
    await expect(startS3Server({ buckets: ["A"] })).rejects.toThrow(RangeError);
    await expect(startS3Server({ accessKeys: [] })).rejects.toThrow(RangeError);
    expect(() => server.bucket("none")).toThrow(RangeError);
  });
});

describe("TLS", () => {
  const head = (server: S3Server, tls: { ca?: string; rejectUnauthorized?: boolean }) => {
    const { headers } = signRequest(server, "GET", "/");
    return new Promise<number | string>((resolve) => {
      const request = httpsRequest(
        `${server.url}/`,
        { headers, agent: false, ...tls },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
      request.end();
    });
  };

  it("with a certificate of its own: trusted by who is told, refused by others", async () => {
    const tls = selfSignedCertificate();
    await using server = await startS3Server({ tls });
    expect(server.url).toMatch(/^https:/);
    expect(await head(server, { ca: tls.cert })).toBe(200);
    expect(await head(server, { rejectUnauthorized: false })).toBe(200);
    expect(await head(server, {})).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
  });

  it("with one that is over, or for another name", async () => {
    const over = selfSignedCertificate({ notBeforeMs: 0, notAfterMs: Date.now() - 1000 });
    await using late = await startS3Server({ tls: over });
    expect(await head(late, { ca: over.cert })).toBe("CERT_HAS_EXPIRED");
    const other = selfSignedCertificate({ names: ["example.org"], notAfterMs: Date.UTC(2060, 0) });
    await using strange = await startS3Server({ tls: other });
    expect(await head(strange, { ca: other.cert })).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  });
});

describe("a directory", () => {
  it("keeps objects, versions, locks and settings over a restart, and no waste", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-s3-"));
    try {
      const buckets = ["plain", { name: "locked", objectLock: true }];
      let versions: readonly unknown[] = [];
      {
        await using server = await startS3Server({ directory, buckets });
        for (const body of ["one", "two"]) await put(server, "plain", "k", body);
        await put(server, "plain", "gone");
        await send(server, "DELETE", target("plain", "gone"));
        for (const body of ["one", "two"]) await put(server, "locked", "k", body);
        await send(server, "DELETE", target("locked", "k"));
        await send(server, "PUT", target("created"));
        versions = server.bucket("locked").versions("k");
        // An upload whose condition fails leaves no file.
        const headers = { "if-none-match": "*" };
        await send(server, "PUT", target("plain", "k"), { body: "three", headers });
      }
      // The end of a line that a crash cut.
      await appendFile(join(directory, "journal.jsonl"), '{"do":"remove","buck');
      await using server = await startS3Server({ directory, buckets });
      expect((await get(server, "plain", "k")).text).toBe("two");
      expect(server.bucket("plain").keys).toEqual(["k"]);
      expect(versions).toHaveLength(3);
      expect(server.bucket("locked").versions("k")).toEqual(versions);
      expect((await send(server, "HEAD", target("created"))).status).toBe(200);
      const range = await send(server, "GET", target("plain", "k"), {
        headers: { range: "bytes=1-1" },
      });
      expect(range.text).toBe("w");
      expect(await readdir(join(directory, "payloads"))).toHaveLength(3);
      await put(server, "plain", "k", "four");
      expect(await readdir(join(directory, "payloads"))).toHaveLength(3);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe("a race in a directory", () => {
  it("has one winner, and the bytes of the others are gone", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-s3-"));
    try {
      await using server = await startS3Server({ directory, buckets: ["race"] });
      const headers = { "if-none-match": "*" };
      for (let round = 0; round < 3; round++) {
        const racers = Array.from({ length: 8 }, (_unused, index) =>
          send(server, "PUT", target("race", `${round}`), {
            body: `${index}`.repeat(50_000),
            headers,
          }),
        );
        const statuses = (await Promise.all(racers)).map(({ status }) => status);
        expect(statuses.filter((status) => status === 200)).toHaveLength(1);
        const winner = statuses.indexOf(200);
        expect((await get(server, "race", `${round}`)).text).toBe(`${winner}`.repeat(50_000));
      }
      expect(await readdir(join(directory, "payloads"))).toHaveLength(3);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe("counts and log", () => {
  it("every request is counted by its operation, with bytes, and can be looked up", async () => {
    await using server = await startS3Server({ buckets: ["counted"] });
    await put(server, "counted", "k", "12345");
    await get(server, "counted", "k");
    await send(server, "GET", target("counted", "k"), { headers: { range: "bytes=0-1" } });
    await get(server, "counted", "missing");
    await send(server, "GET", target("counted", "", "list-type=2"));
    expect(server.counts).toMatchObject({
      PutObject: 1,
      GetObject: 3,
      ListObjectsV2: 1,
      HeadObject: 0,
    });
    const [stored, , ranged, missing] = server.log;
    expect(stored).toMatchObject({
      operation: "PutObject",
      key: "k",
      status: 200,
      receivedBytes: 5,
    });
    expect(ranged).toMatchObject({ range: "bytes=0-1", status: 206, sentBytes: 2 });
    expect(missing).toMatchObject({ status: 404, code: "NoSuchKey" });
    expect(missing?.accessKeyId).toBe(server.accessKey.accessKeyId);
    server.resetCounts();
    expect(server.counts.GetObject).toBe(0);
    const remove = server.inject(faultOn({}, { reset: "before" }));
    await expect(get(server, "counted", "k")).rejects.toThrow();
    remove();
    expect(server.log.at(-1)).toMatchObject({ operation: "GetObject", status: undefined });
  });
});

describe("time", () => {
  it("follows the clock that it was given", async () => {
    const clock = manualClock(1_700_000_000_000_000_000n);
    const dateMs = 1_700_000_000_000;
    await using server = await startS3Server({ clock, buckets: ["timed"] });
    await send(server, "PUT", target("timed", "k"), { dateMs });
    clock.advance(60_000);
    const head = await send(server, "HEAD", target("timed", "k"), { dateMs });
    expect(Date.parse(head.headers["last-modified"] ?? "")).toBe(dateMs);
    expect(Date.parse(head.headers.date ?? "")).toBe(dateMs + 60_000);
  });

  it("latency waits before every answer", async () => {
    await using server = await startS3Server({ buckets: ["slow"], latency: { ms: 40 } });
    const start = performance.now();
    await put(server, "slow", "k");
    expect(performance.now() - start).toBeGreaterThan(38);
    server.setLatency({ ms: ({ operation }) => (operation === "GetObject" ? 40 : 0) });
    const second = performance.now();
    await get(server, "slow", "k");
    expect(performance.now() - second).toBeGreaterThan(38);
  });

  it("lockstep counts round trips on the critical path, however many go at once", async () => {
    await using server = await startS3Server({
      buckets: ["steps"],
      latency: { lockstepQuietMs: 25 },
    });
    await Promise.all(
      Array.from({ length: 20 }, (_unused, index) => put(server, "steps", `${index}`)),
    );
    expect(server.rounds).toBe(1);
    for (let step = 0; step < 3; step++)
      await Promise.all([get(server, "steps", "0"), get(server, "steps", "1")]);
    expect(server.rounds).toBe(4);
    const remove = server.inject(faultOn({}, { reset: "before" }));
    await expect(get(server, "steps", "0")).rejects.toThrow();
    remove();
    await get(server, "steps", "0");
    expect(server.rounds).toBe(5);
  });
});

describe("browsers", () => {
  const origin = { origin: "https://page.example" };
  const ask = {
    ...origin,
    "access-control-request-method": "PUT",
    "access-control-request-headers": "Authorization, X-Amz-Date",
  };

  it("are let in by rules, and told what they may read", async () => {
    await using server = await startS3Server({ buckets: ["web"], cors: [openCors] });
    const preflight = await send(server, "OPTIONS", target("web", "k"), {
      anonymous: true,
      headers: ask,
    });
    expect(preflight.status).toBe(200);
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-headers": "authorization, x-amz-date",
    });
    const answer = await send(server, "PUT", target("web", "k"), { body: "x", headers: origin });
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
    expect(answer.headers["access-control-expose-headers"]).toContain("ETag");
    const missing = await send(server, "GET", target("web", "none"), { headers: origin });
    expect([missing.code, missing.headers["access-control-allow-origin"]]).toEqual([
      "NoSuchKey",
      "*",
    ]);
  });

  it("are kept out where no rule fits", async () => {
    const cors = [{ origins: ["https://other.example"], methods: ["GET"], headers: ["range"] }];
    await using server = await startS3Server({ buckets: ["web"], cors });
    const refused = await send(server, "OPTIONS", target("web", "k"), {
      anonymous: true,
      headers: ask,
    });
    expect([refused.status, refused.code]).toEqual([403, "AccessForbidden"]);
    const answer = await send(server, "GET", target("web", "k"), { headers: origin });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    const fits = { origin: "https://other.example", "access-control-request-method": "GET" };
    const range = { ...fits, "access-control-request-headers": "Range" };
    expect(
      (await send(server, "OPTIONS", target("web", "k"), { anonymous: true, headers: range }))
        .status,
    ).toBe(200);
    const other = { ...fits, "access-control-request-headers": "x-amz-date" };
    expect(
      (await send(server, "OPTIONS", target("web", "k"), { anonymous: true, headers: other }))
        .status,
    ).toBe(403);
  });
});

describe("other regions", () => {
  it("a bucket elsewhere is redirected to; its region is told by the redirect, a head and its location", async () => {
    await using there = await startS3Server({ region: "eu-west-1", buckets: ["far", "near"] });
    const elsewhere = {
      far: { region: "eu-west-1", url: there.url },
      near: { region: "eu-west-1", url: there.url, status: 307 as const },
    };
    await using server = await startS3Server({ elsewhere });
    const moved = await get(server, "far", "k");
    expect([moved.status, moved.code]).toEqual([301, "PermanentRedirect"]);
    expect(moved.headers["x-amz-bucket-region"]).toBe("eu-west-1");
    expect(texts(parseXml(moved.body, "Error"), "Endpoint")).toEqual([there.endpoint]);
    const head = await send(server, "HEAD", target("far"));
    expect([head.status, head.headers["x-amz-bucket-region"]]).toEqual([301, "eu-west-1"]);
    const location = await send(server, "GET", target("far", "", "location"));
    expect(xmlOf(location, "LocationConstraint").text).toBe("eu-west-1");
    const follow = await get(server, "near", "k");
    expect([follow.status, follow.headers.location]).toEqual([307, `${there.url}/near/k`]);
    expect((await get(there, "far", "k")).code).toBe("NoSuchKey");
  });

  it("a signature for another region is refused, and the right one named; unless any will do", async () => {
    await using strict = await startS3Server({ region: "eu-west-1", buckets: ["bucket"] });
    const wrong = await send(strict, "GET", target("bucket", "k"), { region: "us-east-1" });
    expect([wrong.status, wrong.code]).toEqual([400, "AuthorizationHeaderMalformed"]);
    expect(texts(parseXml(wrong.body, "Error"), "Region")).toEqual(["eu-west-1"]);
    await using lax = await startS3Server({ anyRegion: true, buckets: ["bucket"] });
    expect((await send(lax, "GET", target("bucket", "k"), { region: "garage" })).code).toBe(
      "NoSuchKey",
    );
  });
});

describe("servers that understand less", () => {
  it("refuse digests, conditions, batches, versions and new lists, and take the rest", async () => {
    await using server = await startS3Server({
      buckets: ["less"],
      missingFeatures: ["checksums", "conditions", "batchDelete", "versions", "listV2"],
    });
    const trailer = { "x-amz-checksum-crc32": "AAAAAA==" };
    const refused: ReadonlyArray<Promise<RawAnswer>> = [
      send(server, "PUT", target("less", "k"), unsignedChunks(new Uint8Array(0), 1, trailer)),
      send(server, "PUT", target("less", "k"), { headers: trailer }),
      send(server, "PUT", target("less", "k"), { headers: { "if-none-match": "*" } }),
      send(server, "POST", target("less", "", "delete"), { body: "<Delete/>" }),
      send(server, "GET", target("less", "", "versions")),
      send(server, "GET", target("less", "", "list-type=2")),
    ];
    for (const { code, status } of await Promise.all(refused))
      expect([status, code]).toEqual([501, "NotImplemented"]);
    expect(server.bucket("less").keys).toEqual([]);
    const body = Buffer.from("x");
    expect((await send(server, "PUT", target("less", "k"), signedChunks(body, 8192))).status).toBe(
      200,
    );
    expect((await send(server, "GET", target("less"))).status).toBe(200);
    expect((await get(server, "less", "k")).text).toBe("x");
  });
});
