// The system-call seam, back-end by back-end: what a call costs, what loading costs in a fresh process, what a helper
// process would cost at least, and the listing of directories that leans on none of them. Behind docs/decisions/0008.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "@dm/fixtures/bench";
import { listLocalDirectory, loadPosix, type PosixBackend } from "@dm/snapshot/node";

const backends: readonly PosixBackend[] = isBuiltin("node:ffi")
  ? ["node:ffi", "koffi", "none"]
  : ["koffi", "none"];
const folder = mkdtempSync(join(tmpdir(), "dm-posix-bench-"));
const file = join(folder, "file");
writeFileSync(file, "content");

const calls = 10_000;
const roundTrips = 1_000;
const folderCount = 200;
const filesEach = 100;

/** Time until the first call can be made, and memory, in a process of its own: the median of five. */
function printLoading(): void {
  const url = import.meta.resolve("@dm/snapshot/node");
  for (const backend of backends) {
    const script = `
      const { loadPosix } = await import(${JSON.stringify(url)});
      const [start, before] = [performance.now(), process.memoryUsage.rss()];
      await loadPosix({ backend: ${JSON.stringify(backend)} });
      console.log(performance.now() - start, process.memoryUsage.rss() - before);`;
    const runs = Array.from({ length: 5 }, () => {
      const parameters = ["--input-type=module", "--eval", script];
      const { stdout } = spawnSync(process.execPath, parameters, { encoding: "utf8" });
      return stdout.trim().split(" ").map(Number) as [number, number];
    });
    const [ms, bytes] = runs.sort((a, b) => a[0] - b[0])[2]!;
    console.log(
      `load ${backend.padEnd(10)} ${ms.toFixed(1)} ms, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
    );
  }
}

/** The least that a helper process can cost: one line there and back, without any work. */
function roundTrip(child: ChildProcess): Promise<void> {
  return new Promise((settle) => {
    child.stdout!.once("data", () => settle());
    child.stdin!.write("\n");
  });
}

function makeTree(): string {
  const root = join(folder, "tree");
  for (let index = 0; index < folderCount; index++) {
    mkdirSync(join(root, `${index}`), { recursive: true });
    for (let name = 0; name < filesEach; name++)
      writeFileSync(join(root, `${index}`, `file-${name}.txt`), "");
  }
  return root;
}

const child = spawn("cat", { stdio: ["pipe", "pipe", "inherit"] });
const fd = openSync(file, "r");
try {
  printLoading();
  await suite("posix", {}, async (measure) => {
    for (const backend of backends) {
      const posix = await loadPosix({ backend });
      const operations = calls;
      measure(
        `setTimes, ${backend}`,
        () => {
          for (let count = 0; count < calls; count++)
            posix.setTimes(file, 1n, 1_567_000_000_123_456_789n);
        },
        { operations },
      );
      if (backend === "none") continue;
      measure(
        `readAttributes of a file without any, ${backend}`,
        () => {
          for (let count = 0; count < calls; count++) posix.readAttributes(file);
        },
        { operations },
      );
      measure(
        `dataRanges of a small file, ${backend}`,
        () => {
          for (let count = 0; count < calls; count++) posix.dataRanges(fd, 7);
        },
        { operations },
      );
    }
    measure(
      "a round trip to a helper process",
      async () => {
        for (let count = 0; count < roundTrips; count++) await roundTrip(child);
      },
      { operations: roundTrips },
    );
    const device = readdirSync("/sys/class/block").at(0);
    if (device !== undefined)
      measure(
        "size of a device from sysfs",
        () => {
          for (let count = 0; count < roundTrips; count++)
            readFileSync(`/sys/class/block/${device}/size`, "utf8");
        },
        { operations: roundTrips },
      );
  });

  const root = makeTree();
  const folders = readdirSync(root).map((name) => join(root, name));
  const operations = folderCount * filesEach;
  await suite("listing of 20,000 files in 200 directories", {}, (measure) => {
    measure("listLocalDirectory", () => folders.map((path) => listLocalDirectory(path).count), {
      operations,
    });
    measure(
      "readdirSync and lstatSync alone",
      () => {
        for (const path of folders)
          for (const name of readdirSync(path)) lstatSync(`${path}/${name}`, { bigint: true });
      },
      { operations },
    );
    measure(
      "fs.promises, one after the other",
      async () => {
        for (const path of folders)
          for (const name of await readdir(path)) await lstat(`${path}/${name}`, { bigint: true });
      },
      { operations },
    );
  });
} finally {
  closeSync(fd);
  child.kill();
  rmSync(folder, { recursive: true });
}
