// Storage locations on the embedded API server: asked when it is time, Available or Unavailable with the reason, without secrets.
import { mkdirSync } from "node:fs";
import { manualClock, nsPerMs, silentLogger } from "@dm/core";
import { type BackupStorageLocation, backupStorageLocations } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  reconcileStorageLocation,
  untilValidation,
} from "../../src/repository/reconcile-storage-location.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { MoverWorld, operator } from "../mover/mover-world.ts";

const key = { namespace: operator, name: "default" };
const startMs = Date.parse("2026-11-25T12:00:00Z");

let world: MoverWorld;
let client: NodeKubeClient;
const clock = manualClock(0n);
beforeEach(async () => {
  clock.set(BigInt(startMs) * nsPerMs);
  world = await MoverWorld.start();
  client = nodeKubeClient({ kubeconfig: world.kubeconfig });
});
afterEach(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

const deps = () => ({ client, clock, environment: {}, logger: silentLogger });
async function reconcile(): Promise<{
  location: BackupStorageLocation;
  waitMs: number | undefined;
}> {
  const { requeueAfterMs } = await reconcileStorageLocation(deps(), key);
  const location = (await client.get(backupStorageLocations, key)) as BackupStorageLocation;
  return { location, waitMs: requeueAfterMs };
}

it("is Unavailable with a reason, and Available when that is gone; asked once a minute", async () => {
  const first = await reconcile();
  expect(first.location.status).toMatchObject({
    phase: "Unavailable",
    lastValidationTime: "2026-11-25T12:00:00Z",
    message: expect.stringContaining("no such directory"),
  });
  expect(first.waitMs).toBe(60_000);
  mkdirSync(world.location.config?.["fspath"] ?? "");
  clock.advance(20_000);
  const early = await reconcile();
  expect(early.location.status?.phase).toBe("Unavailable");
  expect(early.waitMs).toBe(40_000);
  clock.advance(40_000);
  const later = await reconcile();
  expect(later.location.status).toMatchObject({
    phase: "Available",
    message: "",
    lastValidationTime: "2026-11-25T12:01:00Z",
  });
});

it("a Secret that is missing makes it Unavailable", async () => {
  world.api.modify("backupstoragelocations.velero.io", operator, "default", (object) => {
    object["spec"].credential = { name: "cloud-credentials", key: "cloud" };
  });
  expect((await reconcile()).location.status).toMatchObject({
    phase: "Unavailable",
    message: "secret cloud-credentials does not exist in velero",
  });
});

it("one that is gone is nothing to do", async () => {
  expect(await reconcileStorageLocation(deps(), { ...key, name: "none" })).toEqual({});
});

it.each<[string, string | undefined, object | undefined, number | undefined]>([
  ["a new one", undefined, undefined, 0],
  [
    "one of half a minute ago",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T11:59:30Z" },
    30_000,
  ],
  [
    "one of an hour ago",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T11:00:00Z" },
    0,
  ],
  [
    "its own frequency",
    "5m0s",
    { phase: "Available", lastValidationTime: "2026-11-25T11:59:00Z" },
    240_000,
  ],
  ["never", "0s", undefined, undefined],
  [
    "a clock that was set back",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T14:00:00Z" },
    60_000,
  ],
])("%s", (_, validationFrequency, status, waitMs) => {
  const object = { metadata: {}, spec: { validationFrequency }, status } as BackupStorageLocation;
  expect(untilValidation(object, startMs, 60_000)).toBe(waitMs);
});
