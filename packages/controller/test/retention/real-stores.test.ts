// Row 104 on real stores: sync from, and deletion in, a directory and a bucket, with repositories that are opened by the location's
// credentials and the installation's password.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@dm/core";
import { secrets } from "@dm/crds";
import { snapshotLabels } from "@dm/snapshot";
import {
  connectOrCreateVeleroRepository,
  openVeleroRepository,
  openVeleroStore,
  type VeleroLocation,
  veleroPasswordSecret,
} from "@dm/snapshot/velero";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bucketFolders } from "../../src/bucket/backup-store.ts";
import { bucketLister } from "../../src/bucket/list-folders.ts";
import { snapshotRepositories } from "../../src/repository/open-repository.ts";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { syncLocation } from "../../src/retention/sync-location.ts";
import { deriveKey, operator, World } from "./world.ts";

const key = { namespace: operator, name: "default" };
let world: World;
let directory: string;
let server: S3Server;
beforeEach(async () => {
  world = await World.open();
  directory = mkdtempSync(join(tmpdir(), "dm-retention-"));
  server = await startS3Server({ buckets: ["backups"] });
  const { client } = world.deps;
  const { accessKeyId, secretAccessKey } = server.accessKey;
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const cloud = `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  await client.create(secrets, {
    metadata: { namespace: operator, name: "cloud" },
    data: { cloud: base64(cloud) },
  });
  await client.create(secrets, {
    metadata: { namespace: operator, name: veleroPasswordSecret.name },
    data: { [veleroPasswordSecret.key]: base64("p") },
  });
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  await server.close();
  rmSync(directory, { recursive: true });
});

const deps = () => {
  const { client } = world.deps;
  return {
    client,
    clock: systemClock,
    logger: silentLogger,
    openFolder: bucketFolders(client),
    listFolders: bucketLister(client),
    openRepository: snapshotRepositories(client, { deriveKey }),
  };
};

async function check(spec: VeleroLocation & object): Promise<void> {
  world.modify("locations", "default", (location) => {
    location.spec = {
      ...spec,
      ...(spec.provider === "aws" && { credential: { name: "cloud", key: "cloud" } }),
    };
  });
  const { client } = world.deps;
  const secret = await client.get(secrets, { namespace: operator, name: "cloud" });
  const credentials = async (): Promise<string> =>
    Buffer.from(secret?.data?.["cloud"] ?? "", "base64").toString();
  const open = (create: boolean) =>
    openVeleroStore(spec, "shop", spec.provider === "aws" ? { credentials } : { create });
  // What the world has in memory goes to the real place, the snapshot ids included.
  const ids: string[] = [];
  {
    await using repository = await connectOrCreateVeleroRepository(await open(true), {
      password: "p",
      deriveKey,
    });
    await using session = await repository.openWriteSession();
    for (let at = 0; at < 2; at++) {
      const source = { host: "default", userName: "default", path: `x/kopia/shop/c${at}` };
      const body = { source, startTime: "2026-11-25T12:00:00Z", endTime: "2026-11-25T12:00:00Z" };
      ids.push(session.putManifest(snapshotLabels(source, {}), body));
    }
    await session.commit();
  }
  for (const [at, name] of ["kept", "nightly"].entries()) {
    const pod = { kind: "Pod", namespace: "shop", name: "db" };
    const podVolumeBackup = {
      metadata: { name: `${name}-v`, labels: { "velero.io/backup-name": name } },
      spec: { backupStorageLocation: "default", node: "n", pod, repoIdentifier: "", volume: "v" },
      status: { phase: "Completed", snapshotID: ids[at] },
    };
    await world.backup(name, { namespaces: [], podVolumeBackups: [podVolumeBackup] });
    const folder = await bucketFolders(client)(key, ["backups", name]);
    for (const path of world.filesOf(`backups/${name}/`))
      await folder.write(
        path.split("/").at(-1) ?? "",
        world.bucket.files.get(path) ?? new Uint8Array(),
      );
    await folder.close();
    world.api.delete("backups.velero.io", operator, name);
  }
  await syncLocation(deps(), key);
  expect(world.names("backups")).toEqual(["kept", "nightly"]);
  world.request("nightly");
  await reconcileDeleteRequest(deps(), { namespace: operator, name: "nightly-x" });
  expect([...world.names("requests"), ...world.names("backups")]).toEqual(["kept"]);
  expect(await bucketLister(client)(key, ["backups"])).toEqual(["kept"]);
  await using repository = await openVeleroRepository(await open(false), {
    password: "p",
    deriveKey,
  });
  const left = await repository.findManifests({ type: "snapshot" });
  expect(left.map(({ id }) => id)).toEqual([ids[0]]);
}

it("a directory", async () => {
  await check({
    provider: "velero.io/fs",
    config: { fspath: directory },
    objectStorage: { bucket: "b" },
  });
  expect(readdirSync(join(directory, "backups"))).toEqual(["kept"]);
});

it("a bucket", async () => {
  await check({
    provider: "aws",
    objectStorage: { bucket: "backups", prefix: "velero" },
    config: { s3Url: server.url, region: "us-east-1" },
  });
  const names = server.bucket("backups").keys.filter((one) => one.startsWith("velero/backups/"));
  expect(new Set(names.map((one) => one.split("/")[2]))).toEqual(new Set(["kept"]));
});
