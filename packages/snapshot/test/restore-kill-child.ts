/**
 * Restores in a process of its own, which kills itself at a chosen call: of the store, or of the file system between two
 * steps of one file, in whichever thread. Standard output: `begun`, then how many such moments there were.
 *
 * NODE_OPTIONS=--import=<restore-kill-moments.ts> node --conditions=@dm/source restore-kill-child.ts <repository> <root object>
 *   <target> <moment, 0 for none> <threads>
 * @module
 */
import { openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { entryOfObject } from "../src/index.ts";
import { loadPosix, restoreTree } from "../src/node/index.ts";
import { countedMoments, countMoments, moment } from "./restore-kill-moments.ts";

const [, , path = "", objectId = "", target = "", fatal = "0", workers = "0"] = process.argv;
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
process.stdout.write("begun\n");
countMoments(Number(fatal));
const report = await restoreTree(repository, entryOfObject(objectId), target, {
  resume: true,
  workers: Number(workers),
  // Without threads one group after another, so that a moment is the same in every run.
  ...(workers === "0" ? { parallel: 1 } : {}),
});
const moments = countedMoments();
if (!report.ok) throw new Error(JSON.stringify(report.losses));
console.log(`moments ${moments}`);
