// Reasons to keep snapshots beside the real kopia's: made-up start times of many sources, each with a policy of its own, in
// several time zones.
import type { Json } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  emptyPolicy,
  expiredSnapshots,
  listSnapshots,
  type RetentionPolicy,
  retentionOf,
  setPolicy,
} from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";
import { directoryIn, snapshotIn } from "./new-repository.ts";
import { fc } from "./property.ts";

const minute = 60_000_000_000n;
/** A Friday before the end of summer time in both zones below. */
const newestNs = 1_792_800_000_000_000_000n;

const most = fc.option(fc.integer({ min: 0, max: 8 }), { nil: undefined });
const policies: fc.Arbitrary<RetentionPolicy> = fc.record({
  keepLatest: most,
  keepHourly: most,
  keepDaily: most,
  keepWeekly: fc.option(fc.integer({ min: 0, max: 80 }), { nil: undefined }),
  keepMonthly: most,
  keepAnnual: most,
});
/** Distances that grow, so that each type finds something to keep. */
const starts = fc.array(
  fc.record({
    minutesBack: fc.oneof(
      fc.integer({ min: 0, max: 600 }),
      fc.integer({ min: 0, max: 20_000 }),
      fc.integer({ min: 0, max: 3_000_000 }),
    ),
    incompleteReason: fc.constantFrom(undefined, undefined, undefined, "checkpoint", "canceled"),
  }),
  { minLength: 1, maxLength: 25 },
);

describe.skipIf(!kopiaPeer.available).each(["UTC", "America/New_York", "Pacific/Auckland"])(
  kopiaPeer.title("reasons of kopia in %s"),
  (timeZone) => {
    const kopia = new KopiaClient([], timeZone);
    const ownZone = process.env["TZ"];

    beforeAll(async () => {
      process.env["TZ"] = timeZone;
      await kopia.create();
    });

    afterAll(() => {
      if (ownZone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = ownZone;
      kopia[Symbol.dispose]();
    });

    it("are ours", async () => {
      await using repository = await kopia.open();
      const session = await repository.openWriteSession();
      const root = await directoryIn(session, "root", []);
      const sampleSize = process.env["DM_FULL"] ? 300 : 40;
      const samples = fc.sample(fc.tuple(policies, starts), sampleSize);
      for (const [index, [retention, snapshots]] of samples.entries()) {
        const source = { host: "h", userName: "u", path: `/${index}` };
        // Half of them inherit what they leave unset from the defaults.
        await setPolicy(session, source, { ...emptyPolicy, retention, noParent: index % 2 === 0 });
        const distinct = new Map(snapshots.map((each) => [each.minutesBack, each]));
        for (const { incompleteReason, minutesBack } of distinct.values()) {
          const startedAtNs = newestNs - BigInt(minutesBack) * minute;
          await snapshotIn(session, root, { source, startedAtNs, incompleteReason });
        }
      }
      await session.commit();

      const listed: Json[] = JSON.parse(
        await kopia.run("snapshot", "list", "--all", "--json", "--incomplete"),
      );
      const theirs = new Map(listed.map(({ id, retentionReason }) => [id, retentionReason ?? []]));
      const snapshots = await listSnapshots(repository);
      expect(theirs.size).toBe(snapshots.length);
      const ours = await retentionOf(repository, snapshots);
      for (const { id, source, startedAtNs } of snapshots)
        expect(ours.get(id), `${source.path} ${startedAtNs}`).toEqual(theirs.get(id));
      const types = new Set([...theirs.values()].flat().map((reason) => reason.split("-")[0]));
      expect(types.size).toBeGreaterThan(4);

      const expired = new Set<string>();
      for (const [index] of samples.entries()) {
        const source = { host: "h", userName: "u", path: `/${index}` };
        for (const { id } of await expiredSnapshots(repository, source)) expired.add(id);
      }
      expect(expired.size).toBeGreaterThan(0);
      await kopia.run("snapshot", "expire", "--all", "--delete");
      await repository.refresh();
      const left = await listSnapshots(repository);
      expect(left.map(({ id }) => id).sort()).toEqual(
        snapshots
          .map(({ id }) => id)
          .filter((id) => !expired.has(id))
          .sort(),
      );
    });
  },
);
