/**
 * An image of 4 GiB of which a tenth is allocated, backed up by kopia as a file and by us as a volume, as whole processes with
 * a repository each: at first, and again with a new time, so that everything that may hold data is read once more. Wall and
 * CPU seconds, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/volume.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { random } from "@dm/fixtures/bench";

const kopia = process.env["KOPIA"];
const cli = join(import.meta.dirname, "../../../examples/cli");
const dm =
  process.env["SOURCE"] === "1"
    ? ["--conditions=@dm/source", join(cli, "src/dm.ts")]
    : [join(cli, "dist/dm.js")];
if (!kopia || !existsSync(dm.at(-1)!)) {
  console.log("volume: skipped; needs KOPIA, and examples/cli built");
  process.exit(0);
}
const rounds = Number(process.argv[2] ?? process.env["BENCH_ROUNDS"] ?? 2);
const sizeMib = 4096;
/** One run of data in each; the rest is a hole. */
const stepMib = 40;
const dataMib = 4;

const folder = mkdtempSync(join(tmpdir(), "dm-bench-volume-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const env = {
  PATH: process.env["PATH"],
  HOME: folder,
  KOPIA_PASSWORD: "bench",
  KOPIA_CHECK_FOR_UPDATES: "false",
  TIMEFORMAT: "%R %U %S",
};

interface Run {
  readonly wall: number;
  readonly cpu: number;
}

function run(program: string, ...parameters: string[]): Run {
  const command = ["-c", 'time "$@"', "bash", program, ...parameters];
  const { status, stderr } = spawnSync("bash", command, { env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${parameters.join(" ")} failed: ${stderr}`);
  const [wall = 0, user = 0, system = 0] = stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { wall, cpu: user + system };
}

const image = join(folder, "disk.img");
const fd = openSync(image, "w");
ftruncateSync(fd, sizeMib * 2 ** 20);
for (let at = 0; at < sizeMib; at += stepMib)
  writeSync(fd, random({ bytes: dataMib << 20, seed: at + 1 }), 0, dataMib << 20, at * 2 ** 20);
closeSync(fd);

const results = new Map<string, Run[]>();
const labels = ["first backup", "again, with a new time"] as const;
for (let round = 0; round < rounds; round++) {
  const config = (name: string): string =>
    `--config-file=${join(folder, `${name}-${round}.config`)}`;
  const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
  const programs: Record<string, (...parameters: string[]) => Run> = {
    kopia: (...parameters) => run(kopia, ...flags, config("kopia"), ...parameters),
    dm: (...parameters) => run(process.execPath, ...dm, config("dm"), ...parameters),
  };
  for (const [name, program] of Object.entries(programs)) {
    const path = join(folder, `${name}-repository-${round}`);
    mkdirSync(path);
    program("repository", "create", "filesystem", "--path", path);
  }
  for (const [index, label] of labels.entries()) {
    utimesSync(image, 1_700_000_000 + index, 1_700_000_000 + index);
    const both = Object.entries(programs);
    // Whoever comes second finds the image in memory: take turns.
    if (round % 2 === 1) both.reverse();
    for (const [name, program] of both) {
      run("sync");
      const how = name === "dm" ? ["--block"] : [];
      const done = program("snapshot", "create", ...how, image);
      const key = `${label}, ${name}`;
      results.set(key, [...(results.get(key) ?? []), done]);
    }
  }
  for (const name of Object.keys(programs))
    rmSync(join(folder, `${name}-repository-${round}`), { recursive: true });
}

const load = loadavg().map((value) => value.toFixed(1));
const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
console.log(`## volume: ${machine}, load ${load.join(" ")}, ${rounds} rounds`);
console.log(
  `image of ${sizeMib} MiB, ${Math.ceil(sizeMib / stepMib) * dataMib} allocated   wall s   CPU s`,
);
for (const label of labels) {
  const least = (name: string, value: (run: Run) => number): number =>
    Math.min(...results.get(`${label}, ${name}`)!.map(value));
  for (const name of ["kopia", "dm"]) {
    const cells = [least(name, ({ wall }) => wall), least(name, ({ cpu }) => cpu)];
    console.log(
      `${`${label}, ${name}`.padEnd(40)}${cells.map((it) => it.toFixed(2).padStart(8)).join("")}`,
    );
  }
}
