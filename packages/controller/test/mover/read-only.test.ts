// A location that may only be read: volumes come back from it, and nothing is written into it.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { MoverWorld, operator } from "./mover-world.ts";
import { expectSameTree } from "./run-child.ts";

it("row 70: a restore from a read-only location works; a backup into it fails and stores nothing", async () => {
  await using world = await MoverWorld.start();
  await world.makeRepository();
  const volume = world.newDirectory("volume");
  writeFileSync(join(volume, "a"), "content");
  world.upload("du-1");
  const stored = world.outcome(
    "DataUpload",
    await world.run(world.settings("DataUpload", "du-1", volume)),
  );
  if (stored.outcome !== "backedUp") throw new Error(JSON.stringify(stored));
  world.api.modify("backupstoragelocations.velero.io", operator, "default", ({ spec }) => {
    spec.accessMode = "ReadOnly";
  });
  const blobs = (): string[] =>
    readdirSync(join(world.folder, "store"), { recursive: true, encoding: "utf8" }).sort();
  const before = blobs();
  expect(before.length).toBeGreaterThan(5);

  const target = world.newDirectory("target");
  world.download("dd-1", stored.result.snapshotID);
  const restored = await world.run(world.settings("DataDownload", "dd-1", target));
  expect(world.outcome("DataDownload", restored).outcome).toBe("restored");
  expectSameTree(volume, target);

  writeFileSync(join(volume, "b"), "more");
  world.upload("du-2");
  const refused = await world.run(world.settings("DataUpload", "du-2", volume));
  expect(world.outcome("DataUpload", refused)).toMatchObject({
    outcome: "failed",
    message: expect.stringContaining("for reading only"),
  });
  expect(blobs()).toEqual(before);
});
