// Snapshots without a backup are found by their tags and ids; a young one, and one that any backup names, never is one.
import type { VeleroManifest } from "@dm/snapshot/velero";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  backupUidOf,
  findOrphans,
  orphanMessage,
  orphanReport,
  readOrphanReport,
} from "../../src/retention/find-orphans.ts";

const nowMs = Date.parse("2026-11-25T12:00:00Z");
const dayMs = 24 * 3_600_000;
const limits = { nowMs, minAgeMs: dayMs };
const uid = (digit: number): string => `0000000${digit}-0000-4000-8000-000000000000`;
const snapshot = (
  id: string,
  ageMs: number,
  tags: Record<string, string> = {},
  isComplete = true,
): VeleroManifest => ({
  id,
  path: "snapshot-data-upload-download/kopia/shop/data",
  tags,
  startedAtNs: BigInt(nowMs - ageMs) * 1_000_000n,
  isComplete,
});
const known = { backupUids: new Set([uid(1)]), ids: new Set(["k1"]) };
const of = (digit: number) => ({ "velero.io/async-operation-id": `du-${uid(digit)}.1234` });

it.each<[string, VeleroManifest, boolean]>([
  ["named by a backup", snapshot("k1", 9 * dayMs), false],
  ["of a backup", snapshot("x", 9 * dayMs, of(1)), false],
  ["of no backup", snapshot("x", 9 * dayMs, of(2)), true],
  ["of no backup, but young", snapshot("x", dayMs - 1, of(2)), false],
  ["a checkpoint that nobody goes on with", snapshot("x", 9 * dayMs, of(2), false), true],
  ["of a pod's volume", snapshot("x", 9 * dayMs, { "backup-uid": uid(1) }), false],
  ["of a pod's volume, of no backup", snapshot("x", 9 * dayMs, { "backup-uid": uid(3) }), true],
  ["without tags", snapshot("x", 9 * dayMs), true],
  [
    "with a tag that is none",
    snapshot("x", 9 * dayMs, { "velero.io/async-operation-id": "du-x" }),
    true,
  ],
])("%s", (_, one, isOrphan) => {
  expect(findOrphans([one], known, limits)).toEqual(isOrphan ? [one] : []);
});

it("who knows more finds fewer, and a snapshot of a known backup is never among them", () => {
  const one = fc.record({
    id: fc.constantFrom("a", "b", "c", "d"),
    age: fc.nat(3 * dayMs),
    uid: fc.option(fc.nat(4)),
  });
  fc.assert(
    fc.property(
      fc.array(one),
      fc.array(fc.nat(4)),
      fc.array(fc.constantFrom("a", "b", "c", "d")),
      (all, uids, ids) => {
        const snapshots = all.map((it) =>
          snapshot(it.id, it.age, it.uid === null ? {} : of(it.uid)),
        );
        const some = { backupUids: new Set(uids.map(uid)), ids: new Set<string>(ids) };
        const found = findOrphans(snapshots, some, limits);
        for (const each of found) {
          expect(some.ids.has(each.id)).toBe(false);
          expect(some.backupUids.has(backupUidOf(each) ?? "")).toBe(false);
          expect(Number(BigInt(nowMs) - each.startedAtNs / 1_000_000n)).toBeGreaterThanOrEqual(
            dayMs,
          );
        }
        const more = {
          backupUids: new Set([...some.backupUids, uid(0)]),
          ids: new Set<string>([...some.ids, "a"]),
        };
        expect(found).toEqual(expect.arrayContaining(findOrphans(snapshots, more, limits)));
      },
    ),
  );
});

it("the report has the first ids, and survives what others make of it", () => {
  const report = orphanReport(
    Array.from({ length: 30 }, (_, at) => snapshot(`k${at + 10}`, 0)),
    nowMs,
  );
  expect([report.count, report.ids.length]).toEqual([30, 20]);
  expect(orphanMessage(report)).toContain(
    "30 snapshots in the repository belong to no backup of the bucket: k10, k11",
  );
  expect(readOrphanReport(JSON.stringify(report))).toEqual(report);
  for (const text of [undefined, "", "{", "7", "{}", "null"])
    expect(readOrphanReport(text)).toBeUndefined();
});
