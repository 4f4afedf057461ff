/**
 * Does the work of one scenario on a directory and kills itself at the given moment: before each call of the store that changes
 * something, and after each step. A death at a read leaves what one at the next change leaves. Standard output: `begun`, `a`
 * after each step, `moments N` when it lived to the end.
 *
 * node --conditions=@dm/source child.ts <scenario> <directory> <clock ns> <moment, 0 for none>
 * @module
 */
import { writeSync } from "node:fs";
import { manualClock } from "@dm/core";
import { type BlobStore, forward } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { scenarios, withClock } from "./scenarios.ts";

const [, , name, path = "", clockNs = "0", fatal = "0"] = process.argv;
const fatalMoment = Number(fatal);
let moments = 0;
let isPaused = false;

function moment(): void {
  if (isPaused) return;
  moments += 1;
  if (moments === fatalMoment) process.kill(process.pid, "SIGKILL");
}

function counted(store: BlobStore): BlobStore {
  const before = <Result>(call: () => Result): Result => {
    moment();
    return call();
  };
  return {
    ...forward(store),
    put: (id, data, options) => before(() => store.put(id, data, options)),
    delete: (id, options) => before(() => store.delete(id, options)),
  };
}

const scenario = scenarios.find((candidate) => candidate.name === name);
if (!scenario) throw new Error(`no scenario ${name}`);
const clock = manualClock(BigInt(clockNs));
const store = counted(withClock(filesystemStore({ path }), clock));
writeSync(1, "begun\n");
await scenario.work({
  store,
  clock,
  async step(work) {
    await work();
    moment();
    writeSync(1, "a\n");
  },
  async uncut(work) {
    isPaused = true;
    await work();
    isPaused = false;
  },
});
writeSync(1, `moments ${moments}\n`);
