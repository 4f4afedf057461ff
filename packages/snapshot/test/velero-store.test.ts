// Locations of every provider are opened as stores, with the credentials that Velero's secrets hold; what is wrong in them is
// told without a secret.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBase64, utf8Encode } from "@dm/core";
import { selfSignedCertificate, startS3Server } from "@dm/storage/testing/s3";
import { describe, expect, it } from "vitest";
import {
  checkVeleroLocation,
  connectOrCreateVeleroRepository,
  listVeleroFolders,
  openVeleroFolder,
  openVeleroStore,
  signVeleroUrl,
  type VeleroLocation,
} from "../src/velero/index.ts";
import { isVeleroRepository } from "../src/velero/velero-repository.ts";
import { deriveKey } from "./new-repository.ts";

const refused = { code: "DM_VELERO_LOCATION_INVALID" };
const bucket = { bucket: "backups", prefix: "velero" };

describe("the credential file of AWS", () => {
  const location = (s3Url: string, config: Record<string, string> = {}): VeleroLocation => ({
    provider: "aws",
    objectStorage: bucket,
    config: { s3Url, region: "us-east-1", ...config },
  });

  it("is read by profile, and again when the server refuses what it said", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    let reads = 0;
    const credentials = async (): Promise<string> => {
      const key = reads++ === 0 ? "outdated" : secretAccessKey;
      return `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${key}\n`;
    };
    const store = await openVeleroStore(location(server.url), "shop", { credentials });
    await store.put("pabc", utf8Encode("x"));
    expect(reads).toBe(2);
    expect(server.bucket("backups").keys).toEqual(["velero/kopia/shop/pabc"]);
    await store.close();
    const other = await openVeleroStore(location(server.url, { profile: "none" }), "shop", {
      credentials,
    });
    await expect(other.get("pabc")).rejects.toThrow(/no profile none/);
    await other.close();
  });

  it("row 72: a refusal of the server is told at once, without the key", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const credentials = async (): Promise<string> =>
      "[default]\naws_access_key_id=AKIA\naws_secret_access_key=hidden\n";
    const store = await openVeleroStore(location(server.url), "shop", { credentials });
    const failure = await store.get("pabc").catch((error) => error);
    expect(failure.name).toBe("AccessError");
    expect(JSON.stringify(failure) + failure.message).not.toContain("hidden");
    await store.close();
  });

  it("goes with the certificate authority of the location", async () => {
    const tls = selfSignedCertificate();
    await using server = await startS3Server({ buckets: ["backups"], tls });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    const credentials = async (): Promise<string> =>
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const caCert = toBase64(utf8Encode(tls.cert));
    const trusted = { ...location(server.url), objectStorage: { ...bucket, caCert } };
    const store = await openVeleroStore(trusted, "shop", { credentials, attempts: 1 });
    await store.put("pabc", utf8Encode("x"));
    await store.close();
    const distrusted = await openVeleroStore(location(server.url), "shop", {
      credentials,
      attempts: 1,
    });
    await expect(distrusted.get("pabc")).rejects.toThrow(/certificate/);
    await distrusted.close();
    const broken = { ...trusted, objectStorage: { ...bucket, caCert: "no" } };
    await expect(openVeleroStore(broken, "shop")).rejects.toMatchObject(refused);
  });
});

it("the variables of Azure name account, key or client", async () => {
  const location: VeleroLocation = {
    provider: "azure",
    objectStorage: { bucket: "container" },
    config: { storageAccount: "shop", storageAccountKeyEnvVar: "KEY" },
  };
  const credentials = async (): Promise<string> =>
    "AZURE_CLOUD_NAME=AzurePublicCloud\nKEY='a2V5'\n";
  const store = await openVeleroStore(location, "shop", { credentials });
  expect(store).toMatchObject({ type: "azureBlob", readOnly: false });
  const wrong = openVeleroStore(location, "shop", { credentials: async () => "KEY=not base64!" });
  await expect(wrong).rejects.toThrow(/^(?!.*not base64!)/);
});

it("Google's key file is JSON, and its text is never quoted", async () => {
  const location: VeleroLocation = { provider: "velero.io/gcp", objectStorage: bucket };
  const credentials = async (): Promise<string> => "hidden";
  const store = await openVeleroStore(location, "shop", { credentials });
  expect(store.type).toBe("gcs");
  const failure = await store.get("pabc").catch((error) => error);
  expect(failure.message).not.toContain("hidden");
});

it.each<[string, VeleroLocation]>([
  ["a directory that is not absolute", { provider: "fs", config: { fspath: "backup" } }],
  ["no directory", { provider: "fs" }],
  ["no bucket", { provider: "aws" }],
  ["a path in s3Url", { provider: "aws", config: { s3Url: "http://s3/x" }, objectStorage: bucket }],
  ["an unknown provider", { provider: "tape" }],
])("%s is refused", async (_, location) => {
  await expect(openVeleroStore(location, "shop")).rejects.toMatchObject(refused);
});

describe("checkVeleroLocation", () => {
  it("asks once, and tells a bucket that is not there from one that is empty", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    const credentials = async (): Promise<string> =>
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const of = (name: string): VeleroLocation => ({
      provider: "aws",
      objectStorage: { bucket: name, prefix: "velero" },
      config: { s3Url: server.url, region: "us-east-1" },
    });
    await checkVeleroLocation(of("backups"), { credentials });
    expect(server.counts.ListObjectsV2).toBe(1);
    await expect(checkVeleroLocation(of("other"), { credentials })).rejects.toMatchObject({
      code: "DM_STORE_NOT_FOUND",
    });
    const wrong = async (): Promise<string> =>
      "[default]\naws_access_key_id=A\naws_secret_access_key=B\n";
    await expect(checkVeleroLocation(of("backups"), { credentials: wrong })).rejects.toMatchObject({
      name: "AccessError",
    });
  });

  it("of a directory, it must be there", async () => {
    await checkVeleroLocation({ provider: "fs", config: { fspath: import.meta.dirname } });
    const none = checkVeleroLocation({ provider: "fs", config: { fspath: "/none/of/these" } });
    await expect(none).rejects.toMatchObject({ code: "DM_STORE_NOT_FOUND" });
  });
});

it("a repository is made on a server that does not know conditional puts, too", async () => {
  await using server = await startS3Server({
    buckets: ["backups"],
    missingFeatures: ["conditions"],
  });
  const { accessKeyId, secretAccessKey } = server.accessKey;
  const location: VeleroLocation = {
    provider: "aws",
    objectStorage: bucket,
    config: { s3Url: server.url, region: "us-east-1" },
  };
  const credentials = async (): Promise<string> =>
    `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  const store = await openVeleroStore(location, "shop", { credentials });
  await using repository = await connectOrCreateVeleroRepository(store, {
    password: "p",
    deriveKey,
  });
  expect(await isVeleroRepository(repository)).toBe(true);
});

describe("listVeleroFolders", () => {
  async function fill(location: VeleroLocation, options: object): Promise<void> {
    for (const folder of [
      ["backups", "monday"],
      ["backups", "tuesday"],
      ["kopia", "shop"],
    ]) {
      const store = await openVeleroFolder(location, folder, { ...options, create: true });
      await store.put("velero-backup.json", utf8Encode("{}"));
      await store.close();
    }
  }
  async function check(location: VeleroLocation, options: object): Promise<void> {
    expect(await listVeleroFolders(location, ["backups"], options)).toEqual([]);
    await fill(location, options);
    expect(await listVeleroFolders(location, ["backups"], options)).toEqual(["monday", "tuesday"]);
    expect(await listVeleroFolders(location, [], options)).toEqual(["backups", "kopia"]);
    expect(await listVeleroFolders(location, ["restores"], options)).toEqual([]);
  }

  it.each(["velero", undefined])("of a bucket, with prefix %s", async (prefix) => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    const credentials = async (): Promise<string> =>
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const location = (name: string): VeleroLocation => ({
      provider: "aws",
      objectStorage: { bucket: name, prefix },
      config: { s3Url: server.url, region: "us-east-1" },
    });
    await check(location("backups"), { credentials });
    await expect(
      listVeleroFolders(location("none"), ["backups"], { credentials, attempts: 1 }),
    ).rejects.toMatchObject({ code: "DM_STORE_NOT_FOUND" });
  });

  it("of a directory", async () => {
    const directory = await mkdtemp(join(tmpdir(), "velero-folders-"));
    const fs = (fspath: string): VeleroLocation => ({ provider: "fs", config: { fspath } });
    try {
      await check(fs(directory), {});
      await expect(
        listVeleroFolders(fs(join(directory, "none")), ["backups"]),
      ).rejects.toMatchObject({ code: "DM_STORE_NOT_FOUND" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("signVeleroUrl", () => {
  it("signs for the public name of the server, and for the server where there is none", async () => {
    await using server = await startS3Server({ buckets: ["backups"] });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    const credentials = async (): Promise<string> =>
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const location = (config: object = {}): VeleroLocation => ({
      provider: "aws",
      objectStorage: { bucket: "backups", prefix: "velero" },
      config: { s3Url: server.url, region: "us-east-1", ...config },
    });
    const store = await openVeleroFolder(location(), ["backups", "nightly"], { credentials });
    await store.put("nightly-logs.gz", utf8Encode("log"));
    await store.close();
    const sign = (of: VeleroLocation) =>
      signVeleroUrl(of, ["backups", "nightly", "nightly-logs.gz"], {
        credentials,
        lifetimeMs: 600_000,
      });
    expect(await (await fetch(await sign(location()))).text()).toBe("log");
    expect(await sign(location({ publicUrl: "https://s3.example.org/" }))).toMatch(
      /^https:\/\/s3\.example\.org\/backups\/velero\/backups\/nightly\/nightly-logs\.gz\?/,
    );
    await expect(sign(location({ publicUrl: "https://s3.example.org/x" }))).rejects.toMatchObject(
      refused,
    );
  });

  it("a directory has no URLs", async () => {
    const location = { provider: "fs", config: { fspath: "/backup" } };
    await expect(
      signVeleroUrl(location, ["backups", "a", "b"], { lifetimeMs: 600_000 }),
    ).rejects.toMatchObject({ code: "DM_STORE_OPTION_UNSUPPORTED" });
  });
});
