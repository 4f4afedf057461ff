/**
 * Which snapshots of a source its policy keeps, and why. Days, months and years are those of UTC, but weeks are those of the
 * local time zone, and so are the limits of age: as in Kopia.
 * Format: docs/format/policies.md. Proof: test/retention.test.ts, test/retention.kopia.test.ts.
 * @module
 */
import type { Snapshot } from "../snapshot-codec.ts";
import type { RetentionPolicy } from "./policy.ts";

/** What of a snapshot retention looks at. */
export type RetainedSnapshot = Pick<Snapshot, "startedAtNs" | "endedAtNs" | "incompleteReason">;

/** Incomplete snapshots that are newer than the newest complete one stay while they are younger than this, … */
const keepIncompleteNs = 4n * 3_600_000_000_000n;
/** … or among so many. */
const keepIncompleteCount = 3;

const nsPerMs = 1_000_000n;
const nsPerHour = 3_600_000_000_000n;

/** Types of reasons in the order in which they are shown, which is not the one in which they are found. */
const shownOrder = ["latest", "hourly", "daily", "weekly", "monthly", "annual"];

/**
 * Reasons to keep each of the snapshots of one source, in the order of `snapshots`: `latest-1`, `weekly-3`, `incomplete`. One
 * without a reason expires, unless it is pinned. Pure but for the local time zone.
 * @example
 * const reasons = retentionReasons(snapshots, policy.retention);
 * const expired = snapshots.filter(({ pins }, index) => reasons[index].length === 0 && pins.length === 0);
 */
export function retentionReasons(
  snapshots: readonly RetainedSnapshot[],
  policy: RetentionPolicy,
): readonly (readonly string[])[] {
  const reasons: string[][] = snapshots.map(() => []);
  const newestFirst = [...snapshots.keys()].sort((a, b) => newer(snapshots[a]!, snapshots[b]!));
  const newestComplete = newestFirst.find((index) => !snapshots[index]!.incompleteReason);
  if (newestComplete !== undefined) {
    const rules = rulesOf(policy, snapshots[newestComplete]!.startedAtNs);
    // Kopia keeps the periods of all types in one set: a month 2026-03 that is kept uses up the week 2026-03.
    const used = new Set<string>();
    for (const [place, index] of newestFirst.entries()) {
      const snapshot = snapshots[index]!;
      if (snapshot.incompleteReason) continue;
      reasons[index]!.push(...reasonsOf(snapshot, place, rules, used));
    }
  }
  for (const [place, index] of newestFirst.entries()) {
    const snapshot = snapshots[index]!;
    if (!snapshot.incompleteReason) break;
    const ageNs = snapshots[newestFirst[0]!]!.startedAtNs - snapshot.startedAtNs;
    if (ageNs >= keepIncompleteNs && place >= keepIncompleteCount) break;
    reasons[index]!.push("incomplete");
  }
  return reasons;
}

interface Rule {
  readonly type: string;
  readonly most: number;
  /** Snapshots that started before are not looked at. */
  readonly oldestNs: bigint;
  readonly periodOf: (startedAtNs: bigint, place: number) => string;
  count: number;
}

/** Those that the policy sets, in the order in which they are asked. */
function rulesOf(policy: RetentionPolicy, newestNs: bigint): Rule[] {
  const { keepAnnual, keepDaily, keepHourly, keepLatest, keepMonthly, keepWeekly } = policy;
  const rules: Rule[] = [];
  const add = (
    type: string,
    most: number | undefined,
    oldestNs: (most: number) => bigint,
    periodOf: Rule["periodOf"],
  ): void => {
    if (most !== undefined)
      rules.push({ type, most, oldestNs: oldestNs(most), periodOf, count: 0 });
  };
  const all = [keepLatest, keepHourly, keepDaily, keepWeekly, keepMonthly, keepAnnual];
  const sum = all.reduce<number>((total, most = 0) => total + most, 0);
  const utc = (length: number) => (ns: bigint) => utcText(ns).slice(0, length);
  add(
    "latest",
    sum === 0 ? Number.POSITIVE_INFINITY : keepLatest,
    () => newestNs - (1n << 64n),
    (_, place) => String(place),
  );
  add("annual", keepAnnual, (most) => before(newestNs, { years: most }), utc(4));
  add("monthly", keepMonthly, (most) => before(newestNs, { months: most }), utc(7));
  add("weekly", keepWeekly, (most) => before(newestNs, { days: 7 * most }), localWeek);
  add("daily", keepDaily, (most) => before(newestNs, { days: most }), utc(10));
  add("hourly", keepHourly, (most) => newestNs - BigInt(most) * nsPerHour, utc(13));
  return rules;
}

function reasonsOf(
  { startedAtNs }: RetainedSnapshot,
  place: number,
  rules: readonly Rule[],
  used: Set<string>,
): string[] {
  const reasons: string[] = [];
  for (const rule of rules) {
    if (startedAtNs < rule.oldestNs || rule.count >= rule.most) continue;
    const period = rule.periodOf(startedAtNs, place);
    if (used.has(period)) continue;
    used.add(period);
    rule.count += 1;
    reasons.push(`${rule.type}-${rule.count}`);
  }
  return reasons.sort(compareReasons);
}

function newer(a: RetainedSnapshot, b: RetainedSnapshot): number {
  if (a.startedAtNs !== b.startedAtNs) return a.startedAtNs > b.startedAtNs ? -1 : 1;
  if (a.endedAtNs !== b.endedAtNs) return a.endedAtNs > b.endedAtNs ? -1 : 1;
  return 0;
}

/** The same time of the day in the local zone, so many years, months or days before. */
function before(ns: bigint, age: { years?: number; months?: number; days?: number }): bigint {
  const { days = 0, months = 0, years = 0 } = age;
  const wholeMs = floorDivide(ns, nsPerMs);
  const date = new Date(Number(wholeMs));
  date.setFullYear(date.getFullYear() - years, date.getMonth() - months, date.getDate() - days);
  // Beyond what dates can say nothing is too old.
  if (Number.isNaN(date.getTime())) return ns - (1n << 64n);
  return BigInt(date.getTime()) * nsPerMs + (ns - wholeMs * nsPerMs);
}

/** `2026-11-25 04`, UTC. */
function utcText(ns: bigint): string {
  return new Date(Number(floorDivide(ns, nsPerMs))).toISOString().slice(0, 13).replace("T", " ");
}

/** Year and number of the ISO week, local: weeks begin on Monday, and belong to the year of their Thursday. */
function localWeek(ns: bigint): string {
  const local = new Date(Number(floorDivide(ns, nsPerMs)));
  const thursday = new Date(Date.UTC(local.getFullYear(), local.getMonth(), local.getDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7));
  const year = thursday.getUTCFullYear();
  const daysBefore = (thursday.getTime() - Date.UTC(year, 0, 1)) / 86_400_000;
  const week = Math.floor(daysBefore / 7) + 1;
  return `${String(year).padStart(4, "0")}-${String(week).padStart(2, "0")}`;
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}

const partsOf = (reason: string): [type: string, number: string] => {
  const dash = reason.lastIndexOf("-");
  return dash < 0 ? [reason, ""] : [reason.slice(0, dash), reason.slice(dash + 1)];
};

function compareReasons(a: string, b: string): number {
  const [typeA, numberA] = partsOf(a);
  const [typeB, numberB] = partsOf(b);
  const byType = shownOrder.indexOf(typeA) - shownOrder.indexOf(typeB);
  if (byType !== 0) return byType;
  if (typeA !== typeB) return typeA < typeB ? -1 : 1;
  return numberA === numberB ? 0 : numberA < numberB ? -1 : 1;
}

/** Reasons of several snapshots as one list, runs together: `latest-1..3`. */
export function compactRetentionReasons(reasons: readonly string[]): string[] {
  const compact: string[] = [];
  const numbers = new Map<string, number[]>();
  for (const reason of reasons) {
    const [type, number] = partsOf(reason);
    if (!/^\d+$/.test(number)) compact.push(reason);
    else numbers.set(type, [...(numbers.get(type) ?? []), Number(number)]);
  }
  for (const [type, all] of numbers) {
    all.sort((a, b) => a - b);
    for (let start = 0; start < all.length; ) {
      let last = start;
      while (all[last + 1] === all[last]! + 1) last++;
      compact.push(
        last === start ? `${type}-${all[start]}` : `${type}-${all[start]}..${all[last]}`,
      );
      start = last + 1;
    }
  }
  return compact.sort(compareReasons);
}
