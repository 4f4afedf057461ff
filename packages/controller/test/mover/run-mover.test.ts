// Movers in this process against the embedded API server over HTTPS and a repository in a directory: what they leave in the
// repository, in the termination log and as Events, and how they end when they are canceled, stopped or refused.
import { execFileSync } from "node:child_process";
import { symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { BackupResult } from "../../src/mover/data-path-message.ts";
import { jsonLogger } from "../../src/runtime/index.ts";
import { MoverWorld, operator, password, shop } from "./mover-world.ts";
import { expectSameTree } from "./run-child.ts";

let world: MoverWorld;
beforeEach(async () => {
  world = await MoverWorld.start();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function makeVolume(largeBytes = 3_000_000): string {
  const path = world.newDirectory("volume");
  for (let index = 0; index < 10; index++)
    writeFileSync(join(path, `f${index}`), splitmix64(index + 1, 20_000));
  writeFileSync(join(path, "large"), splitmix64(99, largeBytes));
  symlinkSync("f1", join(path, "link"));
  return path;
}

async function backedUp(name: string, path: string, more: string[] = []): Promise<BackupResult> {
  world.upload(name);
  const end = await world.run(world.settings("DataUpload", name, path, more));
  const outcome = world.outcome("DataUpload", end);
  if (outcome.outcome !== "backedUp") throw new Error(end.message);
  return outcome.result;
}

const uploads = async () => (await world.openRepository()).findManifests({ type: "snapshot" });

it("row 22: backs a volume of files up, tells so by Events and its result, and restores it", async () => {
  await world.makeRepository();
  const path = makeVolume();
  const result = await backedUp("du-1", path);
  expect(result).toMatchObject({
    snapshotID: expect.stringMatching(/^[0-9a-f]{32}$/),
    emptySnapshot: false,
    source: { byPath: path, volumeMode: "Filesystem" },
  });
  const reasons = world.eventReasons("du-1").filter((reason) => reason !== "Data-Path-Progress");
  expect(reasons).toEqual(["Data-Path-Started", "Data-Path-Completed", "Data-Path-Stopped"]);
  const [manifest] = await uploads();
  const uid = world.api.get("datauploads.velero.io", operator, "du-1")?.metadata.uid;
  expect(manifest!.labels).toMatchObject({
    path: `snapshot-data-upload-download/kopia/${shop}/data`,
    "snapshot-requester": "snapshot-data-upload-download",
    "velero.io/async-operation-id": uid,
  });

  const target = world.newDirectory("target");
  world.download("dd-1", result.snapshotID);
  const end = await world.run(world.settings("DataDownload", "dd-1", target));
  expect(world.outcome("DataDownload", end)).toMatchObject({
    outcome: "restored",
    result: { target: { byPath: target, volumeMode: "Filesystem" } },
  });
  expectSameTree(path, target);
});

it("row 15: backs a block volume up and restores it to the byte", async () => {
  await world.makeRepository();
  const path = join(world.folder, "disk");
  writeFileSync(path, splitmix64(5, 5 << 20));
  truncateSync(path, 12 << 20);
  const { snapshotID, totalBytes } = await backedUp("du-1", path, ["--volume-mode=Block"]);
  expect(totalBytes).toBe(12 << 20);
  const target = join(world.folder, "target");
  writeFileSync(target, splitmix64(6, 12 << 20));
  world.download("dd-1", snapshotID);
  const end = await world.run(
    world.settings("DataDownload", "dd-1", target, ["--volume-mode=Block"]),
  );
  expect(end.exitCode).toBe(0);
  execFileSync("cmp", [path, target]);
});

it("row 23: the second backup takes the first as its parent", async () => {
  await world.makeRepository();
  const path = makeVolume();
  await backedUp("du-1", path);
  writeFileSync(join(path, "new"), "seven b");
  expect((await backedUp("du-2", path)).incrementalBytes).toBe(7);
});

it("its log says what it waits for, when it began and how it ended, without a secret", async () => {
  await world.makeRepository();
  world.upload("du-1");
  const lines: string[] = [];
  const logger = jsonLogger({ write: (line) => lines.push(line) });
  const settings = world.settings("DataUpload", "du-1", makeVolume());
  expect((await world.run(settings, { logger })).exitCode).toBe(0);
  expect(lines.map((line) => JSON.parse(line).message)).toEqual([
    "Waiting for its turn",
    "Started",
    "Backed up volume",
    "Ended",
  ]);
  expect(lines.join("")).not.toContain(password);
});

it("row 24: an empty volume is an empty snapshot", async () => {
  await world.makeRepository();
  const result = await backedUp("du-1", world.newDirectory("empty"));
  expect(result).toMatchObject({ emptySnapshot: true, totalBytes: 0 });
});

it("waits until the node agent starts it", async () => {
  await world.makeRepository();
  world.upload("du-1", { phase: "Prepared" });
  const ended = world.run(world.settings("DataUpload", "du-1", makeVolume()));
  let isEnded = false;
  void ended.then(() => {
    isEnded = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(isEnded).toBe(false);
  world.change("DataUpload", "du-1", (object) => {
    object["status"].phase = "InProgress";
  });
  expect((await ended).exitCode).toBe(0);
});

it("row 33: canceled before it began, it does nothing", async () => {
  await world.makeRepository();
  world.upload("du-1", { phase: "Prepared" });
  const ended = world.run(world.settings("DataUpload", "du-1", makeVolume()));
  world.change("DataUpload", "du-1", (object) => {
    object["spec"].cancel = true;
  });
  expect(world.outcome("DataUpload", await ended).outcome).toBe("canceled");
  expect(await uploads()).toEqual([]);
});

it("row 67: a repository that is not ready fails it at once, with the reason", async () => {
  world.setRepository("NotReady", "invalid password");
  world.upload("du-1");
  const end = await world.run(world.settings("DataUpload", "du-1", makeVolume()));
  expect(end).toEqual({
    exitCode: 1,
    message:
      "Failed to init data path service for DataUpload du-1: failed to wait BackupRepository, errored early: " +
      "backup repository is not ready: invalid password",
  });
});

it("a repository that never comes ends it in time; it has made the object", async () => {
  world.upload("du-1");
  const settings = world.settings("DataUpload", "du-1", makeVolume(), ["--resource-timeout=100ms"]);
  const end = await world.run(settings);
  expect(end.message).toContain("timeout exceeded: backup repository not provisioned");
  expect(
    world.api.get("backuprepositories.velero.io", operator, "shop-default-kopia"),
  ).toBeDefined();
});

it("row 87: an unknown snapshot", async () => {
  await world.makeRepository();
  world.download("dd-1", "f".repeat(32));
  const end = await world.run(world.settings("DataDownload", "dd-1", world.newDirectory("target")));
  expect(end.message).toContain("Unable to load snapshot");
  expect(world.eventReasons("dd-1")).toContain("Data-Path-Failed");
});

it("no object, no work", async () => {
  const end = await world.run(world.settings("DataUpload", "none", makeVolume()));
  expect(world.outcome("DataUpload", end).outcome).toBe("canceled");
});

it("an API server that is not there is told, without a secret", async () => {
  world.upload("du-1");
  const settings = world.settings("DataUpload", "du-1", makeVolume());
  const end = await world.run(settings, { environment: { KUBECONFIG: "/none" } });
  expect(end.message).toMatch(/^Failed to create data path service for DataUpload du-1: \/none/);
});
