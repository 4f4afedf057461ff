/**
 * Counts calls of the file system in every thread of a restore, and kills the process at a chosen one. Loaded by `--import` in
 * NODE_OPTIONS, which threads honour, too.
 * @module
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

const maxDescriptors = 4096;
/**
 * How many moments there were, and the fatal one, 0 for none; -1 while moments do not count. Then one for each descriptor that
 * the restore has opened: threads that start read the files of their modules, too. One for all threads.
 */
const key = "moments of the restore";
const known = getEnvironmentData(key) as unknown as Int32Array | undefined;
const shared = known ?? new Int32Array(new SharedArrayBuffer(4 * (2 + maxDescriptors))).fill(-1);
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

type Call = (...all: unknown[]) => unknown;

function replace(name: string, by: (call: Call) => Call): void {
  Object.assign(fs, { [name]: by((fs as unknown as Record<string, Call>)[name]!) });
}

replace("openSync", (call) => (path, flags, ...rest) => {
  // Modules are opened with flags as text.
  if (typeof flags !== "number") return call(path, flags, ...rest);
  moment();
  const fd = call(path, flags, ...rest) as number;
  Atomics.store(shared, 2 + fd, 1);
  return fd;
});
for (const name of ["writeSync", "ftruncateSync", "fchownSync", "fchmodSync", "fstatSync"])
  replace(name, (call) => (fd, ...rest) => {
    if (Atomics.load(shared, 2 + (fd as number)) === 1) moment();
    return call(fd, ...rest);
  });
replace("closeSync", (call) => (fd) => {
  if (Atomics.exchange(shared, 2 + (fd as number), 0) === 1) moment();
  return call(fd);
});
for (const name of ["renameSync", "symlinkSync", "mkdirSync"])
  replace(name, (call) => (...all) => {
    moment();
    return call(...all);
  });
syncBuiltinESMExports();
