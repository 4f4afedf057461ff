/**
 * The main job, from volumes with files to the proof that every byte came back.
 * Proof: test/demo.test.ts.
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { DataUpload } from "@dm/crds";
import { persistentVolumeClaims } from "@dm/crds";
import type { ListedEntry } from "../demo-pod/volume-list.ts";
import { prove } from "../proof.ts";
import { createTarget, download, freeze, upload } from "./movement.ts";
import type { Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import {
  claimOf,
  type DemoVolume,
  deletePod,
  destroyClaim,
  listClaim,
  type PodWork,
  runPod,
  startPod,
} from "./volumes.ts";

/** How files come into volumes: what was copied, in words. */
export interface Filler {
  files(volume: DemoVolume, sources: readonly string[], limitBytes: number): Promise<string>;
  image(volume: DemoVolume, file: string): Promise<string>;
}

export interface StoryOptions {
  readonly filler: Filler;
  readonly sources: readonly string[];
  /** Of the copy. */
  readonly limitBytes: number;
  readonly block: { readonly file: string; readonly size: string };
  /** Prints what `kubectl get <plural> -A` would. */
  readonly showTable: (plural: "datauploads" | "datadownloads") => Promise<void>;
  /** Changes what came back before it is looked at, for tests of the proof. */
  readonly tamper?: (claim: string) => Promise<void>;
}

interface Moved {
  readonly volume: DemoVolume;
  readonly frozen: readonly ListedEntry[];
  readonly snapshotID: string;
}

const files: DemoVolume = { claim: "files", volumeMode: "Filesystem", size: "1Gi" };
const database: DemoVolume = { claim: "database", volumeMode: "Filesystem", size: "1Gi" };
const databaseFile = "VOLUME/live.db";

const work = (
  name: string,
  { claim, volumeMode }: DemoVolume,
  args: readonly string[],
): PodWork => ({ name, claim, volumeMode, args });

/** @returns the differences that the proof found: none when everything came back. */
export async function playStory(
  stage: Stage,
  screen: Screen,
  options: StoryOptions,
): Promise<readonly string[]> {
  const image: DemoVolume = { claim: "image", volumeMode: "Block", size: options.block.size };
  const volumes = [files, database, image];
  await fillVolumes(stage, screen, volumes, options);

  screen.step("Snapshots are taken, and moved into the repository by DataUploads");
  const first = await moveOut(stage, screen, volumes, "first");
  await options.showTable("datauploads");

  screen.step("A few files change, and a second backup moves the difference");
  await runPod(stage, work("change", files, ["write-once", "VOLUME/added-later", "1048576"]));
  const second = await moveOut(stage, screen, volumes, "second");
  await options.showTable("datauploads");
  showIncrements(screen, first, second);

  screen.step("The volumes are destroyed");
  await deletePod(stage, "database-writer");
  await Promise.all(volumes.map(({ claim }) => destroyClaim(stage, claim)));
  screen.say(`gone: ${volumes.map(({ claim }) => claim).join(", ")}`);

  screen.step("DataDownloads bring them back");
  await bringBack(stage, screen, second);
  await options.showTable("datadownloads");

  screen.step("The proof: every entry is compared with what was frozen, by a walk of its own");
  for (const { claim } of volumes) await options.tamper?.(claim);
  return proveAll(stage, screen, second);
}

async function fillVolumes(
  stage: Stage,
  screen: Screen,
  volumes: readonly DemoVolume[],
  { block, filler, limitBytes, sources }: StoryOptions,
): Promise<void> {
  screen.step("Volumes are made and filled");
  for (const volume of volumes)
    await stage.client.create(persistentVolumeClaims, claimOf(stage, volume));
  const [, , image = files] = volumes;
  const [filled, copied] = await Promise.all([
    filler.files(files, sources, limitBytes),
    filler.image(image, block.file),
    startPod(stage, work("database-writer", database, ["write", databaseFile])),
  ]);
  screen.say(`files: ${filled.trim()} from ${sources.join(", ")}`);
  screen.say(`image: ${copied.trim()} from ${block.file}`);
  screen.say("database: a program writes to it all the time, also while snapshots are taken");
  // Until the database has some rows.
  await sleep(1000);
}

async function moveOut(
  stage: Stage,
  screen: Screen,
  volumes: readonly DemoVolume[],
  round: string,
): Promise<(Moved & { readonly upload: DataUpload })[]> {
  return screen.bars(
    volumes.map(({ claim }) => claim),
    (bars) =>
      Promise.all(
        volumes.map(async (volume) => {
          const name = `${volume.claim}-${round}-${stage.run}`;
          const bar = bars.get(volume.claim) ?? { update() {} };
          bar.update(0, 0, "snapshot");
          const frozen = await freeze(stage, volume, name);
          const ended = await upload(stage, volume, name, bar);
          const snapshotID = ended.status?.snapshotID ?? "";
          return { volume, frozen, snapshotID, upload: ended };
        }),
      ),
  );
}

function showIncrements(
  screen: Screen,
  first: readonly { volume: DemoVolume; upload: DataUpload }[],
  second: readonly { volume: DemoVolume; upload: DataUpload }[],
): void {
  for (const [index, { upload: before, volume }] of first.entries()) {
    const [a, b] = [before, second[index]?.upload].map((one) => one?.status?.incrementalBytes ?? 0);
    screen.say(`${volume.claim}: ${a} bytes read in the first backup, ${b} in the second`);
  }
  screen.say(
    "A changed file and a block volume are read whole; stored is only what is new in them.",
  );
}

async function bringBack(stage: Stage, screen: Screen, moved: readonly Moved[]): Promise<void> {
  await screen.bars(
    moved.map(({ volume }) => volume.claim),
    (bars) =>
      Promise.all(
        moved.map(async ({ snapshotID, volume }) => {
          await createTarget(stage, volume);
          const name = `${volume.claim}-back-${stage.run}`;
          const bar = bars.get(volume.claim) ?? { update() {} };
          await download(stage, volume, { name, snapshotID }, bar);
        }),
      ),
  );
}

async function proveAll(
  stage: Stage,
  screen: Screen,
  moved: readonly Moved[],
): Promise<readonly string[]> {
  const all: string[] = [];
  for (const { frozen, volume } of moved) {
    const restored = await listClaim(stage, volume.claim, volume.volumeMode);
    const { bytes, differences, entries } = prove(frozen, restored);
    screen.say(
      `${volume.claim}: ${entries} entries, ${bytes} bytes, ${differences.length} differences`,
    );
    for (const line of differences.slice(0, 20)) screen.say(`   ${line}`);
    all.push(...differences.map((line) => `${volume.claim}: ${line}`));
  }
  const whole = await runPod(stage, work("check", database, ["check", databaseFile]));
  screen.say(`database: ${whole.trim()}`);
  return all;
}
