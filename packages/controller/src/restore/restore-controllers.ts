/**
 * The controllers of Restores on a manager, with their caches.
 * Proof: test/backup/backup-controllers.test.ts.
 * @module
 */
import { silentLogger, systemClock } from "@dm/core";
import { dataDownloads, podVolumeRestores, restores } from "@dm/crds";
import type { BackupControllersOptions } from "../backup/backup-controllers.ts";
import { ownersOfEnded } from "../backup/owners-of-ended.ts";
import { bucketFolders } from "../bucket/backup-store.ts";
import { type Manager, source } from "../runtime/index.ts";
import { reconcileRestore } from "./reconcile-restore.ts";
import type { RestoreDeps } from "./restore-deps.ts";

export interface RestoreControllersOptions
  extends BackupControllersOptions,
    Pick<RestoreDeps, "restoreWait" | "resourcePriorities" | "terminatingTimeoutMs"> {}

/** Restores that are looked at at the same time. */
const concurrency = 4;
/** Commands of hooks run within one look, one after another in each pod. */
const timeoutMs = 2 * 60 * 60_000;

/** Call before the manager runs. */
export function addRestoreControllers(manager: Manager, options: RestoreControllersOptions): void {
  const { client, clock = systemClock, discovery, exec, logger = silentLogger } = options;
  const { namespace, resourcePriorities, restoreWait, settings, terminatingTimeoutMs } = options;
  const openFolder = options.openFolder ?? bucketFolders(client, { clock, logger });
  const deps: RestoreDeps = {
    client,
    clock,
    discovery,
    exec,
    logger,
    openFolder,
    resourcePriorities,
    restoreWait,
    settings,
    terminatingTimeoutMs,
  };
  manager.add({
    name: "Restore",
    concurrency,
    timeoutMs,
    sources: [
      source(manager.cache(restores, { namespace })),
      source(manager.cache(dataDownloads, { namespace }), ownersOfEnded(restores)),
      source(manager.cache(podVolumeRestores, { namespace }), ownersOfEnded(restores)),
    ],
    reconcile: (key, signal) => reconcileRestore(deps, key, { signal }),
  });
}
