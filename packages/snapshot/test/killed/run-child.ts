/**
 * Runs a child that kills itself at a chosen moment, or kills it by chance. A child writes `begun` first, and
 * `moments <count>` when it lived to its end.
 * @module
 */
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SeededRandom } from "@dm/fixtures";

export const seed = Number(process.env["DM_SEED"] ?? 1 + Math.floor(Math.random() * 1e6));
export const isFull = process.env["DM_FULL"] === "1";
/** The children run sources as they stand, and these say `await using`, which no Node before 24 understands. */
export const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
export const skipped = runsSources ? "" : " (skipped: this Node runs no source with `using`)";

export interface Death {
  /** 0 for none. */
  readonly moment: number;
  /** By chance, that long after the beginning. */
  readonly afterMs?: number;
}

export interface ChildEnd {
  /** Undefined when it was killed. */
  readonly moments: number | undefined;
  readonly killed: boolean;
  /** From `begun` to its end. */
  readonly workMs: number;
  /** All that it wrote. */
  readonly output: string;
}

export interface ChildOptions {
  /** Beside this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Kills it that long after it has begun. */
  readonly afterMs?: number | undefined;
}

/** Ends when the child does; fails when it ends by an error. */
export function runChild(
  file: string,
  values: readonly string[],
  { afterMs, environment }: ChildOptions = {},
): Promise<ChildEnd> {
  const started = spawn(process.execPath, ["--conditions=@dm/source", file, ...values], {
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(tmpdir(), "dm-kill-compiled"),
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaints = "";
  let begunAtMs = 0;
  started.stdout.on("data", (piece: Buffer) => {
    if (output === "") {
      begunAtMs = performance.now();
      if (afterMs !== undefined) setTimeout(() => started.kill("SIGKILL"), afterMs);
    }
    output += piece.toString();
  });
  started.stderr.on("data", (piece: Buffer) => {
    complaints += piece.toString();
  });
  return new Promise((resolve, reject) => {
    started.on("error", reject);
    started.on("close", (code, signal) => {
      const killed = signal === "SIGKILL";
      if (code !== 0 && !killed) {
        reject(new Error(`child ended with ${code ?? signal}: ${complaints}`));
        return;
      }
      const moments = /^moments (\d+)$/m.exec(output)?.[1];
      resolve({
        moments: moments === undefined ? undefined : Number(moments),
        killed,
        workMs: performance.now() - begunAtMs,
        output,
      });
    });
  });
}

/** Every moment with DM_FULL=1, else some; and deaths by chance within the time that the work took uncut. */
export function deathsOf(
  { moments, workMs }: ChildEnd,
  sample: { readonly moments: number; readonly byChance: number },
  random: SeededRandom,
): Death[] {
  const count = moments!;
  const chosen = isFull
    ? Array.from({ length: count }, (_, index) => index + 1)
    : Array.from({ length: sample.moments }, () => 1 + random.integer(count));
  return [
    ...chosen.map((moment) => ({ moment })),
    ...Array.from({ length: sample.byChance }, () => ({
      moment: 0,
      afterMs: Math.floor((random.integer(1000) / 1000) * workMs),
    })),
  ];
}
