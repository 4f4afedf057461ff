/**
 * When a Backup or Restore stops trying, and how it takes its DataUploads or DataDownloads with it.
 * Proof: test/backup/reconcile-backup.test.ts, test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError, parseGoDuration } from "@dm/core";
import { isFinalPhase, type Resource } from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isConflict } from "../runtime/kube-errors.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import type { Movement } from "./follow.ts";

/**
 * Whether trying again helps nobody. Before the start that is so for whatever does not pass by itself; after it, when the error
 * has outlasted everything that is waited for: hours of moved data are not given up for a refused key.
 */
export function isLasting(
  deps: BackupDeps,
  error: unknown,
  {
    startedAt,
    waits,
  }: {
    readonly startedAt: string | null | undefined;
    /** Go durations. */
    readonly waits: readonly (string | undefined)[];
  },
): boolean {
  // A mistake in this program, or in what it was given, does not pass either.
  const isMistake = error instanceof TypeError || error instanceof RangeError;
  if ((!isDmError(error) && !isMistake) || isConflict(error)) return false;
  if (!startedAt) return (error as { retryable?: boolean }).retryable !== true;
  const limitMs = waits.reduce(
    (sum, wait) => sum + (parseGoDuration(wait ?? "") ?? 0),
    2 * settingsOf(deps).resourceTimeoutMs,
  );
  return !(nowOf(deps).getTime() - Date.parse(startedAt) < limitMs);
}

const firstDelayMs = 1_000;
const longestDelayMs = 60_000;

/** Does it again while the outside fails, for as long as single things may be in the way. */
export async function insist<R>(
  deps: BackupDeps,
  { signal }: KubeCallOptions,
  work: () => Promise<R>,
): Promise<R> {
  const endMs = nowOf(deps).getTime() + settingsOf(deps).resourceTimeoutMs;
  for (let delayMs = firstDelayMs; ; delayMs = Math.min(2 * delayMs, longestDelayMs)) {
    try {
      return await work();
    } catch (error) {
      const mayPass = isDmError(error) && (error as { retryable?: boolean }).retryable === true;
      if (!mayPass || nowOf(deps).getTime() + delayMs > endMs) throw error;
      await deps.clock.sleep(delayMs, { signal });
    }
  }
}

/** Asks for it, unless it has ended or somebody else has. */
export async function cancelMovement<T extends Movement>(
  client: KubeClient,
  resource: Resource<T>,
  { metadata: { name = "", namespace } }: T,
  message: string,
  options: KubeCallOptions,
): Promise<void> {
  const ask = (stored: T): T | undefined => {
    if (isFinalPhase(stored.status?.phase) || stored.spec.cancel) return undefined;
    stored.spec.cancel = true;
    stored.status = { ...stored.status, message };
    return stored;
  };
  await retryOnConflict(client, resource, { namespace, name }, ask, options);
}
