// The bucket that a real Velero server wrote, over S3: its backups appear in a cluster of ours, and can be deleted one by one with
// everything that is only theirs.
import {
  deleteBackupRequests,
  type PodVolumeBackup,
  podVolumeBackups,
  type Restore,
  restores,
} from "@dm/crds";
import { unexpired } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { snapshotRepositories } from "../../src/repository/open-repository.ts";
import { realBackups, realFile, realObjects, text, unzipped } from "./real-bucket.ts";
import { bucket, locationName, namespace, openBucket, ServerScene } from "./server-scene.ts";

let scene: ServerScene;
beforeEach(async () => {
  const s3 = await openBucket(unexpired({ objects: realObjects }));
  scene = await ServerScene.open({ s3, withControllers: true });
  await scene.until(async () => {
    const found = await Promise.all(realBackups.map((name) => scene.backup(name)));
    const volumes = await podVolumes();
    return found.every(Boolean) && volumes.length > 0 ? true : undefined;
  });
});
afterEach(async () => {
  await scene[Symbol.asyncDispose]();
  await scene.s3.close();
});

async function podVolumes(): Promise<readonly PodVolumeBackup[]> {
  return (await scene.client.list(podVolumeBackups, { namespace })).items;
}

const keys = (prefix: string): string[] =>
  scene.s3.bucket(bucket).keys.filter((key) => key.startsWith(`velero/${prefix}`));

async function snapshots(): Promise<string[]> {
  const open = snapshotRepositories(scene.client, { environment: {} });
  const repository = await open({ namespace, name: locationName }, "mysql-persistent", {
    readOnly: true,
  });
  if (!repository) throw new Error("there is no repository");
  try {
    return (await repository.listSnapshots()).map(({ id }) => id).sort();
  } finally {
    await repository.close();
  }
}

async function deleteBackup(name: string): Promise<void> {
  const metadata = { name: `${name}-1`, namespace };
  await scene.client.create(deleteBackupRequests, {
    apiVersion: "velero.io/v1",
    kind: "DeleteBackupRequest",
    metadata,
    spec: { backupName: name },
  });
  await scene.until(async () => {
    const request = await scene.client.get(deleteBackupRequests, metadata);
    if (request?.status?.errors?.length) throw new Error(request.status.errors.join());
    return request || (await scene.backup(name)) ? undefined : true;
  });
}

const ofData = "d9db3242bdbe7f246f1a2822169a108d";
const ofPod = "217bdd57744d99136f34046e84d1f1fc";

describe("the bucket of a real Velero server", { timeout: 60_000 }, () => {
  it("has its backups appear as they ended", async () => {
    for (const name of realBackups) {
      const real = JSON.parse(text(realFile(`backups/${name}`, "velero-backup.json")));
      const synced = await scene.backup(name);
      expect(synced?.spec).toEqual(real.spec);
      const expiration = synced?.status?.expiration;
      expect(synced?.status).toEqual({ ...real.status, expiration });
      expect(synced?.metadata.uid).not.toBe(real.metadata.uid);
      expect(synced?.metadata.labels).toEqual(real.metadata.labels);
      expect(synced?.metadata.annotations).toEqual(real.metadata.annotations);
    }
    const [volume, ...others] = await podVolumes();
    const [real] = JSON.parse(
      unzipped(realFile("backups/fsb", "fsb-podvolumebackups.json.gz")),
    ) as PodVolumeBackup[];
    expect(others).toEqual([]);
    expect(volume?.metadata.name).toBe(real?.metadata.name);
    expect(volume?.spec).toEqual(real?.spec);
    expect(volume?.status).toEqual(real?.status);
    expect(volume?.metadata.ownerReferences).toEqual([
      expect.objectContaining({ uid: (await scene.backup("fsb"))?.metadata.uid }),
    ]);
    // Nothing was written but the status of the location.
    expect(scene.s3.bucket(bucket).keys).toEqual([...realObjects.keys()].sort());
  });

  it("loses a backup with its snapshot, its files and its restores, and nothing of another", async () => {
    expect(await snapshots()).toEqual([ofPod, ofData]);
    const restore = { metadata: { name: "moved-clean", namespace }, spec: { backupName: "moved" } };
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      ...restore,
      status: { phase: "Completed" },
    } as Restore);
    await scene.client.patch(restores, restore.metadata, { status: { phase: "Completed" } });
    const others = keys("backups/").filter((key) => !key.includes("/moved/"));
    await deleteBackup("moved");
    expect(await snapshots()).toEqual([ofPod]);
    expect(keys("backups/")).toEqual(others);
    expect(keys("restores/moved-clean")).toEqual([]);
    // Of a Restore that this cluster does not have.
    expect(keys("restores/moved-copy")).toHaveLength(5);
    expect(await podVolumes()).toHaveLength(1);
    await deleteBackup("fsb");
    expect(await snapshots()).toEqual([]);
    expect(await podVolumes()).toEqual([]);
    for (const name of ["plain", "partly"]) await deleteBackup(name);
    expect(keys("backups/")).toEqual([]);
  });
});
