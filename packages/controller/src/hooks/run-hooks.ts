/**
 * Runs the hooks of pods and counts them.
 * Proof: test/backup/hooks.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { Pod } from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { PodExec } from "../runtime/pod-exec.ts";
import type { BackupHook } from "./backup-hooks.ts";

export interface HookCount {
  attempted: number;
  failed: number;
}

export interface RunHooksOptions extends KubeCallOptions {
  readonly exec: PodExec;
  readonly count: HookCount;
  /** Told of each failure. */
  readonly onError: (hook: BackupHook, reason: string) => void;
}

/** False when a hook failed that lets nothing follow; those after it are counted and do not run. */
export async function runHooks(
  { metadata: { name = "", namespace } }: Pod,
  hooks: readonly BackupHook[],
  { count, exec, onError, signal }: RunHooksOptions,
): Promise<boolean> {
  count.attempted += hooks.length;
  for (const hook of hooks) {
    const { command, container, timeoutMs } = hook;
    const reason = await failure(() =>
      exec({ namespace, name }, { container, command, timeoutMs, signal }),
    );
    if (reason === undefined) continue;
    count.failed++;
    onError(hook, reason);
    if (hook.onError === "Fail") return false;
  }
  return true;
}

const longestOutput = 1_000;

async function failure(run: () => ReturnType<PodExec>): Promise<string | undefined> {
  try {
    const { exitCode, stderr } = await run();
    if (exitCode === 0) return undefined;
    const said = stderr.trim().slice(0, longestOutput);
    return `command terminated with exit code ${exitCode}${said === "" ? "" : `: ${said}`}`;
  } catch (error) {
    if (!isDmError(error)) throw error;
    return error.message;
  }
}
