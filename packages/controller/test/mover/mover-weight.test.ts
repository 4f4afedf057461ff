// What a mover weighs: it never loads Kubernetes' client, a waiting one loads no data path, and its memory stays in the budget that
// is stated, whatever the size of the volume.
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { afterEach, beforeEach, expect, it } from "vitest";
import { MoverWorld, operator } from "./mover-world.ts";
import { runChild } from "./run-child.ts";

const volumeBytes = (process.env["DM_FULL"] === "1" ? 4_000 : 120) << 20;
/** README, "Memory and processors of a mover". */
const budgetBytes = 512 << 20;

let world: MoverWorld;
beforeEach(async () => {
  world = await MoverWorld.start();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

interface Told {
  readonly packages: readonly string[];
  readonly maxRssBytes: number;
}

async function weigh(
  kind: "DataUpload" | "DataDownload",
  name: string,
  path: string,
  more: string[],
) {
  const preload = new URL("told-modules.ts", import.meta.url).href;
  const env = { NODE_OPTIONS: `--import=${preload}` };
  const { outcome, stdout } = await runChild(world, kind, name, path, { more, env });
  const lines = stdout.trim().split("\n");
  const told: Told = Object.assign({}, ...lines.map((line) => JSON.parse(line)));
  expect(told.packages).not.toContain("@kubernetes/client-node");
  return { outcome, ...told };
}

it("stays in its budget for a large volume, in both directions", { timeout: 900_000 }, async () => {
  await world.makeRepository();
  const path = join(world.folder, "disk");
  const half = splitmix64(5, volumeBytes / 4);
  writeFileSync(path, half);
  writeFileSync(path, splitmix64(6, volumeBytes / 4), { flag: "a" });
  truncateSync(path, volumeBytes);
  const more = ["--volume-mode=Block", "--workers=2"];
  world.upload("du-1");
  const backup = await weigh("DataUpload", "du-1", path, more);
  if (backup.outcome.outcome !== "backedUp") throw new Error(JSON.stringify(backup.outcome));
  expect(backup.packages).toContain("@dm/snapshot");
  const target = join(world.folder, "target");
  writeFileSync(target, "");
  truncateSync(target, volumeBytes);
  world.download("dd-1", backup.outcome.result.snapshotID);
  const restore = await weigh("DataDownload", "dd-1", target, more);
  expect(restore.outcome.outcome).toBe("restored");
  console.log(
    `memory of a mover, ${volumeBytes >> 20} MiB: backup ${backup.maxRssBytes >> 20} MiB, restore ${restore.maxRssBytes >> 20} MiB`,
  );
  expect(backup.maxRssBytes).toBeLessThan(budgetBytes);
  expect(restore.maxRssBytes).toBeLessThan(budgetBytes);
});

it("one that waits for its turn loads no data path", { timeout: 60_000 }, async () => {
  const path = join(world.folder, "volume");
  mkdirSync(path);
  world.upload("du-1", { phase: "Prepared" });
  const weighing = weigh("DataUpload", "du-1", path, []);
  world.api.modify("datauploads.velero.io", operator, "du-1", (object) => {
    object["spec"].cancel = true;
  });
  const { maxRssBytes, outcome, packages } = await weighing;
  expect(outcome.outcome).toBe("canceled");
  expect(packages).not.toContain("@dm/snapshot");
  console.log(`memory of a mover that waits: ${maxRssBytes >> 20} MiB`);
});
