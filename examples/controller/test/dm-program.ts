/** The command line as a process of its own: the built program, or where none is built its source, which starts slowly. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name: string): string => fileURLToPath(new URL(`../../cli/${name}`, import.meta.url));

export interface DmOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function runDm(
  args: readonly string[],
  options: { readonly cwd: string },
): Promise<DmOutcome> {
  const program = existsSync(path("dist/cluster.js"))
    ? [path("dist/dm.js")]
    : ["--conditions=@dm/source", "--disable-warning=ExperimentalWarning", path("src/dm.ts")];
  const env = { PATH: process.env["PATH"], HOME: options.cwd };
  return new Promise((resolve) => {
    const limits = { cwd: options.cwd, env, maxBuffer: 64 << 20, timeout: 60_000 };
    execFile(process.execPath, [...program, ...args], limits, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
    });
  });
}
