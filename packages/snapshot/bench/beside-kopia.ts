/**
 * What the benchmarks beside kopia share: both programs as whole processes, their seconds and peaks, the trees they work on,
 * and the table.
 * @module
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

/** One process from start to end. */
export interface Run {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakMib: number;
  /** To the server, where that counts them. */
  readonly requests?: number;
  readonly out: string;
}

export type Program = (...parameters: string[]) => Promise<Run>;

export interface Bench {
  /** Scratch, and the home of both programs; removed at the end. */
  readonly folder: string;
  /** The first parameter of the command line, `BENCH_ROUNDS`, or 2. */
  readonly rounds: number;
  readonly run: (program: string, ...parameters: string[]) => Promise<Run>;
  /** Both programs with a configuration of their own, called after them and `suffix`. */
  readonly programs: (suffix?: string | number) => {
    readonly kopia: Program;
    readonly dm: Program;
  };
}

/** Ends the process, and says why, where a program is missing. */
export function openBench(name: string): Bench {
  const kopia = process.env["KOPIA"];
  const cli = join(import.meta.dirname, "../../../examples/cli");
  const dm =
    process.env["SOURCE"] === "1"
      ? ["--conditions=@dm/source", join(cli, "src/dm.ts")]
      : [join(cli, "dist/dm.js")];
  if (!kopia || !existsSync(dm.at(-1)!)) {
    console.log(`${name}: skipped; needs KOPIA, and examples/cli built`);
    process.exit(0);
  }
  const rounds = Number(process.argv[2] ?? process.env["BENCH_ROUNDS"] ?? 2);
  const folder = mkdtempSync(join(tmpdir(), `dm-bench-${name}-`));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const run: Bench["run"] = (program, ...parameters) => timed(folder, program, parameters);
  const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
  return {
    folder,
    rounds,
    run,
    programs(suffix = 0) {
      const config = (program: string): string =>
        `--config-file=${join(folder, `${program}-${suffix}.config`)}`;
      return {
        kopia: (...parameters) => run(kopia, ...flags, config("kopia"), ...parameters),
        dm: (...parameters) => run(process.execPath, ...dm, config("dm"), ...parameters),
      };
    },
  };
}

/** Seconds by the shell, the peak by asking the system while it runs. */
async function timed(home: string, program: string, parameters: readonly string[]): Promise<Run> {
  const child = spawn("bash", ["-c", 'time "$@"', "bash", program, ...parameters], {
    env: {
      PATH: process.env["PATH"],
      HOME: home,
      KOPIA_PASSWORD: "bench",
      KOPIA_CHECK_FOR_UPDATES: "false",
      TIMEFORMAT: "%R %U %S",
    },
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
  return { wallSeconds: wall, cpuSeconds: user + system, peakMib: peakKib / 1024, out };
}

/** 2 GiB with `FULL=1`, else `LONG_MIB`, else 512 MiB. */
export const longMib = process.env["FULL"] === "1" ? 2048 : Number(process.env["LONG_MIB"] ?? 512);
export const smallFileCount = 20_000;

/** The n-th of the small files, a hundred in each directory. */
export const smallFilePath = (folder: string, index: number): string =>
  join(folder, "small", `d${Math.floor(index / 100)}`, `f${index % 100}`);

export interface SourceSizes {
  readonly mib?: number;
  readonly files?: number;
}

/** `long/data` does not compress; `small` holds files of 4 to 64 KiB. */
export function makeSources(
  folder: string,
  { mib = longMib, files = smallFileCount }: SourceSizes = {},
): void {
  mkdirSync(join(folder, "long"));
  const piece = random({ bytes: 1 << 20, seed: 1 });
  const fd = openSync(join(folder, "long/data"), "w");
  for (let index = 0; index < mib; index++) {
    // Every MiB differs: nothing is stored twice.
    new DataView(piece.buffer).setUint32(index % 1000, index);
    for (let at = 0; at < piece.length; at += 4096) piece[at] = (piece[at]! + index + at) & 0xff;
    writeSync(fd, piece);
  }
  closeSync(fd);
  const data = random({ bytes: 1 << 20, seed: 2 });
  for (let index = 0; index < files; index++) {
    const path = smallFilePath(folder, index);
    if (index % 100 === 0) mkdirSync(join(path, ".."), { recursive: true });
    const length = 4096 + ((index * 7919) % 61_440);
    new DataView(data.buffer).setUint32((index * 31) % 4000, index);
    writeFileSync(path, data.subarray(index % 4000, (index % 4000) + length));
  }
}

type Figures = [wallSeconds: number, cpuSeconds: number, peakMib: number];

/** The least of several rounds, for each of the two programs and each row. */
export class Comparison {
  readonly #runs = new Map<string, Run[]>();

  add(row: string, program: string, run: Run): void {
    const key = `${row}, ${program}`;
    this.#runs.set(key, [...(this.#runs.get(key) ?? []), run]);
  }

  has(row: string): boolean {
    return this.#runs.has(`${row}, dm`);
  }

  print(title: string, rounds: number, rows: readonly string[]): void {
    const load = loadavg().map((value) => value.toFixed(1));
    const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
    console.log(`## ${title}: ${machine}, load ${load.join(" ")}, ${rounds} rounds`);
    printRow("", ["wall s", "CPU s", "MiB"]);
    for (const row of rows) {
      const kopia = this.#least(`${row}, kopia`);
      const dm = this.#least(`${row}, dm`);
      for (const [name, least] of Object.entries({ kopia, dm })) {
        const [wall, cpu, peak] = least;
        printRow(`${row}, ${name}`, [wall.toFixed(2), cpu.toFixed(2), peak.toFixed(0)]);
      }
      const ratios = kopia.map((value, index) => (value / dm[index]!).toFixed(2));
      printRow("  kopia / dm (above 1: dm is better)", ratios);
    }
  }

  /** The same, as rows of the table in a README. */
  printMarkdown(rows: readonly string[]): void {
    for (const row of rows) {
      const kopia = this.#least(`${row}, kopia`);
      const dm = this.#least(`${row}, dm`);
      const cells = (values: Figures): string =>
        [values[0].toFixed(2), values[1].toFixed(2), values[2].toFixed(0)].join(", ");
      const requests = this.#requests(row);
      const ratios = kopia.map((value, index) => (value / dm[index]!).toFixed(2)).join(", ");
      console.log(`| ${[row, cells(kopia), cells(dm), ratios, ...requests].join(" | ")} |`);
    }
  }

  /** Of both programs in the first round: a count, and no measurement. */
  #requests(row: string): string[] {
    const [kopia, dm] = ["kopia", "dm"].map(
      (program) => this.#runs.get(`${row}, ${program}`)?.[0]?.requests,
    );
    return kopia === undefined || dm === undefined ? [] : [`${kopia}, ${dm}`];
  }

  #least(key: string): Figures {
    const runs = this.#runs.get(key) ?? [];
    const least = (value: (run: Run) => number): number => Math.min(...runs.map(value));
    return [
      least(({ wallSeconds }) => wallSeconds),
      least(({ cpuSeconds }) => cpuSeconds),
      least(({ peakMib }) => peakMib),
    ];
  }
}

function printRow(label: string, cells: readonly string[]): void {
  console.log(`${label.padEnd(48)}${cells.map((cell) => cell.padStart(8)).join("")}`);
}
