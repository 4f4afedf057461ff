// A process that is killed (SIGKILL) at any call of the store, or between the system calls inside one, loses nothing that
// it acknowledged. A child works on a directory; afterwards the directory is opened, compared, verified, written to and,
// one time in four, maintained. A seeded sample here, every moment with DM_FULL=1; test/kill-states.test.ts does the
// same in memory.
import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock, mapConcurrent } from "@dm/core";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blobsOf, restored } from "./robustness/crash-states.ts";
import { recordRun, type Scenario, scenarios, type UncutRun } from "./robustness/scenarios.ts";
import { isFull, randomFor, seed } from "./robustness/seeded.ts";
import { expectSurvived } from "./robustness/survival.ts";

const child = join(import.meta.dirname, "robustness/kill-child.ts");

/** The child runs sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const title = `a process killed at any moment${runsSources ? "" : " (skipped: this Node runs no source with `using`)"}`;
const parallelChildren = 2;
const sampleOf = 5;
const totals = { moments: 0, kills: 0, temporaryFiles: 0 };
let work = "";

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "dm-kill-"));
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
  console.log(
    `processes killed: ${totals.kills} of ${totals.moments} moments, ` +
      `temporary files left behind: ${totals.temporaryFiles} (DM_SEED=${seed})`,
  );
});

interface ChildEnd {
  readonly acknowledged: number;
  readonly moments: number | undefined;
  readonly signal: string | null;
}

function runChild(run: UncutRun, directory: string, moment: number): Promise<ChildEnd> {
  const { models, scenario, startNs } = run;
  const values = [scenario.name, directory, `${startNs}`, models[0]!.password, `${moment}`];
  const started = spawn(process.execPath, ["--conditions=@dm/source", child, ...values], {
    env: { ...process.env, NODE_COMPILE_CACHE: join(work, "compiled") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaints = "";
  started.stdout.on("data", (piece: Buffer) => {
    output += piece.toString();
  });
  started.stderr.on("data", (piece: Buffer) => {
    complaints += piece.toString();
  });
  return new Promise((resolve, reject) => {
    started.on("error", reject);
    started.on("close", (code, signal) => {
      if (code !== 0 && signal !== "SIGKILL") {
        reject(new Error(`child ended with ${code ?? signal}: ${complaints}`));
        return;
      }
      const moments = /^moments (\d+)$/m.exec(output)?.[1];
      resolve({
        acknowledged: output.match(/^a$/gm)?.length ?? 0,
        moments: moments === undefined ? undefined : Number(moments),
        signal,
      });
    });
  });
}

/** What the child left, read by the directory store; the proof goes on in memory, where syncing costs nothing. */
async function expectSurvivedOnDisk(
  run: UncutRun,
  directory: string,
  acknowledged: number,
  maintains: boolean,
): Promise<void> {
  const blobs = await blobsOf(filesystemStore({ path: directory, create: true }));
  await expectSurvived(run, restored(blobs, manualClock(run.endNs)), acknowledged, {
    maintains,
  });
}

async function killEverywhere(scenario: Scenario): Promise<void> {
  const random = randomFor(scenario.name);
  const { recorder: _, ...run } = await recordRun(scenario, { random, everyCombination: false });
  const directory = await mkdtemp(join(work, "run-"));
  const template = join(directory, "template");
  const store = filesystemStore({ path: template, create: true });
  for (const [id, { data, timestampNs }] of run.before) await store.put(id, data, { timestampNs });
  for await (const _ of store.list("")) break;

  const copy = async (name: string): Promise<string> => {
    const target = join(directory, name);
    await cp(template, target, { recursive: true, preserveTimestamps: true });
    return target;
  };

  const whole = await copy("whole");
  const { acknowledged, moments, signal } = await runChild(run, whole, 0);
  expect({ acknowledged, signal }).toEqual({ acknowledged: run.models.length - 1, signal: null });
  await expectSurvivedOnDisk(run, whole, acknowledged, true);

  const every = Array.from({ length: moments! }, (_, index) => index + 1);
  const chosen = isFull
    ? every
    : Array.from({ length: Math.min(sampleOf, every.length) }, () => random.pick(every));
  totals.moments += every.length;

  await mapConcurrent(
    chosen,
    async (moment, index) => {
      const target = await copy(`${index}`);
      const end = await runChild(run, target, moment);
      // How often calls at the same time both make a directory differs from run to run, by a moment or two.
      if (end.signal === "SIGKILL") totals.kills += 1;
      else expect(end.moments).toBeLessThan(moment);
      const files = await readdir(target, { recursive: true });
      totals.temporaryFiles += files.filter((file) => file.includes(".tmp.")).length;
      try {
        await expectSurvivedOnDisk(run, target, end.acknowledged, random.integer(4) === 0);
      } catch (cause) {
        throw new Error(
          `${scenario.name}: killed at moment ${moment} of ${moments}, ${end.acknowledged} steps acknowledged`,
          { cause },
        );
      }
      await rm(target, { recursive: true });
    },
    { concurrency: parallelChildren },
  );
}

describe.skipIf(!runsSources)(title, () => {
  const possible = scenarios.filter(({ inMemoryOnly }) => !inMemoryOnly);

  it.each(possible)("$name", { timeout: 1_800_000 }, (scenario) => killEverywhere(scenario));

  it("was also killed between writing a file and renaming it", () => {
    expect(totals.temporaryFiles).toBeGreaterThan(0);
  });
});
