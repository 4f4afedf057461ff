/**
 * Restores a volume to an image and kills itself before a chosen call: a read of the store, or one that changes the image.
 * Standard output: `begun`, then how many such moments there were.
 *
 * node --conditions=@dm/source restore-volume-child.ts <repository> <root object> <image> <moment, 0 for none>
 * @module
 */
import fs, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { entryOfObject } from "../../src/index.ts";
import { loadPosix, restoreVolume } from "../../src/node/index.ts";

const [, , path = "", objectId = "", target = "", fatal = "0"] = process.argv;
let moments = 0;
function moment(): void {
  moments += 1;
  if (moments === Number(fatal)) process.kill(process.pid, "SIGKILL");
}

const posix = await loadPosix();
const store = filesystemStore({ path });
const repository = await openRepository(store, {
  password: "p",
  deriveKey: async () => new Uint8Array(32).fill(9),
  readOnly: true,
});
const get = store.get.bind(store);
Object.assign(store, {
  get: (...all: Parameters<typeof get>) => {
    moment();
    return get(...all);
  },
});

type Method = (...all: unknown[]) => unknown;
const counted = (on: object, name: string): void => {
  const call = ((on as Record<string, Method>)[name] as Method).bind(on);
  Object.assign(on, {
    [name]: (...all: unknown[]) => {
      moment();
      return call(...all);
    },
  });
};
const { open } = fs;
Object.assign(fs, {
  open: async (...all: Parameters<typeof open>): Promise<FileHandle> => {
    if (!String(all[0]).startsWith(target)) return open(...all);
    moment();
    const handle = await open(...all);
    for (const name of ["write", "truncate", "sync"]) counted(handle, name);
    return handle;
  },
});
counted(fs, "rename");
syncBuiltinESMExports();

process.stdout.write("begun\n");
const { losses, ok } = await restoreVolume(repository, entryOfObject(objectId), target, {
  resume: true,
  posix: {
    ...posix,
    punchHole: (...all) => {
      moment();
      return posix.punchHole(...all);
    },
  },
  // One part after another, so that a moment is the same in every run.
  parallelParts: 1,
});
if (!ok) throw new Error(JSON.stringify(losses));
console.log(`moments ${moments}`);
