/**
 * Movers of pods' volumes against a repository in a directory: one snapshot for each PodVolumeBackup under the pod's name, and a mark in
 * a restored volume exactly when all files are there, also when movers are killed at any moment (a seeded sample; more with DM_FULL=1).
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom, splitmix64 } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MoverWorld } from "./mover-world.ts";
import { countFiles, expectSameTree, runChild } from "./run-child.ts";

const rounds = process.env["DM_FULL"] === "1" ? 25 : 1;
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

let world: MoverWorld;
beforeEach(async () => {
  world = await MoverWorld.start();
  await world.makeRepository();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function makeVolume(files: number, bytes: number): string {
  const path = world.newDirectory("volume");
  for (let index = 0; index < files; index++)
    writeFileSync(join(path, `f${index}`), splitmix64(index + 1, bytes));
  return path;
}

async function backedUp(name: string, path: string): Promise<string> {
  world.podBackup(name);
  const end = await world.run(world.settings("PodVolumeBackup", name, path));
  const outcome = world.outcome("PodVolumeBackup", end);
  if (outcome.outcome !== "backedUp") throw new Error(end.message);
  return outcome.result.snapshotID;
}

const restoreInto = async (name: string, target: string) => {
  const end = await world.run(world.settings("PodVolumeRestore", name, target));
  return world.outcome("PodVolumeRestore", end);
};

describe("a backup", () => {
  it("is a snapshot of the pod's volume, and the parent of the next one", async () => {
    const path = makeVolume(5, 20_000);
    const first = await backedUp("pvb-1", path);
    const second = await backedUp("pvb-2", path);
    const repository = await world.openRepository();
    const manifests = await repository.findManifests({ type: "snapshot" });
    expect(manifests.map(({ id }) => id).sort()).toEqual([first, second].sort());
    for (const { labels } of manifests)
      expect(labels).toMatchObject({
        path: "snapshot-pod-volume/kopia/shop/db-0/data",
        username: "default",
        hostname: "default",
        "snapshot-requester": "snapshot-pod-volume",
        "snapshot-uploader": "kopia",
        pod: "db-0",
      });
    const reasons = world.eventReasons("pvb-1").filter((reason) => !reason.includes("Progress"));
    expect(reasons).toEqual(["Data-Path-Started", "Data-Path-Completed", "Data-Path-Stopped"]);
  });

  it("that is canceled leaves no snapshot and no checkpoint", async () => {
    world.podBackup("pvb-1", { phase: "Prepared" });
    const ended = world.run(world.settings("PodVolumeBackup", "pvb-1", makeVolume(3, 1_000)));
    world.change("PodVolumeBackup", "pvb-1", (object) => {
      object["spec"].cancel = true;
    });
    expect(world.outcome("PodVolumeBackup", await ended).outcome).toBe("canceled");
    const repository = await world.openRepository();
    expect(await repository.findManifests({ type: "snapshot" })).toEqual([]);
  });
});

describe("a restore", () => {
  it("marks the volume, and takes the marks of others off", async () => {
    const path = makeVolume(5, 20_000);
    mkdirSync(join(path, ".velero"));
    writeFileSync(join(path, ".velero", "older"), "");
    const id = await backedUp("pvb-1", path);
    const target = world.newDirectory("target");
    world.podRestore("pvr-1", id);
    expect((await restoreInto("pvr-1", target)).outcome).toBe("restored");
    expect(readdirSync(join(target, ".velero"))).toEqual(["restore-uid"]);
    for (const each of [path, target]) rmSync(join(each, ".velero"), { recursive: true });
    expectSameTree(path, target);
  });

  it("does not touch a volume that an earlier attempt has marked: its pod may run", async () => {
    const id = await backedUp("pvb-1", makeVolume(2, 100));
    const target = world.newDirectory("target");
    world.podRestore("pvr-1", id);
    await restoreInto("pvr-1", target);
    writeFileSync(join(target, "f0"), "written by the pod");
    rmSync(join(target, "f1"));
    expect((await restoreInto("pvr-1", target)).outcome).toBe("restored");
    expect(readdirSync(target).sort()).toEqual([".velero", "f0"]);
  });

  it("that fails leaves no mark", async () => {
    const target = world.newDirectory("target");
    world.podRestore("pvr-1", "0".repeat(32));
    expect(await restoreInto("pvr-1", target)).toMatchObject({
      outcome: "failed",
      message: expect.stringContaining("Unable to load snapshot"),
    });
    expect(readdirSync(target)).toEqual([]);
  });

  it(`killed at any moment: a mark means that all is there (seed ${seed})`, {
    timeout: 1_800_000,
  }, async () => {
    const random = seededRandom(seed);
    const path = makeVolume(40, 60_000);
    const id = await backedUp("pvb-1", path);
    let kills = 0;
    for (let round = 0; round < rounds; round++) {
      const name = `pvr-${round}`;
      const target = world.newDirectory(`target${round}`);
      world.podRestore(name, id);
      const mark = join(target, ".velero", "restore-uid");
      for (let attempt = 0; !existsSync(mark); attempt++) {
        const files = random.integer(45);
        // The last attempts are let go on, so that each round ends.
        const when = attempt < 3 ? () => countFiles(target) >= files : undefined;
        const { wasSignaled } = await runChild(world, "PodVolumeRestore", name, target, { when });
        if (wasSignaled) kills++;
        world.change("PodVolumeRestore", name, ({ metadata }) => {
          const resume = { count: attempt + 1, cause: "killed", atMs: 1, pending: false };
          metadata.annotations = { "dm.velero.io/resume": JSON.stringify(resume) };
        });
        // Half written files are no files of the snapshot; none is left once the mark is there.
        if (!existsSync(mark)) continue;
        const restored = readdirSync(target).filter((entry) => entry !== ".velero");
        expect(restored).toHaveLength(40);
      }
      rmSync(join(target, ".velero"), { recursive: true });
      expectSameTree(path, target);
    }
    console.log(`movers of PodVolumeRestores killed ${kills} times (seed ${seed}): no loss`);
  });
});
