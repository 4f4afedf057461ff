/**
 * A full XFS volume: the container runtime cannot write its security labels on the copy of a snapshot, so no mover starts. The
 * DataUpload and the Backup say so at once, with the remedies, in status, results and what `velero backup describe` reads; the other
 * volume is backed up, and nothing is left behind.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { dataUploads } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { Shop } from "./application.ts";
import {
  atItsEnd,
  backups,
  begin,
  bucketFile,
  nothingLeft,
  openBackupScene,
} from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

let folder = "";
let scene: SetUp;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-full-volume-"));
  const signal = AbortSignal.timeout(120_000);
  scene = await openBackupScene({ programs: layOutImage(folder), signal });
}, 60_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

const cause = "the volume is full and its file system (XFS) has no room for SELinux labels";
const remedies = ["Enlarge the volume", "use ext4", "readOnly with spcNoRelabeling"];

it("rows 29, 92: is told by the DataUpload and the Backup, with what to do", {
  timeout: 60_000,
}, async () => {
  const shop = new Shop(scene, "shop");
  await shop.install("", { withoutBlock: true });
  const { client, operatorNamespace: namespace } = scene.stage;
  const { csi } = scene.embedded.cluster;
  csi?.faults.add({ operation: "publish", of: /^dm-system\//, relabelFails: true });
  const spec = { includedNamespaces: ["shop"], snapshotMoveData: true };
  await begin(scene, backups, "nightly", spec);
  const upload = await until("the DataUpload to fail", scene.stage, async () => {
    const { items } = await client.list(dataUploads, { namespace });
    return items.find(({ status }) => status?.phase === "Failed");
  });
  const message = upload.status?.message ?? "";
  expect(message).toContain("cannot attach snapshot of shop/data-database-0");
  for (const text of [cause, ...remedies]) expect(message).toContain(text);

  const status = await atItsEnd(scene, backups, "nightly");
  expect(status).toMatchObject({
    phase: "PartiallyFailed",
    errors: 1,
    backupItemOperationsAttempted: 1,
    backupItemOperationsFailed: 1,
  });
  const read = async (name: string): Promise<string> =>
    gunzipSync(await bucketFile(scene, `backups/nightly/nightly-${name}`)).toString();
  // `velero backup describe --details` shows the error of an operation, `velero backup logs` the log.
  const [operation] = JSON.parse(await read("itemoperations.json.gz"));
  expect(operation.status.phase).toBe("Failed");
  for (const text of [cause, ...remedies]) {
    expect(operation.status.error).toContain(text);
    expect(await read("logs.gz")).toContain(text);
  }
  expect(JSON.parse(await read("volumeinfo.json.gz"))).toMatchObject([
    { pvcName: "data-database-0", result: "failed" },
  ]);
  await nothingLeft(scene);
});
