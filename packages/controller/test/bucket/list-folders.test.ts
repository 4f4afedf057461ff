// Buckets of locations are listed with the credentials of now, one folder deep; a place that others use is refused with Velero's words.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupStorageLocations, crdManifests, secrets } from "@dm/crds";
import { startS3Server } from "@dm/storage/testing/s3";
import { createApiServer } from "@dm/testbed";

import { describe, expect, it } from "vitest";
import { bucketFolders } from "../../src/bucket/backup-store.ts";
import { bucketLister, checkTopLevel } from "../../src/bucket/list-folders.ts";
import { clusterClient } from "../expose/cluster-client.ts";

const key = { namespace: "velero", name: "default" };

async function cluster(spec: object) {
  const server = await createApiServer({ tls: false });
  for (const crd of crdManifests())
    server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  server.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "velero" },
  });
  const client = clusterClient(server.cluster);
  await client.create(backupStorageLocations, {
    apiVersion: "velero.io/v1",
    kind: "BackupStorageLocation",
    metadata: key,
    spec,
  } as never);
  return { server, client };
}

it("a bucket, with credentials that change", async () => {
  await using store = await startS3Server({ buckets: ["backups"] });
  const { accessKeyId, secretAccessKey } = store.accessKey;
  const { client, server } = await cluster({
    provider: "aws",
    objectStorage: { bucket: "backups", prefix: "velero" },
    config: { s3Url: store.url, region: "us-east-1" },
    credential: { name: "cloud", key: "cloud" },
  });
  const text = (secret: string) =>
    Buffer.from(
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secret}\n`,
    ).toString("base64");
  const secret = { metadata: { namespace: "velero", name: "cloud" } };
  await client.create(secrets, { ...secret, data: { cloud: text("wrong") } });
  const list = bucketLister(client);
  await expect(list(key, ["backups"])).rejects.toMatchObject({
    code: "DM_STORE_CREDENTIALS_INVALID",
  });
  await client.patch(
    secrets,
    { namespace: "velero", name: "cloud" },
    {
      data: { cloud: text(secretAccessKey) },
    },
  );
  for (const name of ["monday", "tuesday"]) {
    const folder = await bucketFolders(client)(key, ["backups", name]);
    await folder.write("velero-backup.json", new Uint8Array(2));
    await folder.close();
  }
  expect(await list(key, ["backups"])).toEqual(["monday", "tuesday"]);
  expect(await list(key, [])).toEqual(["backups"]);
  expect(await list(key, ["kopia"])).toEqual([]);
  await server.close();
});

it("a directory, from which a folder without files is removed", async () => {
  const fspath = mkdtempSync(join(tmpdir(), "dm-folders-"));
  const { client, server } = await cluster({
    provider: "velero.io/fs",
    config: { fspath },
    objectStorage: { bucket: "b" },
  });
  const list = bucketLister(client);
  const folder = await bucketFolders(client)(key, ["backups", "nightly"]);
  const files = [
    "velero-backup.json",
    "a-file-whose-name-is-longer-than-twenty-characters.json.gz",
  ];
  for (const file of files) await folder.write(file, new Uint8Array(2));
  await folder.remove?.();
  expect((await folder.list()).sort()).toEqual([...files].sort());
  for (const file of files) await folder.delete(file);
  expect(await list(key, ["backups"])).toEqual(["nightly"]);
  await folder.remove?.();
  await folder.remove?.();
  const gone = await bucketFolders(client)(key, ["backups", "gone"]);
  expect(await gone.read("velero-backup.json")).toBeUndefined();
  expect(await gone.list()).toEqual([]);
  await gone.delete("velero-backup.json");
  await gone.close();
  await folder.close();
  expect(await list(key, ["backups"])).toEqual([]);
  mkdirSync(join(fspath, "photos"));
  expect(await list(key, [])).toEqual(["backups", "photos"]);
  rmSync(fspath, { recursive: true });
  await server.close();
});

describe("checkTopLevel", () => {
  it("takes what Velero makes", () => {
    checkTopLevel(["backups", "restores", "restic", "metadata", "plugins", "kopia"]);
    checkTopLevel([]);
  });

  it("names what is not Velero's", () => {
    expect(() => checkTopLevel(["backups", "photos", "mail"])).toThrow(
      "Backup store contains invalid top-level directories: [mail photos]",
    );
    expect(() => checkTopLevel(["a", "b", "c", "d"])).toThrow(
      "Backup store contains 4 invalid top-level directories: [a b c ...]",
    );
  });
});
