/**
 * Backups beside kopia, as whole processes: each program has a repository of its own with the same settings. One long file that
 * does not compress, and 20,000 small files: at first, when nothing has changed, and when 1 % has. Wall and CPU seconds
 * and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/upload.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand. LONG_MIB is the length of the long file, 512 by default; FULL=1 makes it 2 GiB.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
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
  console.log("upload: skipped; needs KOPIA, and examples/cli built");
  process.exit(0);
}
const rounds = Number(process.argv[2] ?? process.env["BENCH_ROUNDS"] ?? 2);
const longMib = process.env["FULL"] === "1" ? 2048 : Number(process.env["LONG_MIB"] ?? 512);
const fileCount = 20_000;

const folder = mkdtempSync(join(tmpdir(), "dm-bench-upload-"));
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
  readonly peakMib: number;
  readonly out: string;
}

/** One process: seconds by the shell, its peak by asking the system while it runs. */
async function run(program: string, ...parameters: string[]): Promise<Run> {
  const child = spawn("bash", ["-c", 'time "$@"', "bash", program, ...parameters], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (piece) => {
    out += piece;
  });
  child.stderr.on("data", (piece) => {
    err += piece;
  });
  let peakKib = 0;
  const timer = setInterval(() => {
    try {
      const task = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
      const status = readFileSync(`/proc/${task.trim().split(" ")[0]}/status`, "utf8");
      peakKib = Math.max(peakKib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has ended, or has not begun.
    }
  }, 10);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(timer);
  const [wall = 0, user = 0, system = 0] = err.trim().split("\n").at(-1)!.split(" ").map(Number);
  if (code !== 0) throw new Error(`${program} ${parameters.join(" ")} ended with ${code}: ${err}`);
  return { wall, cpu: user + system, peakMib: peakKib / 1024, out };
}

type Program = (...parameters: string[]) => Promise<Run>;

/** Each round has repositories of its own, so that the first backup is one. */
function programs(round: number): Record<string, Program> {
  const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
  const config = (name: string): string =>
    `--config-file=${join(folder, `${name}-${round}.config`)}`;
  return {
    kopia: (...parameters) => run(kopia!, ...flags, config("kopia"), ...parameters),
    dm: (...parameters) => run(process.execPath, ...dm, config("dm"), ...parameters),
  };
}

function makeSources(): void {
  mkdirSync(join(folder, "long"));
  const piece = random({ bytes: 1 << 20, seed: 1 });
  const fd = openSync(join(folder, "long/data"), "w");
  for (let index = 0; index < longMib; index++) {
    // Every MiB differs: nothing is stored twice.
    new DataView(piece.buffer).setUint32(index % 1000, index);
    for (let at = 0; at < piece.length; at += 4096) piece[at] = (piece[at]! + index + at) & 0xff;
    writeSync(fd, piece);
  }
  closeSync(fd);
  const data = random({ bytes: 1 << 20, seed: 2 });
  for (let index = 0; index < fileCount; index++) {
    const path = join(folder, "small", `d${Math.floor(index / 100)}`);
    if (index % 100 === 0) mkdirSync(path, { recursive: true });
    const length = 4096 + ((index * 7919) % 61_440);
    new DataView(data.buffer).setUint32((index * 31) % 4000, index);
    writeFileSync(
      join(path, `f${index % 100}`),
      data.subarray(index % 4000, (index % 4000) + length),
    );
  }
}

/** The 7th file of each directory, one in a hundred. */
function changeSome(round: number): void {
  for (let index = 7; index < fileCount; index += 100) {
    const path = join(folder, "small", `d${Math.floor(index / 100)}`, `f${index % 100}`);
    writeFileSync(path, random({ bytes: 20_000, seed: index * 100 + round }));
  }
}

makeSources();
const load = loadavg().map((value) => value.toFixed(1));
const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
console.log(`## upload: ${machine}, load ${load.join(" ")}, ${rounds} rounds`);
const columns = ["wall s", "CPU s", "MiB"].map((name) => name.padStart(8)).join("");
console.log(`${"".padEnd(48)}${columns}`);

const labels = [
  `one file of ${longMib} MiB`,
  `${fileCount} files of 4 to 64 KiB`,
  "nothing has changed",
  "1 % has changed",
] as const;
const results = new Map<string, Run[]>();

async function measure(label: string, round: number, source: string): Promise<void> {
  const both = Object.entries(programs(round));
  // Whoever comes second finds the files in memory: take turns.
  if (round % 2 === 1) both.reverse();
  for (const [name, program] of both) {
    // What another run has left to be written is not this one's.
    await run("sync");
    const done = await program("snapshot", "create", "--no-auto-maintenance", join(folder, source));
    const key = `${label}, ${name}`;
    results.set(key, [...(results.get(key) ?? []), done]);
  }
}

for (let round = 0; round < rounds; round++) {
  for (const [name, program] of Object.entries(programs(round))) {
    const path = join(folder, `${name}-repository-${round}`);
    mkdirSync(path);
    await program("repository", "create", "filesystem", "--path", path);
  }
  const [long, small, same, some] = labels;
  await measure(long, round, "long");
  await measure(small, round, "small");
  await measure(same, round, "small");
  changeSome(round);
  await measure(some, round, "small");
}

for (const label of labels) {
  const least = (name: string, value: (run: Run) => number): number =>
    Math.min(...results.get(`${label}, ${name}`)!.map(value));
  const values = [(it: Run) => it.wall, (it: Run) => it.cpu, (it: Run) => it.peakMib];
  for (const name of ["kopia", "dm"]) {
    const [wall, cpu, peak] = values.map((value) => least(name, value));
    const cells = [wall!.toFixed(2), cpu!.toFixed(2), peak!.toFixed(0)];
    console.log(`${`${label}, ${name}`.padEnd(48)}${cells.map((it) => it.padStart(8)).join("")}`);
  }
  const ratios = values.map((value) => (least("kopia", value) / least("dm", value)).toFixed(2));
  console.log(
    `${"  kopia / dm (above 1: dm is better)".padEnd(48)}${ratios.map((it) => it.padStart(8)).join("")}`,
  );
}
