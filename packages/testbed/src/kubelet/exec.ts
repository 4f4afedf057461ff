/**
 * A command in a running container, as `kubectl exec` wants it. There is no terminal: with `tty` both outputs come as one.
 * Proof: test/kubelet/exec.kubectl.test.ts.
 * @module
 */
import { pipeline } from "node:stream/promises";
import type { ExecOptions, ExecResult } from "../api-server/pod-streams.ts";
import type { Container, ContainerRuntime } from "./container-runtime.ts";
import { pathRewriter } from "./path-rewriting.ts";

export async function execInContainer(
  runtime: ContainerRuntime,
  container: Container,
  { command, tty, stdin, stdout, stderr, signal }: ExecOptions,
): Promise<ExecResult> {
  const rewrite = pathRewriter(container.spec.pathMappings);
  const child = runtime.run(container, command.map(rewrite), { stdin: stdin !== undefined });
  const { pid } = child;
  const ended = new Promise<ExecResult>((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ENOENT" ? "executable file not found in $PATH" : error.message;
      resolve({ error: `exec: "${command[0]}": ${why}` });
    });
    child.once("exit", (code, killedBy) => {
      resolve({ exitCode: code ?? (killedBy === "SIGTERM" ? 143 : 137) });
    });
  });
  if (pid === undefined) return await ended;
  const onAbort = (): void => {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    // The client's input may outlive the command.
    if (stdin !== undefined && child.stdin !== null) {
      void pipeline(stdin, child.stdin).catch(() => {});
    }
    const outputs: Promise<unknown>[] = [];
    const errors = tty ? stdout : stderr;
    for (const [from, to] of [
      [child.stdout, stdout],
      [child.stderr, errors],
    ] as const) {
      if (from === null) continue;
      if (to === undefined) from.resume();
      else outputs.push(pipeline(from, to, { end: false }).catch(() => {}));
    }
    const result = await ended;
    await Promise.all(outputs);
    return result;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
