// Snapshots that no backup knows are reported once a day at their BackupRepository, and stay; in doubt nothing is reported.

import { afterEach, beforeEach, expect, it } from "vitest";
import { encodeGzipJson } from "../../src/bucket/backup-files.ts";
import { readOrphanReport } from "../../src/retention/find-orphans.ts";
import { reportOrphans } from "../../src/retention/report-orphans.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { operator, World } from "./world.ts";

const dayMs = 24 * 3_600_000;
let world: World;
let told: string[];
const metrics = createMetrics();
beforeEach(async () => {
  world = await World.open();
  told = [];
  world.create("repositories", "shop", {
    spec: {
      volumeNamespace: "shop",
      backupStorageLocation: "default",
      repositoryType: "kopia",
      maintenanceFrequency: "1h0m0s",
      resticIdentifier: "",
    },
    status: { phase: "Ready" },
  });
});
afterEach(() => world[Symbol.asyncDispose]());

const look = () =>
  reportOrphans(
    {
      ...world.deps,
      metrics,
      events: { record: (_, __, { message }) => void told.push(message) },
    },
    { namespace: operator, name: "shop" },
  );
const report = () =>
  readOrphanReport(
    world.get("repositories", "shop").metadata.annotations?.["data-mover.dm/orphaned-snapshots"],
  );

it("finds what no backup knows, also when the cluster knows nothing", async () => {
  await world.backup("nightly");
  const lost = await world.snapshot("shop", "data", "du-00000000-0000-4000-8000-000000000000.1");
  const away = await World.open(world.bucket);
  away.create("repositories", "shop", {
    spec: world.get("repositories", "shop").spec,
    status: { phase: "Ready" },
  });
  for (const one of [world, away]) one.advance(2 * dayMs);
  expect(await look()).toEqual({ requeueAfterMs: dayMs });
  await reportOrphans(away.deps, { namespace: operator, name: "shop" });
  const found = { checkedAtMs: world.nowMs, count: 1, ids: [lost] };
  expect(report()).toEqual(found);
  expect(away.get("repositories", "shop").metadata.annotations).toEqual({
    "data-mover.dm/orphaned-snapshots": JSON.stringify(found),
  });
  expect(told).toEqual([expect.stringContaining(lost)]);
  expect(metrics.text()).toContain('dm_orphaned_snapshots{repository="shop"} 1');
  expect((await world.snapshotIds("shop")).length).toBe(2);
  world.advance(dayMs - 1);
  expect(await look()).toEqual({ requeueAfterMs: 1 });
  await away[Symbol.asyncDispose]();
});

it("a snapshot without tags is known by the files of its backup", async () => {
  await world.backup("nightly", { namespaces: [] });
  const id = await world.snapshot("shop", "data", "");
  world.bucket.files.set(
    "backups/nightly/nightly-volumeinfo.json.gz",
    encodeGzipJson([{ pvcNamespace: "shop", snapshotDataMovementInfo: { snapshotHandle: id } }]),
  );
  world.advance(2 * dayMs);
  await look();
  expect(report()?.count).toBe(0);
  expect(told).toEqual([]);
});

it("says nothing when a backup cannot be read, the location is away, or there is no repository", async () => {
  await world.backup("nightly");
  await world.snapshot("shop", "data", "");
  world.advance(2 * dayMs);
  world.bucket.files.set("backups/broken/velero-backup.json", new Uint8Array(3));
  await look();
  expect(report()).toBeUndefined();
  world.bucket.files.delete("backups/broken/velero-backup.json");
  world.modify("locations", "default", (location) => {
    location.status.phase = "Unavailable";
  });
  await look();
  expect(report()).toBeUndefined();
  world.modify("locations", "default", (location) => {
    location.status.phase = "Available";
  });
  world.bucket.repositories.clear();
  await look();
  expect([report(), told]).toEqual([undefined, []]);
});

it("a backup that is being made, and a deletion that is not done, are known", async () => {
  await world.backup("nightly");
  world.advance(2 * dayMs);
  for (const file of world.filesOf("backups/")) world.bucket.files.delete(file);
  await look();
  expect(report()?.count).toBe(0);
});
