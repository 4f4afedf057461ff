/**
 * The queue of Backups: looks at all of them whenever one changes. Runs one at a time.
 * Proof: test/backup/reconcile-queue.test.ts.
 * @module
 */
import { type Backup, backups, namespaces, phaseOf } from "@dm/crds";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { type BackupDeps, settingsOf } from "./backup-deps.ts";
import { decideQueue } from "./decide-queue.ts";
import { listAll } from "./list-all.ts";

/**
 * @param key any Backup of the namespace
 * @example reconcile: ({ namespace }, signal) => reconcileQueue(deps, { namespace }, { signal })
 */
export async function reconcileQueue(
  deps: BackupDeps,
  { namespace }: Pick<ObjectKey, "namespace">,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock, logger } = deps;
  const all = await listAll(client, backups, { ...options, namespace });
  const waiting = all.filter(isWaiting);
  if (waiting.length === 0) return {};
  const names = (await listAll(client, namespaces, options)).map(({ metadata }) => metadata.name);
  const others = all.filter((one) => !["New", "Queued"].includes(phaseOf(one)));
  const changes = decideQueue(
    [...others, ...waiting],
    names.map((name) => name ?? ""),
    settingsOf(deps).concurrentBackups,
  );
  for (const { backup, phase, queuePosition } of changes) {
    const { name = "", uid } = backup.metadata;
    const before = phaseOf(backup);
    const write = (stored: Backup): Backup | undefined => {
      if (stored.metadata.uid !== uid || phaseOf(stored) !== before) return undefined;
      const { queuePosition: _old, ...status } = stored.status ?? {};
      return {
        ...stored,
        status: { ...status, phase, ...(queuePosition > 0 && { queuePosition }) },
      };
    };
    await retryOnConflict(client, backups, { namespace, name }, write, { ...options, clock });
    if (phase === "ReadyToStart") logger.info("Took Backup from the queue", { backup: name });
  }
  // What was just queued may run at once.
  return changes.length > 0 ? { requeueAfterMs: 1 } : {};
}

/** For its turn. */
export const isWaiting = (backup: Backup): boolean =>
  ["New", "Queued"].includes(phaseOf(backup)) && !isDeleting(backup);
