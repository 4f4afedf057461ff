// Why snapshots are kept: each type of reason, limits of age, the one set of periods, incomplete snapshots, and what follows
// from nothing being set.
import { parseTime } from "@dm/repo";
import { expect, it } from "vitest";
import { compactRetentionReasons, type RetentionPolicy, retentionReasons } from "../src/index.ts";
import { fc } from "./property.ts";

const at = (time: string, incompleteReason?: string) => {
  const text = time.length === 10 ? `${time}T12:00:00Z` : time;
  return { startedAtNs: parseTime(text), endedAtNs: parseTime(text), incompleteReason };
};

const reasonsOf = (policy: RetentionPolicy, ...snapshots: ReturnType<typeof at>[]): string[] =>
  retentionReasons(snapshots, policy).map((reasons) => reasons.join(" "));

it("counts the newest, in whatever order they come", () => {
  const days = [at("2026-01-02"), at("2026-01-03"), at("2026-01-01")];
  expect(reasonsOf({ keepLatest: 2 }, ...days)).toEqual(["latest-2", "latest-1", ""]);
});

it("keeps everything when nothing is set, or everything is 0", () => {
  const days = [at("2020-01-01"), at("2021-01-01")];
  for (const policy of [{}, { keepLatest: 0, keepDaily: 0 }])
    expect(reasonsOf(policy, ...days)).toEqual(["latest-2", "latest-1"]);
  expect(reasonsOf({ keepLatest: 0, keepDaily: 1 }, ...days)).toEqual(["", "daily-1"]);
});

it("keeps the newest of each period, up to the limit of age", () => {
  expect(
    reasonsOf(
      { keepHourly: 2 },
      at("2026-01-01T10:59:59Z"),
      at("2026-01-01T10:00:00Z"),
      at("2026-01-01T09:30:00Z"),
      at("2026-01-01T08:59:59Z"),
      at("2026-01-01T08:59:58.999999999Z"),
    ),
  ).toEqual(["hourly-1", "", "hourly-2", "", ""]);
  expect(reasonsOf({ keepDaily: 3 }, at("2026-01-10"), at("2026-01-07"), at("2026-01-06"))).toEqual(
    ["daily-1", "daily-2", ""],
  );
  expect(
    reasonsOf({ keepMonthly: 2 }, at("2026-03-31"), at("2026-02-28"), at("2026-01-30")),
  ).toEqual(["monthly-1", "monthly-2", ""]);
  expect(
    reasonsOf({ keepAnnual: 2 }, at("2024-02-29"), at("2023-02-28"), at("2022-02-28")),
  ).toEqual(["annual-1", "annual-2", ""]);
  expect(reasonsOf({ keepAnnual: 1_000_000 }, at("2024-02-29"), at("1970-01-02"))).toEqual([
    "annual-1",
    "annual-2",
  ]);
});

it("shares periods among all types", () => {
  const kept = reasonsOf(
    { keepMonthly: 24, keepWeekly: 60 },
    at("2026-11-10"),
    at("2026-06-10"),
    at("2026-03-12"),
  );
  expect(kept).toEqual(["weekly-1 monthly-1", "weekly-2 monthly-2", "monthly-3"]);
});

it("knows weeks at the turn of the year", () => {
  const days = ["2027-01-04", "2027-01-03", "2026-12-28", "2026-12-27", "2024-12-30", "2021-01-03"];
  expect(reasonsOf({ keepWeekly: 1000 }, ...days.map((day) => at(day)))).toEqual([
    "weekly-1",
    "weekly-2",
    "",
    "weekly-3",
    "weekly-4",
    "weekly-5",
  ]);
});

it("keeps incomplete ones above the newest complete one, young or few", () => {
  const policy = { keepLatest: 1 };
  expect(
    reasonsOf(
      policy,
      at("2026-01-05T12:00:00Z", "checkpoint"),
      at("2026-01-05T11:00:00Z", "canceled"),
      at("2026-01-05T10:00:00Z", "checkpoint"),
      at("2026-01-05T09:00:00Z", "checkpoint"),
      at("2026-01-05T08:00:00Z", "checkpoint"),
      at("2026-01-05T07:59:00Z"),
      at("2026-01-05T07:58:00Z", "checkpoint"),
    ),
  ).toEqual(["incomplete", "incomplete", "incomplete", "incomplete", "", "latest-1", ""]);
  // Incomplete ones do not count as the latest.
  expect(
    reasonsOf(policy, at("2026-01-05", "checkpoint"), at("2026-01-04"), at("2026-01-03")),
  ).toEqual(["incomplete", "latest-1", ""]);
  const old = ["2026-01-09", "2026-01-08", "2026-01-07", "2026-01-06"];
  expect(reasonsOf(policy, ...old.map((day) => at(day, "checkpoint")))).toEqual([
    "incomplete",
    "incomplete",
    "incomplete",
    "",
  ]);
});

it("never lets the newest complete snapshot expire while one number is set", () => {
  const number = fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined });
  const policies = fc
    .record({ keepLatest: number, keepHourly: number, keepDaily: number, keepMonthly: number })
    .filter((policy) => Object.values(policy).some((most) => most !== undefined));
  const starts = fc.array(fc.integer({ min: 0, max: 2_000_000_000 }), { minLength: 1 });
  fc.assert(
    fc.property(policies, starts, (policy, seconds) => {
      const snapshots = seconds.map((second) => ({
        startedAtNs: BigInt(second) * 1_000_000_000n,
        endedAtNs: 0n,
      }));
      const reasons = retentionReasons(snapshots, policy);
      expect(reasons[seconds.indexOf(Math.max(...seconds))]).not.toEqual([]);
      const perType = new Map<string, number>();
      for (const reason of reasons.flat()) {
        const [type] = reason.split("-");
        perType.set(type!, (perType.get(type!) ?? 0) + 1);
      }
      expect(perType.get("daily") ?? 0).toBeLessThanOrEqual(policy.keepDaily ?? 0);
    }),
  );
});

it("shows runs of reasons together", () => {
  const reasons = ["daily-1", "latest-1", "latest-2", "latest-3", "latest-5", "incomplete"];
  expect(compactRetentionReasons(reasons)).toEqual([
    "incomplete",
    "latest-1..3",
    "latest-5",
    "daily-1",
  ]);
  expect(compactRetentionReasons([])).toEqual([]);
});
