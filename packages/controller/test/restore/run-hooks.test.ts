/**
 * Hooks of Restores on the embedded API server: commands run when containers are up, each once, also when the server dies; what fails
 * is told, and the Restore ends with it.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hookNotes } from "../../src/restore/restore-hooks.ts";
import { Crash, operator, World } from "../backup/world.ts";
import { putBackup, restoreFile } from "./backups.ts";
import { object } from "./objects.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
  putBackup(world, "b", [pod("db-0"), pod("db-1")]);
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const minuteMs = 60_000;
const pod = (name: string) =>
  object("v1", "Pod", name, { spec: { containers: [{ name: "main", image: "db" }] } });
const hooks = (...postHooks: object[]): object => ({
  hooks: { resources: [{ name: "h", postHooks: postHooks.map((exec) => ({ exec })) }] },
});
function start(...names: string[]): void {
  for (const name of names)
    world.api.modify(
      "pods",
      "shop",
      name,
      (one) => {
        one.status = {
          phase: "Running",
          containerStatuses: [{ name: "main", ready: true, state: { running: {} } }],
        };
      },
      { subresource: "status" },
    );
}
const errorsOf = (name: string): string[] => {
  const file = restoreFile(world, name, `restore-${name}-results.gz`) as {
    errors: { namespaces?: Record<string, string[]> };
  };
  return Object.values(file.errors.namespaces ?? {}).flat();
};
const run = { command: ["psql", "-c", "analyze"] };

describe("the hooks of a Restore", () => {
  it("run once in each pod when its container is up; until then the Restore waits", async () => {
    world.restore("back", { backupName: "b", ...hooks(run) });
    for (let turn = 0; turn < 3; turn++) await world.turn();
    expect(world.phase("restores", "back")).toBe("Finalizing");
    expect(world.executed).toEqual([]);
    start("db-0");
    await world.turn();
    expect(world.executed).toEqual(["shop/db-0 main: psql -c analyze"]);
    start("db-1");
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({
      phase: "Completed",
      hookStatus: { hooksAttempted: 2, hooksFailed: 0 },
    });
    expect(world.executed).toEqual([
      "shop/db-0 main: psql -c analyze",
      "shop/db-1 main: psql -c analyze",
    ]);
  });

  it("that fail are errors, and the others run all the same", async () => {
    world.onExec = (what) => (what.includes("db-0") ? { exitCode: 3 } : {});
    world.restore("back", { backupName: "b", ...hooks(run, { command: ["second"] }) });
    await world.turn();
    start("db-0", "db-1");
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 2,
      hookStatus: { hooksAttempted: 4, hooksFailed: 2 },
    });
    expect(world.executed).toHaveLength(4);
    expect(errorsOf("back")).toEqual([
      "hook h in container main failed to execute, err: command terminated with exit code 3",
    ]);
  });

  it("that fail with onError Fail let no other one run", async () => {
    world.onExec = () => ({ exitCode: 1 });
    world.restore("back", {
      backupName: "b",
      ...hooks({ ...run, onError: "Fail" }, { command: ["second"] }),
    });
    await world.turn();
    start("db-0");
    await world.turn();
    start("db-1");
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({ phase: "PartiallyFailed", hookStatus: { hooksFailed: 4 } });
    expect(world.executed).toEqual(["shop/db-0 main: psql -c analyze"]);
    expect(errorsOf("back")).toContain(
      "hook h in container main in pod shop/db-1 not executed: a hook with onError Fail has failed",
    );
  });

  it("do not wait for ever", async () => {
    world.restore("back", {
      backupName: "b",
      itemOperationTimeout: "1h",
      ...hooks({ ...run, waitTimeout: "5m" }, { command: ["second"] }),
    });
    await world.turn(minuteMs);
    start("db-0");
    for (let turn = 0; turn < 7; turn++) await world.turn(minuteMs);
    // The other one waits as long as operations may take.
    expect(world.phase("restores", "back")).toBe("Finalizing");
    const { status } = await world.untilEnd("restores", "back", minuteMs);
    expect(status).toMatchObject({ phase: "PartiallyFailed", hookStatus: { hooksFailed: 2 } });
    expect(errorsOf("back")[0]).toBe(
      "hook h in container main in pod shop/db-1 not executed: its container was not up in time",
    );
  });

  it("of pods that are gone are errors", async () => {
    world.restore("back", { backupName: "b", ...hooks(run) });
    await world.turn();
    start("db-0");
    world.api.delete("pods", "shop", "db-1", { gracePeriodSeconds: 0 });
    const { status } = await world.untilEnd("restores", "back");
    expect(status).toMatchObject({ phase: "PartiallyFailed", hookStatus: { hooksFailed: 1 } });
    expect(errorsOf("back")).toEqual(["1 hooks not executed: their pods were deleted"]);
    expect(world.get("restores", operator, "back").status?.errors).toBe(1);
  });

  it.each(["before", "after"] as const)(
    "of a server that died %s the command ran never run twice",
    async (when) => {
      let isDead = false;
      world.hooks = {
        [when]: (what: string) => {
          if (!what.startsWith("exec shop/db-0") || isDead) return;
          isDead = true;
          throw new Crash();
        },
      };
      world.restore("back", { backupName: "b", ...hooks(run) });
      await world.turn();
      start("db-0", "db-1");
      const { status } = await world.untilEnd("restores", "back");
      expect(status).toMatchObject({ phase: "PartiallyFailed", hookStatus: { hooksFailed: 1 } });
      expect(world.executed.filter((what) => what.includes("db-0"))).toHaveLength(
        when === "before" ? 0 : 1,
      );
      expect(errorsOf("back")).toEqual([
        "hook h in container main failed to execute, err: the server ended while it ran",
      ]);
      expect(world.api.get("pods", "shop", "db-1")?.metadata.annotations?.[hookNotes]).toContain(
        "done",
      );
    },
  );
});

it("init containers of hooks must be whole", async () => {
  world.restore("odd", {
    backupName: "b",
    hooks: {
      resources: [
        { name: "h", postHooks: [{ init: { initContainers: [{ name: "i", image: "x" }] } }] },
      ],
    },
  });
  const { status } = await world.untilEnd("restores", "odd");
  expect(status).toMatchObject({
    phase: "FailedValidation",
    validationErrors: [
      "invalid InitContainer in restore hook, it doesn't have Command, Name or Image field",
    ],
  });
});
