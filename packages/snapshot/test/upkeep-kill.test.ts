// A process that is killed (SIGKILL) before any call that changes the store, or at any other moment, while it expires snapshots
// or collects garbage and maintains: no snapshot that retention keeps or that nobody deleted is lost, all that are left verify
// whole, the next run finishes, and the space of what was deleted comes back. A seeded sample here, every moment with
// DM_FULL=1. Found by it when made on purpose: manifests that are merged deleted before the merged ones are stored; short packs
// deleted before the index of what was written again.
import { afterAll, describe, it } from "vitest";
import { killEverywhere, totals } from "./killed/everywhere.ts";
import { isFull, runsSources, seed, skipped } from "./killed/run-child.ts";
import { expiries, maintenances } from "./killed/scenarios.ts";

afterAll(() => {
  console.log(
    `expiry and maintenance killed: ${totals.kills} times, ${totals.byChance} of them by chance, of ${totals.moments} moments; ` +
      `${totals.snapshotsVerified} snapshots verified, ${totals.files} files read (DM_SEED=${seed})`,
  );
});

describe.skipIf(!runsSources)(`killed at any moment${skipped}`, () => {
  it("expiry", { timeout: 3_600_000 }, () =>
    killEverywhere(expiries, { moments: 2, byChance: isFull ? 20 : 1 }),
  );

  it("maintenance with the collection of garbage", { timeout: 3_600_000 }, () =>
    killEverywhere(maintenances, { moments: 2, byChance: isFull ? 20 : 1 }),
  );
});
