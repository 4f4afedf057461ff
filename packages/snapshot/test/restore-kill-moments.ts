/**
 * Counts calls of the file system in every thread of a restore, and kills the process at a chosen one. Loaded by `--import` in
 * NODE_OPTIONS, which threads honour, too.
 * @module
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

/** How many moments there were, and the fatal one, 0 for none; -1 while moments do not count. One for all threads. */
const key = "moments of the restore";
const known = getEnvironmentData(key) as unknown as Int32Array | undefined;
const shared = known ?? new Int32Array(new SharedArrayBuffer(8)).fill(-1);
if (!known) setEnvironmentData(key, shared as never);

export function moment(): void {
  const fatal = Atomics.load(shared, 1);
  if (fatal < 0) return;
  if (Atomics.add(shared, 0, 1) + 1 === fatal) process.kill(process.pid, "SIGKILL");
}

export function countMoments(fatal: number): void {
  Atomics.store(shared, 0, 0);
  Atomics.store(shared, 1, fatal);
}

/** No more are counted. */
export function countedMoments(): number {
  Atomics.store(shared, 1, -1);
  return Atomics.load(shared, 0);
}

const calls = [
  "openSync",
  "writeSync",
  "ftruncateSync",
  "fchownSync",
  "fchmodSync",
  "fstatSync",
  "renameSync",
  "symlinkSync",
  "mkdirSync",
  "closeSync",
] as const;
for (const name of calls) {
  const call = fs[name] as (...all: unknown[]) => unknown;
  Object.assign(fs, {
    [name]: (...all: unknown[]) => {
      moment();
      return call(...all);
    },
  });
}
syncBuiltinESMExports();
