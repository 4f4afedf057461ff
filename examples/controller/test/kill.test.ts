/**
 * Server, node agents and movers are killed in every phase and at random moments, over file systems and block devices, backing up
 * and restoring. Every object ends, nothing is left behind, nothing is lost. A few cases drawn by DM_SEED in the plain run, 200 with
 * DM_FULL=1; the counts are printed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@dm/fixtures";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type KillCase, KillWorld, moments, victims } from "./kill-world.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const count = process.env["DM_FULL"] ? 200 : Number(process.env["DM_KILLS"] ?? 3);

/** All combinations come before any comes again, in an order by the seed. More than are needed: not every victim is there. */
function drawCases(): KillCase[] {
  const random = seededRandom(seed);
  const all = victims.flatMap((victim) =>
    moments.flatMap((moment) =>
      (["DataUpload", "DataDownload"] as const).flatMap((kind) =>
        (["Filesystem", "Block"] as const).map((volumeMode) => ({
          victim,
          moment,
          kind,
          volumeMode,
        })),
      ),
    ),
  );
  const drawn: KillCase[] = [];
  while (drawn.length < 2 * count) {
    const order = all
      .map((kill) => ({ kill, at: random.integer(2 ** 32) }))
      .sort((a, b) => a.at - b.at)
      .map(({ kill }) => ({
        ...kill,
        delayMs: random.integer(kill.moment === "random" ? 6_000 : 300),
      }));
    drawn.push(...order);
  }
  return drawn;
}

let world: KillWorld;
let folder = "";
const stop = new AbortController();
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-kill-"));
  world = await KillWorld.open(folder, stop.signal);
}, 120_000);
afterAll(async () => {
  stop.abort();
  await world?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

it(
  `ends every object, ${count} times killed (DM_SEED=${seed})`,
  async () => {
    const counts = new Map<string, number>();
    const failures: string[] = [];
    let kills = 0;
    const told = (cases: number): string =>
      `DM_SEED=${seed}, ${cases} cases: ${[...counts]
        .map(([text, number]) => `${number} × ${text}`)
        .sort()
        .join("; ")}`;
    let played = 0;
    for (const kill of drawCases()) {
      if (kills >= count) break;
      if (played > 0 && played % 20 === 0) console.log(told(played));
      played += 1;
      const { killed, message, phase } = await world.play(kill).catch((error: unknown) => {
        throw new Error(`${JSON.stringify(kill)}: ${error}`, { cause: error });
      });
      const text = `${kill.kind} ${killed ? "killed" : "not there to be killed"}: ${phase}`;
      counts.set(text, (counts.get(text) ?? 0) + 1);
      if (killed) kills += 1;
      // One kill is never the end of the work: whoever was killed goes on.
      if (phase !== "Completed") failures.push(`${JSON.stringify(kill)}: ${phase} ${message}`);
    }
    console.log(told(played));
    expect(kills).toBe(count);
    expect(failures).toEqual([]);
  },
  count * 400_000,
);
