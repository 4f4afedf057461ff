/** The real kubectl against a server in this process: started without blocking it, with a cache of its own. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiServer } from "../../src/index.ts";

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface KubectlOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with everything on stdout so far; true ends the program. */
  readonly enough?: (stdout: string) => boolean;
}

export interface Kubectl {
  readonly directory: string;
  /** Never rejects for an exit code. */
  run(args: readonly string[], options?: KubectlOptions): Promise<Finished>;
  /** Standard output of a command that must succeed. */
  ok(line: string, options?: KubectlOptions): Promise<string>;
  close(): Promise<void>;
}

export async function openKubectl(server: ApiServer, program: string): Promise<Kubectl> {
  const directory = await mkdtemp(join(tmpdir(), "dm-kubectl-"));
  const kubeconfig = join(directory, "kubeconfig");
  await server.kubeconfig(kubeconfig);
  const run: Kubectl["run"] = (args, { input = "", env = {}, enough } = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, ["--cache-dir", join(directory, "cache"), ...args], {
        env: { ...process.env, KUBECONFIG: kubeconfig, HOME: directory, ...env },
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (chunk) => {
        stdout += chunk;
        if (enough?.(stdout)) child.kill();
      });
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
      });
      child.on("error", reject);
      child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
      child.stdin.on("error", () => {});
      child.stdin.end(input);
    });
  return {
    directory,
    run,
    async ok(line, options) {
      const args = line.match(/'[^']*'|\S+/g) ?? [];
      const finished = await run(
        args.map((arg) => arg.replaceAll("'", "")),
        options,
      );
      if (finished.code !== 0) throw new Error(`kubectl ${line}: ${finished.stderr}`);
      return finished.stdout;
    },
    close: () => rm(directory, { recursive: true }),
  };
}
