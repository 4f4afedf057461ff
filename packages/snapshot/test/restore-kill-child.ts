/**
 * Restores in a process of its own, which kills itself at a chosen call: of the store, or of the file system between two
 * steps of one file. Prints how many such moments there were.
 *
 * node --conditions=@dm/source restore-kill-child.ts <repository> <root object> <target> <moment, 0 for none>
 * @module
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [, , path = "", objectId = "", target = "", wanted = "0"] = process.argv;
let moments = 0;
let isArmed = false;

function moment(): void {
  if (!isArmed) return;
  moments += 1;
  if (moments === Number(wanted)) process.kill(process.pid, "SIGKILL");
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

const { openRepository } = await import("@dm/repo");
const { filesystemStore } = await import("@dm/storage/filesystem");
const { entryOfObject } = await import("../src/index.ts");
const { loadPosix, restoreTree } = await import("../src/node/index.ts");
await loadPosix();

const store = filesystemStore({ path });
const get = store.get.bind(store);
const repository = await openRepository(
  Object.assign(store, {
    get: (...all: Parameters<typeof get>) => {
      moment();
      return get(...all);
    },
  }),
  { password: "p", deriveKey: async () => new Uint8Array(32).fill(9), readOnly: true },
);
isArmed = true;
const report = await restoreTree(repository, entryOfObject(objectId), target, {
  resume: true,
  // One group after another, so that a moment is the same in every run.
  parallel: 1,
});
isArmed = false;
if (!report.ok) throw new Error(JSON.stringify(report.losses));
console.log(`moments ${moments}`);
