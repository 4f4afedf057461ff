// Where Velero keeps a repository: provider, prefix, bucket and S3 server of a backup storage location, by its rules.
import { describe, expect, it } from "vitest";
import {
  type VeleroLocation,
  veleroBackend,
  veleroBucket,
  veleroFolder,
  veleroPrefix,
  veleroS3Endpoint,
} from "../src/velero/location.ts";

const refused = expect.objectContaining({ code: "DM_VELERO_LOCATION_INVALID" });

describe("veleroBackend", () => {
  it.each([
    ["aws", "s3"],
    ["velero.io/aws", "s3"],
    ["azure", "azure"],
    ["velero.io/gcp", "gcs"],
    ["fs", "filesystem"],
  ])("%s is %s", (provider, backend) => {
    expect(veleroBackend({ provider })).toBe(backend);
  });

  it("any other with s3Url is S3, without it none", () => {
    expect(veleroBackend({ provider: "acme.com/s3", config: { s3Url: "https://s3" } })).toBe("s3");
    expect(() => veleroBackend({ provider: "acme" })).toThrow(refused);
    expect(() => veleroBackend({ provider: "toString" })).toThrow(refused);
  });
});

it("the files of a backup lie beside the repositories", () => {
  const location = { provider: "aws", objectStorage: { bucket: "b", prefix: "/velero/" } };
  expect(veleroFolder(location, ["backups", "nightly"])).toBe("velero/backups/nightly/");
});

describe("veleroPrefix", () => {
  it.each<[string | undefined, string]>([
    [undefined, "kopia/shop/"],
    ["", "kopia/shop/"],
    ["velero", "velero/kopia/shop/"],
    ["/a//b/", "a/b/kopia/shop/"],
    ["a/../b", "b/kopia/shop/"],
  ])("%j and namespace shop", (prefix, expected) => {
    expect(veleroPrefix({ provider: "aws", objectStorage: { bucket: "b", prefix } }, "shop")).toBe(
      expected,
    );
  });

  it("comes from the config where there is no objectStorage", () => {
    const location: VeleroLocation = { provider: "aws", config: { prefix: "p", bucket: "b" } };
    expect(veleroPrefix(location, "shop")).toBe("p/kopia/shop/");
    expect(veleroBucket(location)).toBe("b");
    expect(() => veleroBucket({ ...location, objectStorage: {} })).toThrow(refused);
  });
});

describe("veleroS3Endpoint", () => {
  const endpoint = (config: Record<string, string>) =>
    veleroS3Endpoint({ provider: "aws", config });

  it("is the host of s3Url, and TLS by its scheme", () => {
    expect(endpoint({ s3Url: "http://127.0.0.1:9000", region: "minio" })).toEqual({
      endpoint: "127.0.0.1:9000",
      tls: false,
      verifyTls: true,
      region: "minio",
    });
    expect(endpoint({ s3Url: "https://s3.shop/", insecureSkipTLSVerify: "true" })).toMatchObject({
      endpoint: "s3.shop",
      tls: true,
      verifyTls: false,
    });
  });

  it("is AWS without s3Url", () => {
    expect(endpoint({ region: "eu-west-1" }).endpoint).toBe("s3-eu-west-1.amazonaws.com");
    expect(endpoint({})).toMatchObject({ endpoint: "s3.amazonaws.com", region: undefined });
  });

  it.each(["https://s3/path", "ftp://s3", "s3", "https://user:secret@s3"])(
    "refuses %s",
    (s3Url) => {
      expect(() => endpoint({ s3Url })).toThrow(refused);
      expect(() => endpoint({ s3Url })).not.toThrow(/secret/);
    },
  );
});
