// What a client of a repository needs of an S3 server, in 28 checks, over HTTP with signed requests. The same list was used
// to judge other servers: most small ones fail at conditional puts, at digests, or store the framing of chunked bodies.
import { createHash } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { checksumAlgorithms, checksumHeader, checksumOf } from "../src/testing/s3/checksums.ts";
import { startS3Server } from "../src/testing/s3.ts";
import {
  presign,
  type RawAnswer,
  type RawRequest,
  send,
  signedChunks,
  target,
  texts,
  unsignedChunks,
  xmlOf,
} from "./s3-raw-client.ts";

const md5 = (data: string | Uint8Array): string => createHash("md5").update(data).digest("base64");
const etag = (data: string | Uint8Array): string =>
  `"${createHash("md5").update(data).digest("hex")}"`;

describe("28 checks", async () => {
  const server = await startS3Server({
    buckets: ["checks", { name: "versions", versioning: true }],
    minPartBytes: 100,
  });
  afterAll(() => server.close());
  const put = (key: string, body: string | Uint8Array, more: RawRequest = {}) =>
    send(server, "PUT", target("checks", key), { body, ...more });
  const get = (key: string, headers: Record<string, string> = {}) =>
    send(server, "GET", target("checks", key), { headers });
  const head = (key: string, headers: Record<string, string> = {}) =>
    send(server, "HEAD", target("checks", key), { headers });
  const list = async (bucket: string, query: string) =>
    xmlOf(await send(server, "GET", target(bucket, "", query)), "ListBucketResult");
  const statuses = (answers: readonly RawAnswer[]): number[] =>
    answers.map(({ status }) => status).sort();

  it("1 buckets are created once, found, listed, and deleted when empty", async () => {
    expect((await send(server, "PUT", target("brief"))).status).toBe(200);
    expect((await send(server, "PUT", target("brief"))).code).toBe("BucketAlreadyOwnedByYou");
    const found = await send(server, "HEAD", target("brief"));
    expect([found.status, found.headers["x-amz-bucket-region"]]).toEqual([200, "us-east-1"]);
    const all = xmlOf(await send(server, "GET", "/"), "ListAllMyBucketsResult");
    expect(texts(all, "Buckets", "Bucket", "Name")).toEqual(["brief", "checks", "versions"]);
    await send(server, "PUT", target("brief", "k"));
    expect((await send(server, "DELETE", target("brief"))).code).toBe("BucketNotEmpty");
    await send(server, "DELETE", target("brief", "k"));
    expect((await send(server, "DELETE", target("brief"))).status).toBe(204);
    expect((await send(server, "HEAD", target("brief"))).status).toBe(404);
    for (const name of ["AB", "a", "a..b", "1.2.3.4", "-ab"])
      expect((await send(server, "PUT", target(name))).code).toBe("InvalidBucketName");
  });

  it("2 the location of a bucket, whatever region the request is signed for", async () => {
    await using other = await startS3Server({ region: "eu-central-1", buckets: ["far"] });
    const path = target("far", "", "location=");
    for (const region of ["us-east-1", "eu-central-1"]) {
      const answer = await send(other, "GET", path, { region });
      expect(xmlOf(answer, "LocationConstraint").text).toBe("eu-central-1");
    }
    const usual = await send(server, "GET", target("checks", "", "location="));
    expect(xmlOf(usual, "LocationConstraint").text).toBe("");
  });

  it("3 what is put is read back, at once and by everybody; a second put replaces it", async () => {
    const bytes = Buffer.alloc(3 << 20, "kopia");
    const stored = await put("whole", bytes);
    expect([stored.status, stored.headers.etag]).toEqual([200, etag(bytes)]);
    expect((await get("whole")).body.equals(bytes)).toBe(true);
    await put("whole", "shorter");
    expect((await get("whole")).text).toBe("shorter");
  });

  it("4 an empty object is an object", async () => {
    await put("empty", "");
    const { body, headers, status } = await get("empty");
    expect([status, body.length, headers["content-length"]]).toEqual([200, 0, "0"]);
    expect((await head("empty")).headers.etag).toBe(etag(""));
  });

  it("5 any name is a name: spaces, plus, percent, slashes, dots, beyond ASCII", async () => {
    const names = [
      "a b",
      "a+b",
      "100%",
      "%41",
      "a//b",
      "../up",
      "./here",
      "é",
      "\u{1f600}",
      "q?r#s&t=u",
      "<x>&'\"",
      "a\tb\nc",
    ];
    for (const name of names) {
      expect((await put(`names/${name}`, name)).status).toBe(200);
      expect((await get(`names/${name}`)).text).toBe(name);
    }
    const root = await list("checks", "list-type=2&prefix=names/");
    expect(texts(root, "Contents", "Key")).toEqual(
      names
        .map((name) => `names/${name}`)
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    expect((await put("k".repeat(1025), "")).code).toBe("KeyTooLongError");
    expect((await put("k".repeat(1024), "")).status).toBe(200);
  });

  it("6 content type, metadata and storage class come back", async () => {
    await put("described", "x", {
      headers: {
        "content-type": "application/x-kopia",
        "content-encoding": "aws-chunked,gzip",
        "cache-control": "no-store",
        "x-amz-meta-owner": "me",
        "x-amz-storage-class": "STANDARD_IA",
      },
    });
    const { headers } = await head("described");
    expect(headers).toMatchObject({
      "content-type": "application/x-kopia",
      "content-encoding": "gzip",
      "cache-control": "no-store",
      "x-amz-meta-owner": "me",
      "x-amz-storage-class": "STANDARD_IA",
    });
    const root = await list("checks", "list-type=2&prefix=described");
    expect(texts(root, "Contents", "StorageClass")).toEqual(["STANDARD_IA"]);
    const wrong = await put("described", "x", { headers: { "x-amz-storage-class": "FAST" } });
    expect(wrong.code).toBe("InvalidStorageClass");
  });

  it("7 heads and lists agree on time, length and tag", async () => {
    await put("agreed", "12345");
    const { body, headers } = await head("agreed");
    const root = await list("checks", "list-type=2&prefix=agreed");
    expect(body.length).toBe(0);
    const [modified] = texts(root, "Contents", "LastModified");
    expect(Date.parse(headers["last-modified"] ?? "")).toBe(Date.parse(modified ?? ""));
    expect(Math.abs(Date.parse(modified ?? "") - Date.now())).toBeLessThan(30_000);
    expect(headers["content-length"]).toBe(texts(root, "Contents", "Size")[0]);
    expect(headers.etag).toBe(texts(root, "Contents", "ETag")[0]);
  });

  it("8 what is missing is 404; deleting it is success; what is deleted is gone at once", async () => {
    expect((await get("missing")).code).toBe("NoSuchKey");
    expect((await head("missing")).status).toBe(404);
    expect((await send(server, "GET", target("nowhere", "k"))).code).toBe("NoSuchBucket");
    expect((await send(server, "PUT", target("nowhere", "k"))).code).toBe("NoSuchBucket");
    expect((await send(server, "DELETE", target("checks", "missing"))).status).toBe(204);
    await put("brief", "x");
    await send(server, "DELETE", target("checks", "brief"));
    expect((await head("brief")).status).toBe(404);
    expect(texts(await list("checks", "list-type=2&prefix=brief"), "Contents")).toEqual([]);
  });

  it("9 a range from one byte to another", async () => {
    await put("ranges", "0123456789");
    const answer = await get("ranges", { range: "bytes=2-4" });
    expect([answer.status, answer.text, answer.headers["content-range"]]).toEqual([
      206,
      "234",
      "bytes 2-4/10",
    ]);
    expect((await head("ranges", { range: "bytes=2-4" })).headers["content-length"]).toBe("3");
  });

  it("10 a range up to the end, or beyond it", async () => {
    expect((await get("ranges", { range: "bytes=7-" })).text).toBe("789");
    expect((await get("ranges", { range: "bytes=7-99" })).text).toBe("789");
  });

  it("11 a range of the last bytes", async () => {
    expect((await get("ranges", { range: "bytes=-3" })).text).toBe("789");
    expect((await get("ranges", { range: "bytes=-99" })).text).toBe("0123456789");
  });

  it("12 a range behind the end is 416; several ranges are ignored", async () => {
    const answer = await get("ranges", { range: "bytes=10-12" });
    expect([answer.status, answer.code, answer.headers["content-range"]]).toEqual([
      416,
      "InvalidRange",
      "bytes */10",
    ]);
    expect((await get("ranges", { range: "bytes=0-1,3-4" })).text).toBe("0123456789");
  });

  it("13 reads under conditions", async () => {
    await put("conditions", "a");
    const is = etag("a");
    const modified = (await head("conditions")).headers["last-modified"] ?? "";
    const past = new Date(Date.parse(modified) - 1000).toUTCString();
    const cases: ReadonlyArray<readonly [Record<string, string>, number]> = [
      [{ "if-match": is }, 200],
      [{ "if-match": etag("b") }, 412],
      [{ "if-match": `${etag("b")}, ${is}` }, 200],
      [{ "if-none-match": is }, 304],
      [{ "if-none-match": "*" }, 304],
      [{ "if-none-match": etag("b") }, 200],
      [{ "if-modified-since": modified }, 304],
      [{ "if-modified-since": past }, 200],
      [{ "if-unmodified-since": modified }, 200],
      [{ "if-unmodified-since": past }, 412],
    ];
    for (const [headers, status] of cases)
      expect([headers, (await get("conditions", headers)).status]).toEqual([headers, status]);
  });

  it("14 If-None-Match: * puts only what is not there", async () => {
    const headers = { "if-none-match": "*" };
    expect((await put("once", "first", { headers })).status).toBe(200);
    const second = await put("once", "second", { headers });
    expect([second.status, second.code]).toEqual([412, "PreconditionFailed"]);
    expect((await get("once")).text).toBe("first");
    await send(server, "DELETE", target("checks", "once"));
    expect((await put("once", "third", { headers })).status).toBe(200);
  });

  it("15 of many that race under If-None-Match: * one wins, and its bytes are there", async () => {
    for (let round = 0; round < 5; round++) {
      const headers = { "if-none-match": "*" };
      const bodies = Array.from({ length: 8 }, (_unused, index) => `writer ${index}`.repeat(1000));
      const answers = await Promise.all(
        bodies.map((body) => put(`race/${round}`, body, { headers })),
      );
      expect(statuses(answers)).toEqual([200, 412, 412, 412, 412, 412, 412, 412]);
      const winner = answers.findIndex(({ status }) => status === 200);
      expect((await get(`race/${round}`)).text).toBe(bodies[winner]);
    }
  });

  it("16 of many that race under If-Match one wins; without an object there is none", async () => {
    await put("swap", "old");
    const headers = { "if-match": etag("old") };
    const bodies = ["a", "b", "c", "d"];
    const answers = await Promise.all(bodies.map((body) => put("swap", body, { headers })));
    expect(statuses(answers)).toEqual([200, 412, 412, 412]);
    const winner = answers.findIndex(({ status }) => status === 200);
    expect((await get("swap")).text).toBe(bodies[winner]);
    expect((await put("none", "x", { headers })).code).toBe("NoSuchKey");
  });

  it("17 Content-MD5 is checked, and what does not fit is not stored", async () => {
    expect((await put("md5", "good", { headers: { "content-md5": md5("good") } })).status).toBe(
      200,
    );
    expect((await put("md5", "bad", { headers: { "content-md5": md5("good") } })).code).toBe(
      "BadDigest",
    );
    expect((await put("md5", "bad", { headers: { "content-md5": "nonsense" } })).code).toBe(
      "InvalidDigest",
    );
    expect((await get("md5")).text).toBe("good");
  });

  it("18 every x-amz-checksum header is checked and remembered", async () => {
    for (const algorithm of checksumAlgorithms) {
      const name = checksumHeader(algorithm);
      const right = checksumOf(algorithm, Buffer.from("good")).toString("base64");
      const wrong = checksumOf(algorithm, Buffer.from("bad")).toString("base64");
      expect((await put("sum", "good", { headers: { [name]: right } })).headers[name]).toBe(right);
      expect((await put("sum", "good", { headers: { [name]: wrong } })).code).toBe("BadDigest");
      expect((await put("sum", "good", { headers: { [name]: "AA==" } })).code).toBe(
        "InvalidRequest",
      );
      const read = await get("sum", { "x-amz-checksum-mode": "ENABLED" });
      expect([read.headers[name], read.headers["x-amz-checksum-type"]]).toEqual([
        right,
        "FULL_OBJECT",
      ]);
      expect((await get("sum")).headers[name]).toBeUndefined();
    }
    const both = { "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA==" };
    expect((await put("sum", "x", { headers: both })).code).toBe("InvalidRequest");
    const lone = { "x-amz-sdk-checksum-algorithm": "CRC32" };
    expect((await put("sum", "x", { headers: lone })).code).toBe("InvalidRequest");
  });

  it("19 bodies in signed chunks are decoded, with and without Content-Encoding", async () => {
    const bytes = Buffer.alloc(200_000, "chunk");
    const signed = signedChunks(bytes, 65_536);
    expect((await put("signed", bytes, signed)).headers.etag).toBe(etag(bytes));
    expect((await get("signed")).body.equals(bytes)).toBe(true);
    const named = { ...signed.headers, "content-encoding": "aws-chunked" };
    expect((await put("signed", bytes, { ...signed, headers: named })).status).toBe(200);
    expect((await get("signed")).headers["content-encoding"]).toBeUndefined();
    const trailer = { "x-amz-checksum-crc32": checksumOf("CRC32", bytes).toString("base64") };
    expect((await put("signed", bytes, signedChunks(bytes, 65_536, trailer))).status).toBe(200);
    const short = { ...signed.headers, "x-amz-decoded-content-length": "199999" };
    expect((await put("signed", bytes, { ...signed, headers: short })).code).toBe("IncompleteBody");
  });

  it("20 bodies in chunks with a trailer are decoded, and the trailer is checked", async () => {
    const bytes = Buffer.alloc(100_000, "trailer");
    for (const algorithm of checksumAlgorithms) {
      const name = checksumHeader(algorithm);
      const right = { [name]: checksumOf(algorithm, bytes).toString("base64") };
      const stored = await put("trailed", bytes, unsignedChunks(bytes, 8192, right));
      expect([algorithm, stored.status, stored.headers[name]]).toEqual([
        algorithm,
        200,
        right[name],
      ]);
      const wrong = { [name]: checksumOf(algorithm, Buffer.from("x")).toString("base64") };
      expect((await put("trailed", bytes, unsignedChunks(bytes, 8192, wrong))).code).toBe(
        "BadDigest",
      );
    }
    expect((await get("trailed")).body.equals(bytes)).toBe(true);
  });

  it("21 lists of version 2: pages, prefix, delimiter, start, in the order of bytes", async () => {
    for (const name of ["l/a", "l/b/1", "l/b/2", "l/c", "l/\uffee", "l/\u{1f600}"])
      await put(name, "");
    const all = await list("checks", "list-type=2&prefix=l/");
    expect(texts(all, "Contents", "Key")).toEqual([
      "l/a",
      "l/b/1",
      "l/b/2",
      "l/c",
      "l/\uffee",
      "l/\u{1f600}",
    ]);
    expect(texts(all, "KeyCount")).toEqual(["6"]);
    const rolled = await list("checks", "list-type=2&prefix=l/&delimiter=/&max-keys=2");
    expect(texts(rolled, "Contents", "Key")).toEqual(["l/a"]);
    expect(texts(rolled, "CommonPrefixes", "Prefix")).toEqual(["l/b/"]);
    expect(texts(rolled, "IsTruncated")).toEqual(["true"]);
    const [token = ""] = texts(rolled, "NextContinuationToken");
    const rest = await list(
      "checks",
      `list-type=2&prefix=l/&delimiter=/&continuation-token=${token}`,
    );
    expect(texts(rest, "Contents", "Key")).toEqual(["l/c", "l/\uffee", "l/\u{1f600}"]);
    expect(texts(rest, "CommonPrefixes", "Prefix")).toEqual([]);
    const started = await list("checks", "list-type=2&prefix=l/&start-after=l/b/1&max-keys=1");
    expect(texts(started, "Contents", "Key")).toEqual(["l/b/2"]);
  });

  it("22 lists of version 1: marker and next marker", async () => {
    const first = await list("checks", "prefix=l/&delimiter=/&max-keys=2");
    expect(texts(first, "NextMarker")).toEqual(["l/b/"]);
    const rest = await list("checks", "prefix=l/&delimiter=/&marker=l/b/");
    expect(texts(rest, "Contents", "Key")).toEqual(["l/c", "l/\uffee", "l/\u{1f600}"]);
    const plain = await list("checks", "prefix=l/&max-keys=2&marker=l/a");
    expect(texts(plain, "Contents", "Key")).toEqual(["l/b/1", "l/b/2"]);
    expect(texts(plain, "NextMarker")).toEqual([]);
  });

  it("23 lists with encoding-type=url and owners", async () => {
    await put("e/a b+c\u0001", "");
    const root = await list(
      "checks",
      "list-type=2&prefix=e/&encoding-type=url&fetch-owner=true&delimiter=%2F",
    );
    expect(texts(root, "Contents", "Key")).toEqual(["e/a+b%2Bc%01"]);
    expect(texts(root, "EncodingType")).toEqual(["url"]);
    expect(texts(root, "Contents", "Owner", "ID")).toHaveLength(1);
    expect(texts(await list("checks", "list-type=2&prefix=e/"), "Contents", "Owner")).toEqual([]);
  });

  it("24 versions: kept, listed, read, marked as deleted, and deleted for good", async () => {
    const path = target("versions", "k");
    const id = (answer: RawAnswer): string => String(answer.headers["x-amz-version-id"]);
    const first = id(await send(server, "PUT", path, { body: "one" }));
    const second = id(await send(server, "PUT", path, { body: "two" }));
    expect(first).not.toBe(second);
    expect((await send(server, "GET", path)).text).toBe("two");
    expect((await send(server, "GET", `${path}?versionId=${first}`)).text).toBe("one");
    const deleted = await send(server, "DELETE", path);
    expect([deleted.status, deleted.headers["x-amz-delete-marker"]]).toEqual([204, "true"]);
    const gone = await send(server, "GET", path);
    expect([gone.code, gone.headers["x-amz-delete-marker"]]).toEqual(["NoSuchKey", "true"]);
    expect((await send(server, "GET", `${path}?versionId=${id(deleted)}`)).code).toBe(
      "MethodNotAllowed",
    );
    expect((await send(server, "GET", `${path}?versionId=abc`)).code).toBe("NoSuchVersion");
    expect(texts(await list("versions", "list-type=2"), "Contents")).toEqual([]);
    const versionsOf = async (query = "") => {
      const answer = await send(server, "GET", target("versions", "", `versions${query}`));
      return xmlOf(answer, "ListVersionsResult");
    };
    const all = await versionsOf();
    expect(texts(all, "Version", "VersionId")).toEqual([second, first]);
    expect(texts(all, "DeleteMarker", "VersionId")).toEqual([id(deleted)]);
    expect(texts(all, "DeleteMarker", "IsLatest")).toEqual(["true"]);
    const page = await versionsOf("&max-keys=2");
    expect(texts(page, "NextKeyMarker")).toEqual(["k"]);
    expect(texts(page, "NextVersionIdMarker")).toEqual([second]);
    const next = await versionsOf(`&key-marker=k&version-id-marker=${second}`);
    expect(texts(next, "Version", "VersionId")).toEqual([first]);
    // A put under a condition sees that there is nothing.
    const created = await send(server, "PUT", path, {
      body: "three",
      headers: { "if-none-match": "*" },
    });
    expect(created.status).toBe(200);
    await send(server, "DELETE", `${path}?versionId=${id(created)}`);
    await send(server, "DELETE", `${path}?versionId=${id(deleted)}`);
    expect((await send(server, "GET", path)).text).toBe("two");
    const suspended =
      "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    await send(server, "PUT", target("versions", "", "versioning"), { body: suspended });
    const status = await send(server, "GET", target("versions", "", "versioning"));
    expect(texts(xmlOf(status, "VersioningConfiguration"), "Status")).toEqual(["Suspended"]);
    for (const body of ["four", "five"])
      expect(id(await send(server, "PUT", path, { body }))).toBe("null");
    expect(
      server
        .bucket("versions")
        .versions("k")
        .map(({ versionId }) => versionId),
    ).toEqual(["null", second, first]);
  });

  it("25 multipart uploads, with digests, aborted, and refused where they are wrong", async () => {
    const path = target("checks", "parts");
    const begin = async (headers: Record<string, string> = {}) => {
      const answer = await send(server, "POST", `${path}?uploads`, { headers });
      return texts(xmlOf(answer, "InitiateMultipartUploadResult"), "UploadId")[0] ?? "";
    };
    const upload = (
      id: string,
      number: number,
      body: Uint8Array,
      headers: Record<string, string> = {},
    ) => send(server, "PUT", `${path}?partNumber=${number}&uploadId=${id}`, { body, headers });
    const complete = (
      id: string,
      parts: ReadonlyArray<readonly [number, unknown]>,
      headers: Record<string, string> = {},
    ) =>
      send(server, "POST", `${path}?uploadId=${id}`, {
        headers,
        body: `<CompleteMultipartUpload>${parts.map(([number, tag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${tag}</ETag></Part>`).join("")}</CompleteMultipartUpload>`,
      });
    const [a, b] = [Buffer.alloc(150, "a"), Buffer.alloc(20, "b")];
    const id = await begin({ "x-amz-checksum-algorithm": "CRC32", "x-amz-meta-of": "parts" });
    const crc = (data: Uint8Array) => ({
      "x-amz-checksum-crc32": checksumOf("CRC32", data).toString("base64"),
    });
    const second = await upload(id, 7, b, crc(b));
    const first = await upload(id, 2, a, crc(a));
    expect((await upload(id, 3, a, crc(b))).code).toBe("BadDigest");
    expect((await upload(id, 0, a)).code).toBe("InvalidArgument");
    const shown = xmlOf(await send(server, "GET", `${path}?uploadId=${id}`), "ListPartsResult");
    expect(texts(shown, "Part", "PartNumber")).toEqual(["2", "7"]);
    const tags = [first.headers.etag, second.headers.etag];
    expect(
      (
        await complete(id, [
          [7, tags[1]],
          [2, tags[0]],
        ])
      ).code,
    ).toBe("InvalidPartOrder");
    expect((await complete(id, [[2, tags[1]]])).code).toBe("InvalidPart");
    expect(
      (
        await complete(id, [
          [2, tags[0]],
          [5, tags[1]],
        ])
      ).code,
    ).toBe("InvalidPart");
    expect((await get("parts")).code).toBe("NoSuchKey");
    expect(
      (
        await complete(id, [
          [2, tags[0]],
          [7, tags[1]],
        ])
      ).status,
    ).toBe(200);
    const whole = await get("parts", { "x-amz-checksum-mode": "ENABLED" });
    expect(whole.text).toBe(`${a}${b}`);
    expect(whole.headers.etag).toMatch(/^"[0-9a-f]{32}-2"$/);
    const sums = Buffer.concat([a, b].map((data) => checksumOf("CRC32", data)));
    expect(whole.headers["x-amz-checksum-crc32"]).toBe(
      `${checksumOf("CRC32", sums).toString("base64")}-2`,
    );
    expect(whole.headers["x-amz-meta-of"]).toBe("parts");
    expect((await complete(id, [[2, tags[0]]])).code).toBe("NoSuchUpload");

    const small = await begin();
    const parts = [await upload(small, 1, b), await upload(small, 2, b)].map(
      ({ headers }, index) => [index + 1, headers.etag] as const,
    );
    expect((await complete(small, parts)).code).toBe("EntityTooSmall");
    const late = await complete(small, parts.slice(0, 1), { "if-none-match": "*" });
    expect(late.code).toBe("PreconditionFailed");
    const listed = await send(server, "GET", target("checks", "", "uploads"));
    expect(texts(xmlOf(listed, "ListMultipartUploadsResult"), "Upload", "UploadId")).toEqual([
      small,
    ]);
    expect((await send(server, "DELETE", `${path}?uploadId=${small}`)).status).toBe(204);
    expect((await upload(small, 1, b)).code).toBe("NoSuchUpload");
  });

  it("26 copies, with the old or new metadata, under conditions", async () => {
    await put("source é", "copied", { headers: { "x-amz-meta-from": "here" } });
    const from = { "x-amz-copy-source": "/checks/source%20%C3%A9" };
    const copy = (headers: Record<string, string>, key = "copy") =>
      send(server, "PUT", target("checks", key), { headers: { ...from, ...headers } });
    expect(texts(xmlOf(await copy({}), "CopyObjectResult"), "ETag")).toEqual([etag("copied")]);
    const copied = await get("copy");
    expect([copied.text, copied.headers["x-amz-meta-from"]]).toEqual(["copied", "here"]);
    await copy({ "x-amz-metadata-directive": "REPLACE", "x-amz-meta-to": "there" });
    const replaced = await get("copy");
    expect([replaced.headers["x-amz-meta-from"], replaced.headers["x-amz-meta-to"]]).toEqual([
      undefined,
      "there",
    ]);
    expect((await copy({ "x-amz-copy-source-if-match": etag("x") })).code).toBe(
      "PreconditionFailed",
    );
    expect((await copy({}, "source é")).code).toBe("InvalidRequest");
    expect((await copy({ "x-amz-copy-source": "checks/nothing" })).code).toBe("NoSuchKey");
  });

  it("27 deletes in batches, which must carry a digest", async () => {
    for (const name of ["d/1", "d/2", "d/3"]) await put(name, "x");
    const path = target("checks", "", "delete");
    const batch = (names: readonly string[], quiet = false) => {
      const body = `<Delete><Quiet>${quiet}</Quiet>${names.map((name) => `<Object><Key>${name}</Key></Object>`).join("")}</Delete>`;
      return { body, headers: { "content-md5": md5(body) } };
    };
    const done = xmlOf(await send(server, "POST", path, batch(["d/1", "d/none"])), "DeleteResult");
    expect(texts(done, "Deleted", "Key")).toEqual(["d/1", "d/none"]);
    const quiet = xmlOf(await send(server, "POST", path, batch(["d/2"], true)), "DeleteResult");
    expect(quiet.children).toEqual([]);
    expect(texts(await list("checks", "list-type=2&prefix=d/"), "Contents", "Key")).toEqual([
      "d/3",
    ]);
    expect((await send(server, "POST", path, { body: batch(["d/3"]).body })).code).toBe(
      "InvalidRequest",
    );
    const many = Array.from({ length: 1001 }, (_unused, index) => `m${index}`);
    expect((await send(server, "POST", path, batch(many))).code).toBe("MalformedXML");
    expect((await send(server, "POST", path, batch([]))).code).toBe("MalformedXML");
    expect((await get("d/3")).status).toBe(200);
  });

  it("28 a wrong secret is refused; a presigned URL opens what it names for its time only", async () => {
    await put("signed for", "secret");
    const path = target("checks", "signed for");
    const wrong = { ...server.accessKey, secretAccessKey: "wrong" };
    expect((await send(server, "GET", path, { accessKey: wrong })).code).toBe(
      "SignatureDoesNotMatch",
    );
    expect((await send(server, "GET", path, { anonymous: true })).code).toBe("AccessDenied");
    const open = (url: string, method = "GET", body?: string) =>
      send(server, method, url, { anonymous: true, body });
    expect((await open(presign(server, "GET", path))).text).toBe("secret");
    expect((await open(presign(server, "GET", path, { dateMs: Date.now() - 61_000 }))).code).toBe(
      "AccessDenied",
    );
    expect(
      (await open(presign(server, "GET", target("checks", "other")).replace("other", "ranges")))
        .code,
    ).toBe("SignatureDoesNotMatch");
    expect((await open(presign(server, "GET", path), "DELETE")).code).toBe("SignatureDoesNotMatch");
    expect(
      (await open(presign(server, "PUT", target("checks", "uploaded")), "PUT", "by browser"))
        .status,
    ).toBe(200);
    expect((await get("uploaded")).text).toBe("by browser");
    const classed = presign(
      server,
      "PUT",
      target("checks", "classed", "x-amz-storage-class=STANDARD_IA"),
    );
    expect((await open(classed, "PUT", "x")).status).toBe(200);
    expect((await head("classed")).headers["x-amz-storage-class"]).toBe("STANDARD_IA");
    const named = presign(server, "GET", `${path}?response-content-type=text%2Fplain`);
    expect((await open(named)).headers["content-type"]).toBe("text/plain");
  });
});
