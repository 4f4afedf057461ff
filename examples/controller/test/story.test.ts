/**
 * The main story of Backup and Restore, by the processes that the manifests start, over S3 and with rights enforced: an application
 * with a database, custom resources, a volume of files and one of blocks is backed up (its hook flushes the database), lost, brought
 * back equal and running, backed up again for what has changed; the first backup is deleted, the second still restores, expires, and
 * maintenance gives its space back. The last two take a month: there the server's controllers and the maintenance run in this process,
 * as processes of the cluster cannot be given another clock.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataUploads, deleteBackupRequests } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { prove } from "../src/proof.ts";
import { type Application, Shop } from "./application.ts";
import {
  backUp,
  bucketBytes,
  bucketFiles,
  nothingLeft,
  openBackupScene,
  restore,
} from "./backup-scene.ts";
import { Later } from "./later.ts";
import { layOutImage } from "./programs.ts";

const bulkBytes = 3 << 20;
const imageBytes = 3 << 20;

let folder = "";
let scene: SetUp;
let shop: Shop;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-story-"));
  writeFileSync(join(folder, "image"), randomBytes(imageBytes));
  const signal = AbortSignal.timeout(400_000);
  scene = await openBackupScene({ programs: layOutImage(folder), signal });
  shop = new Shop(scene, "shop");
  await shop.install(join(folder, "image"));
  await shop.addFile("bulk", bulkBytes);
}, 60_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

function expectEqual(before: Application, after: Application): void {
  expect(after.answer).toEqual(before.answer);
  expect(prove(before.files, after.files).differences).toEqual([]);
  expect(prove(before.device, after.device).differences).toEqual([]);
}

interface State {
  readonly objects: Record<string, unknown>;
  readonly application: Application;
}
const stateOf = async (one: Shop): Promise<State> => ({
  objects: one.objects(),
  application: await one.look(),
});

const timeout = 120_000;
const include = { includedNamespaces: ["shop"], snapshotMoveData: true };

describe("an application is lost and brought back", () => {
  let first: State;
  let second: State;
  let firstUploaded = 0;

  it("row 91: is backed up, with what its database had in memory", { timeout }, async () => {
    await shop.addRows("an order", "another order");
    expect(await shop.database()).toMatchObject({ rows: 2, unsaved: 2, freezes: 0 });
    const status = await backUp(scene, "first", include);
    expect(status).toMatchObject({ phase: "Completed", backupItemOperationsCompleted: 2 });
    expect(status).not.toHaveProperty("errors");
    expect(await shop.database()).toMatchObject({ unsaved: 0, freezes: 1, frozen: false });
    first = await stateOf(shop);
    firstUploaded = await bucketBytes(scene, "kopia/shop/");
    expect(firstUploaded).toBeGreaterThan(bulkBytes + imageBytes);
    expect([...(await bucketFiles(scene, "backups/first/")).keys()].sort()).toEqual(
      [
        "velero-backup.json",
        "first.tar.gz",
        "first-logs.gz",
        "first-itemoperations.json.gz",
        "first-volumeinfo.json.gz",
        "first-resource-list.json.gz",
        "first-results.gz",
        "first-podvolumebackups.json.gz",
        "first-volumesnapshots.json.gz",
      ]
        .map((name) => `backups/first/${name}`)
        .sort(),
    );
    await nothingLeft(scene);
  });

  it("is lost", { timeout }, async () => {
    await shop.destroy();
    expect(shop.objects()).toEqual({});
  });

  it("comes back equal and running", { timeout }, async () => {
    const status = await restore(scene, "back", { backupName: "first" });
    expect(status).toMatchObject({ phase: "Completed", restoreItemOperationsCompleted: 2 });
    expectEqual(first.application, await shop.look());
    expect(shop.objects()).toEqual(first.objects);
    // It is alive: what it is told from now on is kept.
    await shop.addRows("a third order");
    expect((await shop.answer()).database.rows).toBe(3);
    await nothingLeft(scene);
  });

  it("is backed up again for what has changed", { timeout }, async () => {
    await shop.addFile("more", 100_000);
    const before = await bucketBytes(scene, "kopia/shop/");
    const status = await backUp(scene, "second", include);
    expect(status).toMatchObject({ phase: "Completed", backupItemOperationsCompleted: 2 });
    second = await stateOf(shop);
    const uploaded = (await bucketBytes(scene, "kopia/shop/")) - before;
    expect(uploaded).toBeGreaterThan(100_000);
    expect(uploaded).toBeLessThan(300_000);
    expect(uploaded).toBeLessThan(firstUploaded / 10);
  });

  it("rows 99, 104: does not need its first backup any more", { timeout }, async () => {
    const { client, operatorNamespace: namespace } = scene.stage;
    await client.create(deleteBackupRequests, {
      apiVersion: "velero.io/v1",
      kind: "DeleteBackupRequest",
      metadata: { name: "no-first", namespace },
      spec: { backupName: "first" },
    });
    await until("the first backup to go", scene.stage, async () => {
      const { api } = scene.embedded.cluster;
      const left = [
        api.get("backups.velero.io", namespace, "first"),
        api.get("restores.velero.io", namespace, "back"),
        ...api.list("deletebackuprequests.velero.io", namespace),
      ];
      return left.every((one) => one === undefined) ? true : undefined;
    });
    expect([...(await bucketFiles(scene, "backups/")).keys()]).not.toContainEqual(
      expect.stringContaining("/first"),
    );
    const uploads = await client.list(dataUploads, { namespace });
    expect(uploads.items.map(({ metadata }) => metadata.labels?.["velero.io/backup-name"])).toEqual(
      ["second", "second"],
    );
    const namespaceMapping = { shop: "copy" };
    const status = await restore(scene, "copy", { backupName: "second", namespaceMapping });
    expect(status).toMatchObject({ phase: "Completed", restoreItemOperationsCompleted: 2 });
    const copy = new Shop(scene, "copy");
    expectEqual(second.application, await copy.look());
    expect(copy.objects()).toEqual(second.objects);
    await copy.destroy({ definition: false });
    await nothingLeft(scene);
  });

  it("row 106: expires, and its space comes back", { timeout }, async () => {
    const { api } = scene.embedded.cluster;
    const { operatorNamespace: namespace } = scene.stage;
    // As long as a Backup is kept that does not say.
    await using later = await Later.open(scene, 721 * 3_600_000);
    await later.startServer();
    await until("the second backup to expire", scene.stage, async () => {
      const left = ["backups", "restores", "datauploads", "deletebackuprequests"].flatMap(
        (plural) => api.list(`${plural}.velero.io`, namespace),
      );
      return left.length === 0 ? true : undefined;
    });
    expect([...(await bucketFiles(scene, "backups/")).keys()]).toEqual([]);
    expect([...(await bucketFiles(scene, "restores/")).keys()]).toEqual([]);
    expect(await bucketBytes(scene, "kopia/shop/p")).toBeGreaterThan(bulkBytes + imageBytes);
    for (let day = 0; day < 6; day++) await later.maintain("shop");
    expect(await bucketBytes(scene, "kopia/shop/p")).toBe(0);
    expect(await bucketBytes(scene, "kopia/shop/")).toBeLessThan(50_000);
    await nothingLeft(scene);
  });

  it("needed no right that nobody has", () => {
    expect(scene.embedded.cluster.server.denied).toEqual([]);
  });
});
