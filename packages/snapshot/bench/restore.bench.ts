/**
 * Restores beside kopia, as whole processes of both programs on one repository that kopia made: one long file that does not
 * compress, and 20,000 small files. Wall and CPU seconds and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/restore.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
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
  console.log("restore: skipped; needs KOPIA, and examples/cli built");
  process.exit(0);
}
const rounds = Number(process.argv[2] ?? process.env["BENCH_ROUNDS"] ?? 2);
const longMib = process.env["FULL"] === "1" ? 2048 : Number(process.env["LONG_MIB"] ?? 512);
const fileCount = 20_000;

const folder = mkdtempSync(join(tmpdir(), "dm-bench-restore-"));
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

const withKopia = (...parameters: string[]): Promise<Run> =>
  run(
    kopia,
    "--no-use-keyring",
    "--no-progress",
    "--disable-file-logging",
    `--config-file=${join(folder, "kopia.config")}`,
    ...parameters,
  );
const withDm = (...parameters: string[]): Promise<Run> =>
  run(process.execPath, ...dm, `--config-file=${join(folder, "dm.config")}`, ...parameters);

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

makeSources();
mkdirSync(join(folder, "repository"));
await withKopia("repository", "create", "filesystem", "--path", join(folder, "repository"));
await withDm("repository", "connect", "filesystem", "--path", join(folder, "repository"));
const load = loadavg().map((value) => value.toFixed(1));
const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
console.log(`## restore: ${machine}, load ${load.join(" ")}, ${rounds} rounds`);
const columns = ["wall s", "CPU s", "MiB"].map((name) => name.padStart(8)).join("");
console.log(`${"".padEnd(40)}${columns}`);

for (const [source, label] of [
  ["long", `one file of ${longMib} MiB`],
  ["small", `${fileCount} files of 4 to 64 KiB`],
] as const) {
  const made = await withKopia("snapshot", "create", "--json", join(folder, source));
  rmSync(join(folder, source), { recursive: true });
  const root: string = JSON.parse(made.out).rootEntry.obj;
  const results: Record<string, Run[]> = { kopia: [], dm: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [name, program] of [
      ["kopia", withKopia],
      ["dm", withDm],
    ] as const) {
      // What another run has left to be written is not this one's; and some file systems look for room among what was just
      // deleted, which takes longer than anything else here: everything stays until the end.
      await run("sync");
      const target = join(folder, `${source}-${round}-${name}`);
      results[name]!.push(await program("restore", root, target));
    }
  }
  const least = (name: string, value: (run: Run) => number): number =>
    Math.min(...results[name]!.map(value));
  const values = [(it: Run) => it.wall, (it: Run) => it.cpu, (it: Run) => it.peakMib];
  for (const name of ["kopia", "dm"]) {
    const [wall, cpu, peak] = values.map((value) => least(name, value));
    const cells = [wall!.toFixed(2), cpu!.toFixed(2), peak!.toFixed(0)];
    console.log(`${`${label}, ${name}`.padEnd(40)}${cells.map((it) => it.padStart(8)).join("")}`);
  }
  const ratios = values.map((value) => (least("kopia", value) / least("dm", value)).toFixed(2));
  console.log(
    `${"  kopia / dm (above 1: dm is better)".padEnd(40)}${ratios.map((it) => it.padStart(8)).join("")}`,
  );
}
