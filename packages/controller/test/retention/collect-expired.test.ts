// Row 106: an expired Backup gets one request, however often it is looked at and whoever looks; why not shows in its label.
import type { Backup } from "@dm/crds";
import { labels } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import { collectExpired } from "../../src/retention/collect-expired.ts";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world[Symbol.asyncDispose]());
const collect = () =>
  collectExpired(world.deps, world.get("backups", "nightly") as unknown as Backup);
const expired = { expiration: "2026-11-25T11:00:00Z" };

it("row 106: one request, with the names of the backup; it deletes it", async () => {
  await world.backup("nightly", { status: expired });
  expect(await collect()).toEqual({ requeueAfterMs: 3_600_000 });
  await Promise.all([collect(), collect()]);
  const [name = "", ...others] = world.names("requests");
  expect(others).toEqual([]);
  const { uid } = world.get("backups", "nightly").metadata;
  expect(world.get("requests", name)).toMatchObject({
    metadata: { labels: { [labels.backupName]: "nightly", [labels.backupUid]: uid } },
    spec: { backupName: "nightly" },
  });
  await reconcileDeleteRequest(world.deps, { namespace: operator, name });
  expect([...world.names("backups"), ...world.names("requests")]).toEqual([]);
});

it("a request that failed is followed by another one an hour later", async () => {
  await world.backup("nightly", { status: expired });
  await collect();
  const [name = ""] = world.names("requests");
  world.modify("requests", name, (request) => {
    request.status = { phase: "Processed", errors: ["x"] };
  });
  await collect();
  expect(world.names("requests")).toEqual([name]);
  world.advance(3_600_000);
  await collect();
  expect(world.names("requests").length).toBe(2);
});

it("the label says why not, and goes", async () => {
  await world.backup("nightly", { status: expired });
  const label = () => world.get("backups", "nightly").metadata.labels?.[labels.gcFailure];
  const set = (spec: object, status: object) =>
    world.modify("locations", "default", (location) => {
      location.spec = { ...location.spec, ...spec };
      location.status = status;
    });
  set({}, { phase: "Unavailable" });
  await collect();
  expect(label()).toBe("BSLUnavailable");
  set({ accessMode: "ReadOnly" }, { phase: "Available" });
  await collect();
  expect(label()).toBe("BSLReadOnly");
  expect(world.names("requests")).toEqual([]);
  set({ accessMode: "ReadWrite" }, { phase: "Available" });
  await collect();
  expect(label()).toBeUndefined();
  expect(world.names("requests").length).toBe(1);
  world.api.delete("backupstoragelocations.velero.io", operator, "default");
  await collect();
  expect(label()).toBe("BSLNotFound");
});

it("nothing is asked before the time comes", async () => {
  await world.backup("nightly");
  let calls = 0;
  const backup = world.get("backups", "nightly") as unknown as Backup;
  world.hooks = { before: () => calls++ };
  expect(await collectExpired(world.deps, backup)).toEqual({ requeueAfterMs: 3_600_000 });
  expect(calls).toBe(0);
});
