/**
 * The controllers that keep backups in order, on a manager, with their caches: sync, expiry, deletion, and the search for
 * snapshots that nobody knows.
 * Proof: test/retention/retention-controllers.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import {
  backupRepositories,
  backupStorageLocations,
  backups,
  deleteBackupRequests,
} from "@dm/crds";
import { bucketFolders, type OpenBackupFolder } from "../bucket/backup-store.ts";
import { bucketLister, type ListFolders } from "../bucket/list-folders.ts";
import {
  type OpenSnapshotRepository,
  snapshotRepositories,
} from "../repository/open-repository.ts";
import { type EventRecorder, type KubeClient, type Manager, source } from "../runtime/index.ts";
import { collectExpired } from "./collect-expired.ts";
import { reconcileDeleteRequest } from "./reconcile-delete-request.ts";
import { reportOrphans } from "./report-orphans.ts";
import type { RetentionDeps, RetentionSettings } from "./retention-deps.ts";
import { syncLocation } from "./sync-location.ts";

export interface RetentionControllersOptions {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  readonly settings?: Partial<RetentionSettings> | undefined;
  /** By default the buckets that the cluster's BackupStorageLocations name; so the next two. */
  readonly openFolder?: OpenBackupFolder | undefined;
  readonly listFolders?: ListFolders | undefined;
  readonly openRepository?: OpenSnapshotRepository | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly events?: Pick<EventRecorder, "record"> | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/** Buckets may have many backups, and repositories may be far away. */
const timeoutMs = 30 * 60_000;
/** Locations that are looked at at once: one that does not answer holds up no other. */
const syncConcurrency = 4;

/**
 * Call before the manager runs.
 * @example addRetentionControllers(manager, { client, namespace: "velero", logger });
 */
export function addRetentionControllers(
  manager: Manager,
  options: RetentionControllersOptions,
): void {
  const { client, clock = systemClock, environment, events, namespace, settings } = options;
  const { logger = silentLogger } = options;
  const store = { clock, environment, logger };
  const deps: RetentionDeps = {
    client,
    clock,
    logger,
    events,
    metrics: manager.metrics,
    settings,
    openFolder: options.openFolder ?? bucketFolders(client, store),
    listFolders: options.listFolders ?? bucketLister(client, store),
    openRepository: options.openRepository ?? snapshotRepositories(client, store),
  };
  manager.add({
    name: "BackupSync",
    concurrency: syncConcurrency,
    timeoutMs,
    sources: [source(manager.cache(backupStorageLocations, { namespace }))],
    reconcile: (key, signal) => syncLocation(deps, key, { signal }),
  });
  const all = manager.cache(backups, { namespace });
  manager.add({
    name: "BackupExpiry",
    sources: [source(all)],
    reconcile: async (key, signal) => {
      const backup = all.get(key);
      return backup ? collectExpired(deps, backup, { signal }) : {};
    },
  });
  manager.add({
    name: "DeleteBackupRequest",
    timeoutMs,
    sources: [source(manager.cache(deleteBackupRequests, { namespace }))],
    reconcile: (key, signal) => reconcileDeleteRequest(deps, key, { signal }),
  });
  manager.add({
    name: "OrphanedSnapshots",
    timeoutMs,
    sources: [source(manager.cache(backupRepositories, { namespace }))],
    reconcile: (key, signal) => reportOrphans(deps, key, { signal }),
  });
}
