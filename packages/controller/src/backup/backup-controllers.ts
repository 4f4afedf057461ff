/**
 * The controllers of Backups and Restores on a manager, with their caches.
 * Proof: test/backup/backup-controllers.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import {
  backups,
  dataDownloads,
  dataUploads,
  isFinalPhase,
  type KubeObject,
  type Resource,
  restores,
} from "@dm/crds";
import {
  type KubeClient,
  type Manager,
  type ObjectKey,
  ownerKeys,
  source,
} from "../runtime/index.ts";
import type { BackupDeps, BackupSettings } from "./backup-deps.ts";
import { bucketFolders, type OpenBackupFolder } from "./backup-store.ts";
import { reconcileBackup } from "./reconcile-backup.ts";
import { reconcileRestore } from "./reconcile-restore.ts";

export interface BackupControllersOptions {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  readonly settings?: Partial<BackupSettings> | undefined;
  /** By default the buckets that the cluster's BackupStorageLocations name. */
  readonly openFolder?: OpenBackupFolder | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/** Backups, and Restores, that are looked at at the same time. */
const concurrency = 4;

/**
 * Call before the manager runs.
 * @example addBackupControllers(manager, { client, namespace: "velero", logger });
 */
export function addBackupControllers(manager: Manager, options: BackupControllersOptions): void {
  const { client, namespace, clock = systemClock, logger = silentLogger, settings } = options;
  const openFolder = options.openFolder ?? bucketFolders(client, { clock, logger });
  const deps: BackupDeps = { client, clock, logger, openFolder, settings };
  manager.add({
    name: "Backup",
    concurrency,
    sources: [
      source(manager.cache(backups, { namespace })),
      source(manager.cache(dataUploads, { namespace }), ownersOfEnded(backups)),
    ],
    reconcile: (key, signal) => reconcileBackup(deps, key, { signal }),
  });
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

/** Progress is looked at now and then; an end at once. */
function ownersOfEnded(owners: Resource) {
  return (object: KubeObject & { readonly status?: { readonly phase?: string } }): ObjectKey[] =>
    isFinalPhase(object.status?.phase) ? ownerKeys(object, owners) : [];
}
