/**
 * Runs a command in a container of a pod, as hooks of backups and restores do.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import type { KubeCallOptions, ObjectKey } from "./kube-client.ts";

export interface PodExecOptions extends KubeCallOptions {
  readonly container: string;
  readonly command: readonly string[];
  /** Then the call rejects with `DM_EXEC_TIMEOUT`. */
  readonly timeoutMs: number;
}

export interface PodExecEnd {
  readonly exitCode: number;
  /** The first 64 KiB of each. */
  readonly stdout: string;
  readonly stderr: string;
}

export type PodExec = (pod: ObjectKey, options: PodExecOptions) => Promise<PodExecEnd>;
