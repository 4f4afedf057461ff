/** The real client on the same machine, when KOPIA names its binary. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

export interface PeerRun {
  readonly ms: number;
  readonly output: string;
}

/** A client with a configuration of its own; undefined when KOPIA is not set. */
export function kopiaClient(
  directory: string,
  password: string,
): ((...args: string[]) => PeerRun) | undefined {
  const program = process.env.KOPIA;
  if (program === undefined) return undefined;
  const env = {
    ...process.env,
    KOPIA_PASSWORD: password,
    KOPIA_CONFIG_PATH: join(directory, "kopia.config"),
    KOPIA_LOG_DIR: join(directory, "logs"),
    KOPIA_CACHE_DIRECTORY: join(directory, "cache"),
    KOPIA_CHECK_FOR_UPDATES: "false",
  };
  return (...args) => {
    const startedMs = performance.now();
    const run = spawnSync(program, args, { env, encoding: "utf8", maxBuffer: 1 << 28 });
    const ms = performance.now() - startedMs;
    if (run.status !== 0) throw new Error(`kopia ${args.join(" ")} failed: ${run.stderr}`);
    return { ms, output: run.stdout + run.stderr };
  };
}
