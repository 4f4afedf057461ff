// URLs of buckets: who has the bucket's name in the host, whose region stands in the name, what is no endpoint.
import { describe, expect, it } from "vitest";
import { bucketAddress } from "../src/s3/endpoint.ts";

describe("bucketAddress", () => {
  it.each([
    [{ endpoint: "s3.amazonaws.com" }, "https://data.s3.amazonaws.com/", "us-east-1"],
    [{ endpoint: "s3.amazonaws.com", bucket: "a.b" }, "https://s3.amazonaws.com/a.b/", "us-east-1"],
    [
      { endpoint: "s3.amazonaws.com", pathStyle: true },
      "https://s3.amazonaws.com/data/",
      "us-east-1",
    ],
    [
      { endpoint: "s3.eu-west-1.amazonaws.com" },
      "https://data.s3.eu-west-1.amazonaws.com/",
      "eu-west-1",
    ],
    [
      { endpoint: "s3-us-west-2.amazonaws.com" },
      "https://data.s3-us-west-2.amazonaws.com/",
      "us-west-2",
    ],
    [
      { endpoint: "s3.dualstack.eu-north-1.amazonaws.com" },
      "https://data.s3.dualstack.eu-north-1.amazonaws.com/",
      "eu-north-1",
    ],
    [
      { endpoint: "s3.cn-north-1.amazonaws.com.cn" },
      "https://data.s3.cn-north-1.amazonaws.com.cn/",
      "cn-north-1",
    ],
    [
      { endpoint: "s3.us-gov-west-1.amazonaws.com" },
      "https://data.s3.us-gov-west-1.amazonaws.com/",
      "us-gov-west-1",
    ],
    [{ endpoint: "storage.googleapis.com" }, "https://data.storage.googleapis.com/", "us-east-1"],
    [{ endpoint: "127.0.0.1:9000", tls: false }, "http://127.0.0.1:9000/data/", "us-east-1"],
    [{ endpoint: "[::1]:9000", tls: false }, "http://[::1]:9000/data/", "us-east-1"],
    [
      { endpoint: "http://minio.shop.svc:9000", tls: true },
      "http://minio.shop.svc:9000/data/",
      "us-east-1",
    ],
    [
      { endpoint: "https://minio.shop.svc", tls: false, region: "rack1" },
      "https://minio.shop.svc/data/",
      "rack1",
    ],
    [
      { endpoint: "minio.example.com", pathStyle: false },
      "https://data.minio.example.com/",
      "us-east-1",
    ],
    [
      { endpoint: "abc.r2.cloudflarestorage.com" },
      "https://abc.r2.cloudflarestorage.com/data/",
      "auto",
    ],
    [
      { endpoint: "s3.us-west-004.backblazeb2.com" },
      "https://s3.us-west-004.backblazeb2.com/data/",
      "us-west-004",
    ],
    [
      { endpoint: "amazonaws.com.example.org" },
      "https://amazonaws.com.example.org/data/",
      "us-east-1",
    ],
  ])("%j is %s in %s", (options, url, region) => {
    const found = bucketAddress({ bucket: "data", ...options });
    expect(found).toMatchObject({ bucketUrl: url, region, tls: url.startsWith("https:") });
  });

  it("moves to another region at AWS only", () => {
    const moved = (endpoint: string, region: string): string =>
      bucketAddress({ endpoint, bucket: "data" }).inRegion(region).bucketUrl;
    expect(moved("s3.amazonaws.com", "eu-west-1")).toBe("https://data.s3.eu-west-1.amazonaws.com/");
    expect(moved("s3.us-east-2.amazonaws.com", "cn-north-1")).toBe(
      "https://data.s3.cn-north-1.amazonaws.com.cn/",
    );
    expect(moved("garage.example.com", "garage")).toBe("https://garage.example.com/data/");
  });

  it.each([
    { endpoint: "" },
    { endpoint: "s3.example.com/path" },
    { endpoint: "https://user:pass@s3.example.com" },
    { endpoint: "s3.example.com?x" },
    { endpoint: "ftp://s3.example.com" },
    { endpoint: "s3.example.com", bucket: "" },
    { endpoint: "s3.example.com", bucket: "a/b" },
  ])("refuses %j", (options) => {
    expect(() => bucketAddress({ bucket: "data", ...options })).toThrow(TypeError);
  });
});
