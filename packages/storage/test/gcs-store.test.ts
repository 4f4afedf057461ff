// The Google Cloud store passes the contract over a fake of the JSON API, by Node's client and by fetch, in a bucket with object
// retention; its requests are asserted. What others' code says: test/gcs.fake-gcs-server.test.ts.
import { expect, it } from "vitest";
import { gcsStore } from "../src/gcs.ts";
import { fetchTransport } from "../src/s3.ts";
import { gcsOn, startFakeGcs } from "./fake-gcs.ts";
import { onFake, utf8 } from "./object-service.ts";
import { testObjectStore } from "./object-store.ts";

const on = onFake(startFakeGcs, gcsOn);

testObjectStore({
  on,
  type: "gcs",
  displayName: "GCS: blobs",
  openFetching: () => on.open({ transport: fetchTransport() }),
});

it("puts with the MD5, and keeps a time where kopia does", async () => {
  await on.open().put("p1", utf8("one"), {
    timestampNs: 1_577_934_245_000_000_001n,
    ifAbsent: true,
  });
  expect(on.fake.seen.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)).toEqual([
    "POST /upload/storage/v1/b/blobs/o?fields=name&ifGenerationMatch=0&uploadType=multipart",
  ]);
  expect(on.fake.seen[0]?.body.toString()).toContain('"md5Hash":"+XxdKZQb+xsv2rCHSQargg=="');
  expect(on.fake.current("k/p1")?.metadata).toEqual({ "Kopia-Mtime": "1577934245000000001" });
});

it("refuses buckets and endpoints that are none", () => {
  expect(() => gcsStore({ bucket: "A" })).toThrow(TypeError);
  expect(() => gcsStore({ bucket: "blobs", endpoint: "nonsense" })).toThrow(TypeError);
  expect(() => gcsStore({ bucket: "blobs", prefix: "a/../b" })).toThrow(TypeError);
});
