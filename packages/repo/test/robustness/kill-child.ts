/**
 * Does the work of one scenario on a directory and kills itself at the given moment. Moments are counted: before each
 * call of the store, after each that changes something, and inside the directory store after each system call that changes something (half of a
 * file written included). Standard output: `a` for each acknowledgement, `moments N` when it lived to the end.
 *
 * node --conditions=@dm/source kill-child.ts <scenario> <directory> <clock ns> <password> <moment, 0 for none>
 */
import { writeSync } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { manualClock } from "@dm/core";
import { type BlobStore, forward } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { withClock } from "./crash-states.ts";
import { emptyModel, scenarios } from "./scenarios.ts";

const [, , name, path = "", clockNs = "0", password = "", fatal = "0"] = process.argv;
const fatalMoment = Number(fatal);
let moments = 0;
let isPaused = false;

function moment(): void {
  if (isPaused) return;
  moments += 1;
  if (moments === fatalMoment) process.kill(process.pid, "SIGKILL");
}

/** System calls made through `node:fs/promises`, in every module that imports them. */
function countSystemCalls(): void {
  const { link, mkdir, open, rename, unlink } = fs;
  const counted =
    <Arguments extends unknown[], Result>(call: (...values: Arguments) => Promise<Result>) =>
    async (...values: Arguments): Promise<Result> => {
      const result = await call(...values);
      moment();
      return result;
    };
  const openCounted = async (...values: Parameters<typeof open>): Promise<FileHandle> => {
    const file = await open(...values);
    if (typeof values[1] !== "number" || (values[1] & fs.constants.O_CREAT) === 0) return file;
    moment();
    const write = file.write.bind(file) as (
      data: Uint8Array,
      offset: number,
      length: number,
    ) => Promise<{ bytesWritten: number }>;
    const writeHalf = async (data: Uint8Array, offset: number, length: number) => {
      const result = await write(data, offset, Math.ceil(length / 2));
      moment();
      return result;
    };
    // A killed process leaves the page cache alone, so syncing proves nothing here and only costs time.
    return Object.assign(file, { write: writeHalf, sync: async () => {} });
  };
  Object.assign(fs, {
    link: counted(link),
    mkdir: counted(mkdir),
    rename: counted(rename),
    unlink: counted(unlink),
    open: openCounted,
  });
  syncBuiltinESMExports();
}

function countCalls(store: BlobStore): BlobStore {
  const around = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    moment();
    const result = await call();
    moment();
    return result;
  };
  // After a read the directory is as it was before it.
  const before = <Result>(call: () => Promise<Result>): Promise<Result> => {
    moment();
    return call();
  };
  return {
    ...forward(store),
    get: (id, options) => before(() => store.get(id, options)),
    put: (id, data, options) => around(() => store.put(id, data, options)),
    delete: (id, options) => around(() => store.delete(id, options)),
    stat: (id, options) => before(() => store.stat(id, options)),
    list: (prefix, options) => {
      moment();
      return store.list(prefix, options);
    },
  };
}

const scenario = scenarios.find((candidate) => candidate.name === name);
if (!scenario) throw new Error(`no scenario ${name}`);
countSystemCalls();
const clock = manualClock(BigInt(clockNs));
await scenario.work({
  store: countCalls(withClock(filesystemStore({ path, create: true }), clock)),
  clock,
  model: { ...emptyModel(), exists: true, password },
  acknowledge: () => {
    writeSync(1, "a\n");
  },
  async uncut(lead) {
    isPaused = true;
    await lead();
    isPaused = false;
  },
});
writeSync(1, `moments ${moments}\n`);
