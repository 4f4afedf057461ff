/** Runs a mover in a process of its own, and ends it by a signal at a moment of the test's choice. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DataPathKind } from "../../src/mover/data-path-kind.ts";
import { type DataPathOutcome, decodeOutcome } from "../../src/mover/data-path-message.ts";
import type { MoverWorld } from "./mover-world.ts";

const program = join(import.meta.dirname, "mover-child.ts");
const exitCodes: Readonly<Record<string, number>> = { SIGKILL: 137, SIGTERM: 143 };

export interface ChildOptions {
  readonly signal?: "SIGKILL" | "SIGTERM" | undefined;
  /** The signal is sent when this says so; it is asked every few milliseconds. */
  readonly when?: (() => boolean) | undefined;
  readonly more?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface ChildEnd {
  readonly outcome: DataPathOutcome;
  /** Whether the signal was sent before it ended by itself. */
  readonly wasSignaled: boolean;
  readonly stdout: string;
}

export async function runChild(
  world: MoverWorld,
  kind: DataPathKind,
  name: string,
  volumePath: string,
  { env = {}, more = [], signal = "SIGKILL", when }: ChildOptions = {},
): Promise<ChildEnd> {
  const log = world.terminationLog(name);
  rmSync(log, { force: true });
  const args = world.args(kind, name, volumePath, more);
  const child = spawn(process.execPath, ["--conditions=@dm/source", program, ...args], {
    env: { ...process.env, ...world.environment, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  let wasSignaled = false;
  const timer = setInterval(() => {
    if (wasSignaled || when === undefined || !when()) return;
    wasSignaled = child.kill(signal);
  }, 3);
  const [code, ended] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exit, by) => resolve([exit, by]));
  });
  clearInterval(timer);
  const message = existsSync(log) ? readFileSync(log, "utf8") : "";
  const exitCode = code ?? exitCodes[ended ?? ""] ?? 1;
  return { outcome: decodeOutcome(kind, { exitCode, message }), wasSignaled, stdout };
}

/** Files below a directory, those of a store or of a volume that is restored. */
export function countFiles(path: string): number {
  if (!existsSync(path)) return 0;
  return readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  ).length;
}

/** Fails unless both have the same files with the same content. */
export function expectSameTree(one: string, other: string): void {
  execFileSync("sh", ["-c", 'diff -r --no-dereference "$1" "$2"', "sh", one, other]);
}
