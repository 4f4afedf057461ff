// The lock of maintenance has one holder at a time, among calls and among processes; the kernel takes it back from a
// process that was killed; and where there is a program `flock`, a client that uses flock(2) is kept out as well.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { maintenanceLock } from "../src/client/maintenance-lock.ts";

let directory: string;
let configPath: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dm-lock-"));
  configPath = join(directory, "repository.config");
});
afterEach(() => rm(directory, { recursive: true }));

const hasFlock = spawnSync("flock", ["--version"]).error === undefined;
const running = { code: "DM_MAINTENANCE_RUNNING" };

it("has one holder at a time", async () => {
  const lock = await maintenanceLock(configPath);
  expect(lock.excludesKopia).toBe(hasFlock);
  await expect(maintenanceLock(configPath)).rejects.toMatchObject(running);
  const other = await maintenanceLock(join(directory, "other.config"));
  await lock.release();
  await lock.release();
  await (await maintenanceLock(configPath)).release();
  await other.release();
});

it("is given back at the end of a scope", async () => {
  {
    await using _held = await maintenanceLock(configPath);
    await expect(maintenanceLock(configPath)).rejects.toMatchObject(running);
  }
  await (await maintenanceLock(configPath)).release();
});

it("of many that ask at once, one gets it", async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, () => maintenanceLock(configPath)),
  );
  const locks = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  expect(locks).toHaveLength(1);
  await locks[0]!.release();
});

/** A process that takes the lock and says so. */
async function holderProcess(flockProgram: string | false): Promise<ChildProcess> {
  const source = new URL("../src/client/maintenance-lock.ts", import.meta.url);
  const script = `const { maintenanceLock } = await import(${JSON.stringify(source.href)});
await maintenanceLock(process.argv[1], { flockProgram: ${JSON.stringify(flockProgram)} });
process.stdout.write("held");
setInterval(() => {}, 1000);`;
  const args = ["--conditions=@dm/source", "--input-type=module", "-e", script, configPath];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout!, "data");
  return child;
}

it.each([
  ["with flock where there is one", "flock"],
  ["without", false],
] as const)("a killed process loses it, %s", async (_, flockProgram) => {
  const child = await holderProcess(flockProgram);
  await expect(maintenanceLock(configPath, { flockProgram })).rejects.toMatchObject(running);
  child.kill("SIGKILL");
  await once(child, "exit");
  // The child that holds flock(2) notices the end of its input a moment later.
  const lock = await retried(() => maintenanceLock(configPath, { flockProgram }));
  await lock.release();
});

async function retried<Value>(run: () => Promise<Value>): Promise<Value> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      return await run();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return run();
}

it("keeps a client that uses flock(2) out, and is kept out by it, where there is a program for that", async () => {
  const tryFlock = (): number | null =>
    spawnSync("flock", ["-x", "-n", `${configPath}.mlock`, "true"]).status;
  const lock = await maintenanceLock(configPath);
  expect(tryFlock()).toBe(hasFlock ? 1 : null);
  await lock.release();
  expect(tryFlock()).toBe(hasFlock ? 0 : null);

  const kopia = spawn(
    hasFlock ? "flock" : "cat",
    hasFlock ? ["-x", "-n", `${configPath}.mlock`, "cat"] : [],
    {
      stdio: ["pipe", "pipe", "ignore"],
    },
  );
  kopia.stdin.write("x");
  await once(kopia.stdout, "data");
  const outcome = await maintenanceLock(configPath).then(
    async (taken) => {
      await taken.release();
      return "taken";
    },
    (error: { code: string }) => error.code,
  );
  expect(outcome).toBe(hasFlock ? "DM_MAINTENANCE_RUNNING" : "taken");
  kopia.stdin.end();
  await once(kopia, "close");
  await (await maintenanceLock(configPath)).release();
});

it("says when Kopia is not kept out", async () => {
  for (const flockProgram of [false, "no-such-program-flock"] as const) {
    const lock = await maintenanceLock(configPath, { flockProgram });
    expect(lock.excludesKopia).toBe(false);
    await lock.release();
  }
});
