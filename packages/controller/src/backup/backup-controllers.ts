/**
 * The controllers of Backups on a manager, with their caches.
 * Proof: test/backup/backup-controllers.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import { backups, dataUploads, isFinalBackupPhase, phaseOf } from "@dm/crds";
import { bucketFolders, type OpenBackupFolder } from "../bucket/backup-store.ts";
import {
  type ApiDiscovery,
  type EventRecorder,
  type KubeClient,
  type Manager,
  type PodExec,
  source,
} from "../runtime/index.ts";
import { type BackupDeps, type BackupSettings, settingsOf } from "./backup-deps.ts";
import { ownersOfEnded } from "./owners-of-ended.ts";
import { reconcileBackup } from "./reconcile-backup.ts";
import { isWaiting, reconcileQueue } from "./reconcile-queue.ts";

export interface BackupControllersOptions {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  /** Which kinds there are. */
  readonly discovery: ApiDiscovery;
  /** Runs hooks. */
  readonly exec: PodExec;
  /** Where Backups say what they do not do. */
  readonly events?: EventRecorder | undefined;
  readonly settings?: Partial<BackupSettings> | undefined;
  /** By default the buckets that the cluster's BackupStorageLocations name. */
  readonly openFolder?: OpenBackupFolder | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/** Backups that are looked at beside those that run. */
const concurrency = 4;
/** A run takes as long as its hooks, snapshots and file system backups, which have limits of their own. */
const timeoutMs = 7 * 24 * 3_600_000;

/**
 * Call before the manager runs.
 * @example
 * addBackupControllers(manager, { client, namespace: "velero", discovery: apiDiscovery(client), exec: client.exec, logger });
 */
export function addBackupControllers(manager: Manager, options: BackupControllersOptions): void {
  const { client, clock = systemClock, discovery, exec, logger = silentLogger } = options;
  const { namespace, settings } = options;
  const openFolder = options.openFolder ?? bucketFolders(client, { clock, logger });
  const deps: BackupDeps = {
    client,
    clock,
    discovery,
    exec,
    logger,
    openFolder,
    events: options.events,
    metrics: manager.metrics,
    settings,
  };
  const all = manager.cache(backups, { namespace });
  manager.add({
    name: "BackupQueue",
    concurrency: 1,
    // One key: each look is at all of them.
    sources: [source(all, () => [{ namespace, name: "queue" }])],
    reconcile: async (key, signal) =>
      all.list().some(isWaiting) ? reconcileQueue(deps, key, { signal }) : {},
  });
  manager.add({
    name: "Backup",
    concurrency: settingsOf(deps).concurrentBackups + concurrency,
    timeoutMs,
    sources: [
      source(all),
      source(manager.cache(dataUploads, { namespace }), ownersOfEnded(backups)),
    ],
    reconcile: async (key, signal) => {
      const seen = all.get(key);
      // There may be thousands that have ended.
      return seen && isFinalBackupPhase(phaseOf(seen))
        ? {}
        : reconcileBackup(deps, key, { signal });
    },
  });
}
