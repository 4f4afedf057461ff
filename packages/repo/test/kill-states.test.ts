// Whatever moment a process dies at, the repository is whole: in memory, every state that a crash can leave behind
// (combinations of the calls under way included) is opened, compared with what was acknowledged, verified and written
// to; and maintained (all of them with DM_FULL=1, a seeded share here). test/kill.test.ts kills real processes.
import { manualClock } from "@dm/core";
import { afterAll, describe, expect, it } from "vitest";
import { type CrashState, restored } from "./robustness/crash-states.ts";
import { maintenanceFigures, recordRun, scenarios, type UncutRun } from "./robustness/scenarios.ts";
import { isFull, randomFor, seed } from "./robustness/seeded.ts";
import { expectSurvived } from "./robustness/survival.ts";

/** How often each scenario runs, with calls overtaking each other in other ways. */
const rounds = isFull ? 2 : 1;
/** After one of how many states the sample also runs maintenance, the costly part of the proof. */
const maintainOneIn = 4;
const totals = { points: 0, states: 0 };

async function proveState(run: UncutRun, state: CrashState, maintains: boolean): Promise<void> {
  const store = restored(state.blobs, manualClock(run.endNs));
  try {
    await expectSurvived(run, store, state.acknowledged, { maintains });
  } catch (cause) {
    throw new Error(
      `${run.scenario.name}: died ${state.at}, ${state.acknowledged} steps acknowledged (DM_SEED=${seed})`,
      { cause },
    );
  }
}

describe("a crash at every storage call", () => {
  it.each(scenarios)("$name", { timeout: 600_000 }, async (scenario) => {
    for (let round = 0; round < rounds; round += 1) {
      const random = randomFor(`${scenario.name} ${round}`);
      const { recorder, ...run } = await recordRun(scenario, { random, everyCombination: isFull });
      for (const state of recorder.states)
        await proveState(run, state, isFull || random.integer(maintainOneIn) === 0);
      totals.points += recorder.points;
      totals.states += recorder.states.length;
    }
  });

  it("maintenance did everything it can do", () => {
    for (const [name, figures] of maintenanceFigures) {
      const tasks = name.includes("format 1")
        ? ["index-compaction"]
        : [
            "compact-single-epoch",
            "advance-epoch",
            "generate-epoch-range-index",
            "cleanup-epoch-markers",
            "delete-superseded-epoch-indexes",
          ];
      for (const task of ["full-rewrite-contents", "full-delete-blobs", "cleanup-logs", ...tasks])
        expect(figures.get(task), `${task} in ${name}`).toBeGreaterThan(0);
    }
  });

  afterAll(() => {
    console.log(
      `kill points in memory: ${totals.points}, distinct states proven: ${totals.states} (DM_SEED=${seed})`,
    );
  });
});
