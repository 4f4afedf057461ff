// Movers as processes that are killed (SIGKILL) or told to end (SIGTERM) at any moment of a backup or a restore, over files and block
// volumes, once or several times: the next attempt goes on, what is restored is equal, one snapshot is left for each DataUpload and
// no checkpoint. A seeded sample here, 40 volumes of each kind with DM_FULL=1.
import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SeededRandom, seededRandom, splitmix64 } from "@dm/fixtures";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import type { VolumeMode } from "../../src/mover/data-path-message.ts";
import { MoverWorld } from "./mover-world.ts";
import { countFiles, expectSameTree, runChild } from "./run-child.ts";

const isFull = process.env["DM_FULL"] === "1";
const rounds = isFull ? 40 : 1;
const seed = Number(process.env["DM_SEED"] ?? Math.floor(Math.random() * 1e6));
const counts = { backups: 0, restores: 0, kills: 0, stops: 0, missed: 0, resumed: 0 };

afterAll(() => {
  console.log(
    `movers: ${counts.backups} backups and ${counts.restores} restores, killed ${counts.kills} times and stopped ` +
      `${counts.stops} times, ${counts.missed} times too late; ${counts.resumed} backups went on from what was there (DM_SEED=${seed})`,
  );
});

let world: MoverWorld;
beforeEach(async () => {
  world = await MoverWorld.start();
  await world.makeRepository();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function makeVolume(mode: VolumeMode, name: string, random: SeededRandom): string {
  const path = join(world.folder, name);
  const of = (length: number): Uint8Array => splitmix64(1 + random.integer(1e9), length);
  if (mode === "Block") {
    writeFileSync(path, of(16 << 20));
    truncateSync(path, 40 << 20);
    return path;
  }
  mkdirSync(join(path, "sub"), { recursive: true });
  for (let index = 0; index < 60; index++)
    writeFileSync(join(path, "sub", `f${index}`), of(30_000));
  for (let index = 0; index < 6; index++) writeFileSync(join(path, `large${index}`), of(2_500_000));
  return path;
}

/** A moment: so many new files in a directory, then so long. */
function moment(random: SeededRandom, directory: string, mostFiles: number): () => boolean {
  const wanted = countFiles(directory) + random.integer(mostFiles + 1);
  const laterMs = random.integer(60);
  let reachedAt: number | undefined;
  return () => {
    if (reachedAt === undefined && countFiles(directory) >= wanted) reachedAt = performance.now();
    return reachedAt !== undefined && performance.now() - reachedAt >= laterMs;
  };
}

describe.each<VolumeMode>(["Filesystem", "Block"])("%s", (mode) => {
  it(`${rounds} volumes, killed at any moment`, { timeout: 3_600_000 }, async () => {
    const random = seededRandom(seed + (mode === "Block" ? 1 : 0));
    const store = join(world.folder, "store");
    const flag = `--volume-mode=${mode}`;
    for (let round = 0; round < rounds; round++) {
      const path = makeVolume(mode, `volume${round}`, random);
      const name = `du-${round}`;
      world.upload(name, { phase: "InProgress" }, { sourcePVC: `data-${round}` });
      const backup = { more: [flag, "--checkpoint-interval=80ms", "--workers=1"] };
      const attempts = 1 + random.integer(3);
      for (let attempt = 0; attempt < attempts; attempt++) {
        const signal = random.integer(4) === 0 ? "SIGTERM" : "SIGKILL";
        const when = moment(random, store, 9);
        note(signal, await runChild(world, "DataUpload", name, path, { ...backup, signal, when }));
      }
      const { outcome, stdout } = await runChild(world, "DataUpload", name, path, backup);
      counts.backups++;
      if (/"checkpoints":[1-9]|"wasThere":true/.test(stdout)) counts.resumed++;
      if (outcome.outcome !== "backedUp")
        throw new Error(`${JSON.stringify(outcome)} (DM_SEED=${seed})`);
      await expectOneSnapshot(`data-${round}`, outcome.result.snapshotID);

      const target = join(world.folder, `target${round}`);
      if (mode === "Block") writeFileSync(target, splitmix64(7, 40 << 20));
      else mkdirSync(target);
      const download = `dd-${round}`;
      world.download(download, outcome.result.snapshotID);
      const restores = 1 + random.integer(3);
      for (let attempt = 0; attempt < restores; attempt++) {
        const when = mode === "Block" ? afterMs(random, 1_500) : moment(random, target, 60);
        note(
          "SIGKILL",
          await runChild(world, "DataDownload", download, target, { more: [flag], when }),
        );
        // As the node agent does when it makes the pod again.
        world.change("DataDownload", download, ({ metadata }) => {
          const note = { count: attempt + 1, cause: "killed", atMs: 1, pending: false };
          metadata.annotations = { "data-mover.dm/resume": JSON.stringify(note) };
        });
      }
      const restored = await runChild(world, "DataDownload", download, target, { more: [flag] });
      counts.restores++;
      expect(restored.outcome.outcome).toBe("restored");
      if (mode === "Block") execFileSync("cmp", [path, target]);
      else expectSameTree(path, target);
    }
  });
});

function afterMs(random: SeededRandom, mostMs: number): () => boolean {
  const at = performance.now() + random.integer(mostMs);
  return () => performance.now() >= at;
}

function note(
  signal: string,
  { outcome, wasSignaled }: Awaited<ReturnType<typeof runChild>>,
): void {
  if (!wasSignaled || outcome.outcome === "backedUp" || outcome.outcome === "restored") {
    counts.missed++;
    return;
  }
  // Another attempt is worth it, whatever the moment.
  expect(outcome.outcome).toBe("interrupted");
  if (signal === "SIGKILL") counts.kills++;
  else counts.stops++;
}

async function expectOneSnapshot(claim: string, id: string): Promise<void> {
  await using repository = await world.openRepository();
  const path = `snapshot-data-upload-download/kopia/shop/${claim}`;
  const found = await repository.findManifests({ type: "snapshot", path });
  expect(found.map((manifest) => manifest.id)).toEqual([id]);
}
