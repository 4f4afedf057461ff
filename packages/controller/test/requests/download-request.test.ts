// Each kind of file that clients ask for, with a URL under which it can be read for ten minutes; and what is refused, with its reason.

import { manualClock, nsPerMs, silentLogger } from "@dm/core";
import {
  backupStorageLocations,
  backups,
  crdManifests,
  type DownloadRequest,
  downloadRequests,
  downloadTargetKinds,
  restores,
  secrets,
} from "@dm/crds";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { type ApiServer, createApiServer } from "@dm/testbed";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bucketFolders } from "../../src/bucket/backup-store.ts";
import { bucketUrls } from "../../src/bucket/sign-url.ts";
import { downloadPath } from "../../src/requests/download-target.ts";
import { reconcileDownloadRequest } from "../../src/requests/reconcile-download-request.ts";
import { builtInPlugins } from "../../src/requests/request-deps.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { clusterClient } from "../expose/cluster-client.ts";

const namespace = "velero";
const clock = manualClock(0n);
let bucket: S3Server;
let server: ApiServer;
let client: KubeClient;
let told: string[];
beforeEach(async () => {
  clock.set(BigInt(Date.now()) * nsPerMs);
  told = [];
  bucket = await startS3Server({ buckets: ["backups"] });
  server = await createApiServer({ tls: false });
  for (const crd of crdManifests())
    server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  server.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace },
  });
  client = clusterClient(server.cluster);
  const { accessKeyId, secretAccessKey } = bucket.accessKey;
  const text = `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  await client.create(secrets, {
    metadata: { namespace, name: "cloud" },
    data: { cloud: Buffer.from(text).toString("base64") },
  });
  await location("default", {
    provider: "aws",
    objectStorage: { bucket: "backups", prefix: "velero" },
    config: { s3Url: bucket.url, region: "us-east-1" },
    credential: { name: "cloud", key: "cloud" },
  });
  await location("disk", {
    provider: "velero.io/fs",
    config: { fspath: "/backup" },
    objectStorage: { bucket: "b" },
  });
  await backup("nightly", "default");
  await client.create(restores, {
    metadata: { namespace, name: "back" },
    spec: { backupName: "nightly" },
  } as never);
});
afterEach(async () => {
  await server.close();
  await bucket.close();
});

const location = (name: string, spec: object) =>
  client.create(backupStorageLocations, {
    apiVersion: "velero.io/v1",
    kind: "BackupStorageLocation",
    metadata: { namespace, name },
    spec,
  } as never);
const backup = (name: string, storageLocation: string) =>
  client.create(backups, { metadata: { namespace, name }, spec: { storageLocation } });
const deps = () => ({
  client,
  clock,
  logger: silentLogger,
  signUrl: bucketUrls(client),
  serverVersion: "v1",
  plugins: builtInPlugins,
  events: {
    record: (_: unknown, __: unknown, event: { message: string }) => void told.push(event.message),
  },
});
const key = { namespace, name: "request" };
async function ask(kind: string, name: string): Promise<DownloadRequest["status"]> {
  await client.create(downloadRequests, {
    metadata: key,
    spec: { target: { kind, name } },
  } as never);
  expect(await reconcileDownloadRequest(deps(), key)).toEqual({ requeueAfterMs: 600_000 });
  return (await client.get(downloadRequests, key))?.status;
}

it.each(downloadTargetKinds)("%s", async (kind) => {
  const name = kind.startsWith("Restore") ? "back" : "nightly";
  const [folder, , file] = downloadPath(kind, name) ?? ["backups", "", ""];
  const open = await bucketFolders(client)({ namespace, name: "default" }, [folder, name]);
  await open.write(file, new TextEncoder().encode(kind));
  await open.close();
  const status = await ask(kind, name);
  expect(status?.phase).toBe("Processed");
  expect(await (await fetch(status?.downloadURL ?? "")).text()).toBe(kind);
});

it("the names of the files are Velero's", () => {
  const paths = Object.fromEntries(
    downloadTargetKinds.map((kind) => [kind, downloadPath(kind, "n")?.join("/")]),
  );
  expect(paths).toEqual({
    BackupLog: "backups/n/n-logs.gz",
    BackupContents: "backups/n/n.tar.gz",
    BackupVolumeSnapshots: "backups/n/n-volumesnapshots.json.gz",
    BackupItemOperations: "backups/n/n-itemoperations.json.gz",
    BackupResourceList: "backups/n/n-resource-list.json.gz",
    BackupResults: "backups/n/n-results.gz",
    RestoreLog: "restores/n/restore-n-logs.gz",
    RestoreResults: "restores/n/restore-n-results.gz",
    RestoreResourceList: "restores/n/restore-n-resource-list.json.gz",
    RestoreItemOperations: "restores/n/restore-n-itemoperations.json.gz",
    CSIBackupVolumeSnapshots: "backups/n/n-csi-volumesnapshots.json.gz",
    CSIBackupVolumeSnapshotContents: "backups/n/n-csi-volumesnapshotcontents.json.gz",
    BackupVolumeInfos: "backups/n/n-volumeinfo.json.gz",
    RestoreVolumeInfo: "restores/n/n-volumeinfo.json.gz",
  });
  expect(downloadPath("constructor", "n")).toBeUndefined();
});

it("goes after ten minutes, with its URL", async () => {
  await ask("BackupLog", "nightly");
  clock.advance(598_000);
  const { requeueAfterMs = 0 } = await reconcileDownloadRequest(deps(), key);
  expect(requeueAfterMs).toBeGreaterThan(0);
  expect(requeueAfterMs).toBeLessThanOrEqual(2_000);
  clock.advance(2_000);
  await reconcileDownloadRequest(deps(), key);
  expect(await client.get(downloadRequests, key)).toBeUndefined();
  expect(await reconcileDownloadRequest(deps(), key)).toEqual({});
});

it.each<[string, string, string, () => Promise<unknown>]>([
  ["BackupLog", "none", "backup none does not exist", async () => {}],
  ["RestoreLog", "none", "restore none does not exist", async () => {}],
  [
    "RestoreLog",
    "new",
    "restore new names no backup yet",
    () =>
      client.create(restores, {
        metadata: { namespace, name: "new" },
        spec: { scheduleName: "s" },
      } as never),
  ],
  ["BackupLog", "lost", "backup storage location gone not found", () => backup("lost", "gone")],
  [
    "BackupLog",
    "local",
    "storage of type filesystem does not support signed URLs",
    () => backup("local", "disk"),
  ],
])("%s of %s: %s", async (kind, name, reason, prepare) => {
  await prepare();
  const status = await ask(kind, name);
  expect(status?.phase).toBe("Processed");
  expect(status?.downloadURL).toBeUndefined();
  expect(told).toEqual([reason]);
});
