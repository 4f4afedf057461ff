// Deletion from a store that is full: it frees space without writing first, or says why it cannot and loses no id on the way. A store
// with a quota in memory refuses puts as S3 servers do.

import { isDmError, StorageError } from "@dm/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world[Symbol.asyncDispose]());
const reconcile = (name: string) =>
  reconcileDeleteRequest(world.deps, { namespace: operator, name });

it("the quota is what the test thinks it is", async () => {
  await world.backup("nightly");
  world.bucket.capacityBytes = world.bucket.usedBytes;
  const failure: unknown = await world.snapshot("shop", "data", "x").catch((error) => error);
  expect(isDmError(failure, "DM_STORE_NO_SPACE")).toBe(true);
});

it("full to the last byte: the files of the backup make room for the repositories", async () => {
  const kept = await world.backup("kept", { namespaces: ["shop", "web"] });
  await world.backup("nightly", { namespaces: ["shop", "web"] });
  world.restore("back", "nightly");
  world.bucket.capacityBytes = world.bucket.usedBytes;
  world.request("nightly");
  await reconcile("nightly-x");
  expect(world.names("backups")).toEqual(["kept"]);
  expect([
    ...world.names("requests"),
    ...world.names("configMaps"),
    ...world.names("restores"),
  ]).toEqual([]);
  expect(await world.snapshotIds("shop")).toEqual([kept.get("shop")]);
  expect(await world.snapshotIds("web")).toEqual([kept.get("web")]);
  expect(world.bucket.folders(["backups"])).toEqual(["kept"]);
});

it("no room at all: the ids are kept until there is some, and another deletion is done then", async () => {
  const kept = await world.backup("kept", { namespaces: ["shop", "web"] });
  await world.backup("nightly", { namespaces: ["shop", "web"] });
  world.bucket.capacityBytes = 0;
  world.request("nightly");
  await reconcile("nightly-x");
  expect(world.get("requests", "nightly-x").status?.errors).toEqual([
    expect.stringContaining("the store has no space to record that snapshots are deleted"),
  ]);
  expect(world.get("backups", "nightly").status?.phase).toBe("Deleting");
  expect(world.filesOf("backups/nightly/")).toEqual([]);
  expect((await world.snapshotIds("shop")).length).toBe(2);
  expect(world.names("configMaps").length).toBe(2);
  world.bucket.capacityBytes = Number.POSITIVE_INFINITY;
  world.advance(60_000);
  world.request("nightly", "nightly-again");
  await reconcile("nightly-again");
  expect([...world.names("configMaps"), ...world.names("requests")]).toEqual([]);
  expect(world.names("backups")).toEqual(["kept"]);
  expect(await world.snapshotIds("shop")).toEqual([kept.get("shop")]);
  expect(await world.snapshotIds("web")).toEqual([kept.get("web")]);
});

it("one repository refuses for want of space, the other for another reason: the files stay", async () => {
  await world.backup("nightly", { namespaces: ["shop", "web"] });
  world.bucket.capacityBytes = world.bucket.usedBytes;
  world.failure = { of: /open repository web/, error: new StorageError("DM_STORE_FAILED", "away") };
  world.request("nightly");
  await reconcile("nightly-x");
  expect(world.filesOf("backups/nightly/").length).toBe(4);
  expect(world.get("requests", "nightly-x").status?.errors).toEqual([
    expect.stringContaining("namespace web"),
  ]);
});
