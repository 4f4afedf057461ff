/**
 * The controllers of Restores on a manager, with their caches.
 * Proof: test/backup/backup-controllers.test.ts.
 * @module
 */
import { silentLogger, systemClock } from "@dm/core";
import { dataDownloads, restores } from "@dm/crds";
import type { BackupControllersOptions } from "../backup/backup-controllers.ts";
import type { BackupDeps } from "../backup/backup-deps.ts";
import { ownersOfEnded } from "../backup/owners-of-ended.ts";
import { bucketFolders } from "../bucket/backup-store.ts";
import { type Manager, source } from "../runtime/index.ts";
import { reconcileRestore } from "./reconcile-restore.ts";

/** Restores that are looked at at the same time. */
const concurrency = 4;

/** Call before the manager runs. */
export function addRestoreControllers(manager: Manager, options: BackupControllersOptions): void {
  const { client, clock = systemClock, discovery, exec, logger = silentLogger } = options;
  const { namespace, settings } = options;
  const openFolder = options.openFolder ?? bucketFolders(client, { clock, logger });
  const deps: BackupDeps = { client, clock, discovery, exec, logger, openFolder, settings };
  manager.add({
    name: "Restore",
    concurrency,
    sources: [
      source(manager.cache(restores, { namespace })),
      source(manager.cache(dataDownloads, { namespace }), ownersOfEnded(restores)),
    ],
    reconcile: (key, signal) => reconcileRestore(deps, key, { signal }),
  });
}
