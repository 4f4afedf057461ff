// A Schedule makes its Backups on the embedded API server, one at a time and each once, also when the server dies in between; over HTTP
// it runs by itself.
import { manualClock, nsPerMs } from "@dm/core";
import { labels } from "@dm/crds";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createManager } from "../../src/runtime/manager.ts";
import { nodeKubeClient } from "../../src/runtime/node-client.ts";
import { reconcileSchedule } from "../../src/schedule/reconcile-schedule.ts";
import { addScheduleController } from "../../src/schedule/schedule-controller.ts";
import { Crash, operator, startMs, World } from "../retention/world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world[Symbol.asyncDispose]());

async function settle(): Promise<number | undefined> {
  for (let step = 0; step < 10; step++) {
    const { requeueAfterMs } = await reconcileSchedule(world.deps, {
      namespace: operator,
      name: "daily",
    });
    if (requeueAfterMs !== 0) return requeueAfterMs;
  }
  throw new Error("it does not settle");
}
const create = (spec: object = {}) =>
  world.create("schedules", "daily", {
    spec: { schedule: "0 13 * * *", template: { includedNamespaces: ["shop"] }, ...spec },
  });
const status = () => world.get("schedules", "daily").status;

it("runs when it is due, and again a day later, when the first one is over", async () => {
  create();
  expect(await settle()).toBe(60_000);
  expect(status()).toEqual({ phase: "Enabled" });
  world.advance(3_600_000);
  await settle();
  expect(world.names("backups")).toEqual(["daily-20261125130000"]);
  expect(world.get("backups", "daily-20261125130000")).toMatchObject({
    metadata: { labels: { [labels.scheduleName]: "daily" } },
    spec: { includedNamespaces: ["shop"] },
  });
  expect(status()?.["lastBackup"]).toBe("2026-11-25T13:00:00Z");
  world.advance(24 * 3_600_000);
  expect(await settle()).toBe(60_000);
  expect(world.names("backups").length).toBe(1);
  world.modify("backups", "daily-20261125130000", (backup) => {
    backup.status = { phase: "Completed" };
  });
  world.advance(60_000);
  await settle();
  expect(world.names("backups")).toEqual(["daily-20261125130000", "daily-20261126130100"]);
});

it.each(
  [1, 2, 3, 4, 5, 6].flatMap(
    (call) =>
      [
        [call, "before"],
        [call, "after"],
      ] as const,
  ),
)("a server that dies at call %i, %s, makes one Backup", async (call, when) => {
  create();
  await settle();
  world.advance(3_600_000);
  let calls = 0;
  world.hooks = {
    before: () => {
      if (++calls === call && when === "before") throw new Crash();
    },
    after: () => {
      if (calls === call && when === "after") throw new Crash();
    },
  };
  await settle().catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error;
  });
  world.hooks = {};
  world.advance(10_000);
  for (const name of world.names("backups"))
    world.modify("backups", name, (backup) => {
      backup.status = { phase: "Completed" };
    });
  await settle();
  world.advance(60_000);
  await settle();
  expect(world.names("backups").length).toBe(1);
  expect(Date.parse(status()?.["lastBackup"])).toBeGreaterThanOrEqual(
    Date.parse("2026-11-25T13:00:00Z"),
  );
});

it("skips once when it shall, says what is wrong, and does nothing while it is paused", async () => {
  create({ skipImmediately: true, schedule: "@every 1h" });
  await settle();
  expect(world.get("schedules", "daily").spec.skipImmediately).toBe(false);
  expect(status()).toMatchObject({ phase: "Enabled", lastSkipped: "2026-11-25T12:00:00Z" });
  world.modify("schedules", "daily", (schedule) => {
    schedule.spec.schedule = "61 * * * *";
  });
  expect(await settle()).toBeUndefined();
  expect(status()).toMatchObject({
    phase: "FailedValidation",
    validationErrors: ["invalid schedule: end of range (61) above maximum (59): 61"],
  });
  world.modify("schedules", "daily", (schedule) => {
    schedule.spec = { ...schedule.spec, schedule: "@every 1m", paused: true };
  });
  world.advance(3_600_000);
  expect(await settle()).toBeUndefined();
  expect(world.names("backups")).toEqual([]);
  world.modify("schedules", "daily", (schedule) => {
    schedule.spec.paused = false;
  });
  await settle();
  expect(status()).toMatchObject({ phase: "Enabled" });
  expect(status()?.["validationErrors"]).toBeUndefined();
  expect(world.names("backups").length).toBe(1);
});

it("by itself, with the interval as a metric", { timeout: 20_000 }, async () => {
  const client = nodeKubeClient({
    server: { url: world.server.url, token: world.server.adminToken },
  });
  const manager = createManager({ client });
  // A year later than the API server, whose clock goes on by itself.
  const clock = manualClock(BigInt(startMs + 365 * 24 * 3_600_000) * nsPerMs);
  addScheduleController(manager, { client, namespace: operator, clock });
  const stop = new AbortController();
  const running = manager.run(stop.signal);
  create({ schedule: "@every 1h" });
  await vi.waitFor(
    () => {
      expect(world.names("backups")).toEqual(["daily-20271125120000"]);
      expect(manager.metrics.text()).toContain(
        'velero_schedule_expected_interval_seconds{schedule="daily"} 3600',
      );
    },
    { timeout: 10_000, interval: 20 },
  );
  stop.abort();
  await running;
  client.close();
});
