/**
 * The init container of a restored pod: ends when every volume that is being filled has the file by which its restore is done. It has
 * no rights, reads nothing else, and is told by its environment where the volumes are.
 * Proof: test/restore-wait.test.ts.
 * @module
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface RestoreWaitOptions {
  readonly paths: readonly string[];
  readonly restoreUid: string;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
  readonly tell: (line: string) => void;
}

/** Resolves when all are there, rejects when it is stopped. */
export async function waitForRestore(options: RestoreWaitOptions): Promise<void> {
  const { paths, pollMs = 1000, restoreUid, signal, tell } = options;
  const waiting = new Set(paths);
  for (;;) {
    for (const path of waiting) {
      if (!(await isThere(join(path, ".velero", restoreUid)))) continue;
      waiting.delete(path);
      tell(`restored: ${path}`);
    }
    if (waiting.size === 0) return;
    await sleep(pollMs, undefined, { signal });
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}
