/** The queue of Backups on the embedded API server: positions, and one after the other. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { reconcileQueue } from "../../src/backup/reconcile-queue.ts";
import { operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const queue = async (): Promise<unknown[]> => {
  while ((await reconcileQueue(world.deps, { namespace: operator })).requeueAfterMs);
  return world
    .list("backups")
    .map(({ metadata, status }) => [metadata.name, status?.phase, status?.queuePosition]);
};

it("lets one after the other start, and tells the others where they stand", async () => {
  for (const name of ["a", "b", "c"]) world.backup(name, { includedNamespaces: ["shop"] });
  expect(await queue()).toEqual([
    ["a", "ReadyToStart", undefined],
    ["b", "Queued", 1],
    ["c", "Queued", 2],
  ]);
  expect(await queue()).toEqual(await queue());
  await world.untilEnd("backups", "c");
  for (const name of ["a", "b", "c"])
    expect(world.phases.get(`backups/${name}`)?.slice(0, 4)).toEqual([
      "New",
      "Queued",
      "ReadyToStart",
      "InProgress",
    ]);
});

it("lets several start when they have nothing in common", async () => {
  world.namespace("other");
  world.settings.concurrentBackups = 2;
  world.backup("a", { includedNamespaces: ["shop"] });
  world.backup("b", { includedNamespaces: ["*"] });
  world.backup("c", { includedNamespaces: ["other"] });
  expect(await queue()).toEqual([
    ["a", "ReadyToStart", undefined],
    ["b", "Queued", 1],
    ["c", "Queued", 2],
  ]);
});
