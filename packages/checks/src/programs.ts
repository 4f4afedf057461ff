/**
 * Starting programs from checks: output captured, a failure shown whole.
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { oldestNode, otherNode } from "../../../tools/node-lines.mjs";
import { root } from "./workspace.ts";

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Longest time before the program is killed; 120,000 by default. */
  readonly timeoutMs?: number;
}

/** Runs a program without a terminal or input. Never rejects for its exit code; rejects when it cannot be started. */
function run(command: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  const { cwd, env = process.env, timeoutMs = 120_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (data: Buffer) => out.push(data));
    child.stderr.on("data", (data: Buffer) => err.push(data));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      const stderr = Buffer.concat(err).toString() + (signal ? `\nended by ${signal}` : "");
      resolve({ status: status ?? 1, stdout: Buffer.concat(out).toString(), stderr });
    });
  });
}

/** Like {@link run}; rejects with everything the program printed unless it ends with 0. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<Finished> {
  const finished = await run(command, args, options);
  if (finished.status === 0) return finished;
  throw new Error(
    `${command} ${args.join(" ")} ended with ${finished.status} in ${options.cwd}\n${finished.stdout}${finished.stderr}`,
  );
}

/** The file behind a command of an installed package, to be started with any Node: `node_modules/.bin` picks its own. */
export function programOf(packageFolder: string, name: string): string {
  const { bin } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    bin: string | Record<string, string>;
  };
  const path = typeof bin === "string" ? bin : bin[name];
  if (path === undefined) throw new Error(`${packageFolder} has no command ${name}`);
  return join(packageFolder, path);
}

export const pnpm: string = join(root, "node_modules/pnpm/bin/pnpm.cjs");

/** Environment in which `node` is the given binary; what a package manager around us has set is dropped. */
export function environmentFor(node: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([key]) =>
      !/^(?:npm_(?!config_)|PNPM_|INIT_CWD$|NODE$|NODE_OPTIONS$|VITEST|TURBO_HASH$)/.test(key),
  );
  const PATH = [dirname(node), process.env.PATH].join(delimiter);
  return { ...Object.fromEntries(kept), PATH, ...more };
}

/** pnpm's store of this checkout, so that another checkout links from it and needs no network. */
export function storeFolder(): string | undefined {
  const path = join(root, "node_modules/.modules.yaml");
  if (!existsSync(path)) return undefined;
  return (JSON.parse(readFileSync(path, "utf8")) as { storeDir?: string }).storeDir;
}

export interface NodeBinary {
  readonly version: string;
  readonly binary: string;
}

/**
 * The oldest supported Node, which the bootstrap has fetched, and the pinned one. Throws when the oldest is missing:
 * a check of it that did not run is a failure, not a skip.
 */
export function nodes(): { readonly oldest: NodeBinary; readonly newest: NodeBinary } {
  const binary = process.env.DM_NODE_OLDEST ?? otherNode(oldestNode);
  return {
    oldest: { version: oldestNode, binary },
    newest: { version: process.versions.node, binary: process.execPath },
  };
}
