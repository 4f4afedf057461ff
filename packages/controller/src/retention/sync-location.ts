/**
 * Brings the Backups of a cluster in line with a bucket. One look at one location, when it is time for it; what is wrong with one
 * backup never stops the others.
 * Proof: test/retention/sync-location.test.ts, test/retention/crash.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import {
  type Backup,
  backupStorageLocations,
  backups,
  type PodVolumeBackup,
  podVolumeBackups,
  schedules,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import {
  backupFile,
  decodeBackup,
  decodeGzipJson,
  podVolumeBackupsFile,
} from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import {
  planSync,
  type SyncContext,
  syncedBackup,
  syncedPodVolumeBackup,
  syncPeriodOf,
  untilSync,
} from "./decide-sync.ts";
import { type RetentionDeps, retentionSettings } from "./retention-deps.ts";

/** On a Backup whose PodVolumeBackups are still to be made: a crash in between is found by it. */
export const syncingAnnotation = "data-mover.dm/syncing";

export async function syncLocation(
  deps: RetentionDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock, logger } = deps;
  const nowMs = (): number => Number(clock.nowNs() / nsPerMs);
  const location = await client.get(backupStorageLocations, key, options);
  if (location === undefined || location.metadata.deletionTimestamp) return {};
  const { backupSyncPeriodMs } = retentionSettings(deps);
  const waitMs = untilSync(location, nowMs(), backupSyncPeriodMs);
  if (waitMs === undefined) return {};
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  const { namespace } = key;
  // In this order: what is over before the bucket is listed has been uploaded before.
  const inCluster = await listAll(client, backups, { ...options, namespace });
  const inBucket = await deps.listFolders(key, ["backups"], options);
  const plan = planSync({ location: key.name, inCluster, inBucket });
  const context: SyncContext = {
    namespace: namespace ?? "",
    location: key.name,
    schedules: await scheduleUids(deps, namespace, plan.missing.length > 0, options),
    nowMs: nowMs(),
  };
  const each = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (isPassing(error)) throw error;
      logger.warn("Could not sync backup", {
        location: key.name,
        backup: name,
        error: text(error),
      });
    }
  };
  for (const name of plan.missing)
    await each(name, () => create(deps, key, name, context, options));
  for (const backup of inCluster) {
    const { annotations, name = "" } = backup.metadata;
    if (annotations?.[syncingAnnotation] !== key.name) continue;
    await each(name, () => finish(deps, key, backup, options));
  }
  for (const { metadata } of plan.gone) {
    const { name = "", resourceVersion, uid } = metadata;
    logger.info("Deleted backup that the bucket does not have", {
      location: key.name,
      backup: name,
    });
    await each(name, async () => {
      await client.delete(backups, { namespace, name }, { ...options, uid, resourceVersion });
    });
  }
  const status = { lastSyncedTime: kubeTime(new Date(nowMs())) };
  await client.patch(backupStorageLocations, key, { status }, options);
  return { requeueAfterMs: syncPeriodOf(location.spec.backupSyncPeriod, backupSyncPeriodMs) };
}

async function scheduleUids(
  { client }: RetentionDeps,
  namespace: string | undefined,
  isNeeded: boolean,
  options: KubeCallOptions,
): Promise<Map<string, string>> {
  const all = isNeeded ? await listAll(client, schedules, { ...options, namespace }) : [];
  return new Map(all.map(({ metadata }) => [metadata.name ?? "", metadata.uid ?? ""]));
}

async function create(
  deps: RetentionDeps,
  location: ObjectKey,
  name: string,
  context: SyncContext,
  options: KubeCallOptions,
): Promise<void> {
  const { client, logger } = deps;
  const folder = await deps.openFolder(location, ["backups", name], options);
  try {
    const head = await folder.read(backupFile, options);
    // Begun, or deleted in part: not a backup.
    if (head === undefined) return;
    const synced = syncedBackup(name, decodeBackup(head), context);
    if ("skipped" in synced) {
      const { skipped: reason } = synced;
      logger.debug("Skipped backup of the bucket", {
        location: location.name,
        backup: name,
        reason,
      });
      return;
    }
    const volumes = await readPodVolumeBackups(deps, folder, name, options);
    const { backup } = synced;
    const mark = volumes.length > 0 && { [syncingAnnotation]: location.name };
    const annotations = { ...backup.metadata.annotations, ...mark };
    const wanted = { ...backup, metadata: { ...backup.metadata, annotations } };
    const created = await unlessThere(() => client.create(backups, wanted, options));
    // Somebody else's, or another location's of the same name: it is not touched.
    if (created === undefined) return;
    logger.info("Synced backup into the cluster", { location: location.name, backup: name });
    if (mark) await createVolumes(deps, location, created, volumes, options);
  } finally {
    await folder.close();
  }
}

/** Goes on where a process was killed. */
async function finish(
  deps: RetentionDeps,
  location: ObjectKey,
  backup: Backup,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "" } = backup.metadata;
  const folder = await deps.openFolder(location, ["backups", name], options);
  try {
    const volumes = await readPodVolumeBackups(deps, folder, name, options);
    await createVolumes(deps, location, backup, volumes, options);
  } finally {
    await folder.close();
  }
}

async function createVolumes(
  { client, logger }: RetentionDeps,
  location: ObjectKey,
  backup: Backup,
  volumes: readonly PodVolumeBackup[],
  options: KubeCallOptions,
): Promise<void> {
  const { name = "", namespace } = backup.metadata;
  for (const volume of volumes) {
    const wanted = syncedPodVolumeBackup(volume, backup, location.name);
    try {
      await unlessThere(() => client.create(podVolumeBackups, wanted, options));
    } catch (error) {
      if (isPassing(error)) throw error;
      const what = { backup: name, podVolumeBackup: volume.metadata.name, error: text(error) };
      logger.warn("Could not sync pod volume backup", what);
    }
  }
  const patch = { metadata: { annotations: { [syncingAnnotation]: null } } };
  await client.patch(backups, { namespace, name }, patch, options);
}

/** Those that are damaged are missed by nobody but a restore, which says so. */
async function readPodVolumeBackups(
  { logger }: RetentionDeps,
  folder: BackupFolder,
  name: string,
  options: KubeCallOptions,
): Promise<PodVolumeBackup[]> {
  const file = podVolumeBackupsFile(name);
  const bytes = await folder.read(file, options);
  if (bytes === undefined) return [];
  try {
    return podVolumeBackupsOf(decodeGzipJson(bytes, file));
  } catch (error) {
    if (!isDmError(error, "DM_BACKUP_FILE_INVALID")) throw error;
    logger.warn("Could not read pod volume backups", { backup: name, error: error.message });
    return [];
  }
}

/** What of a file's content is a PodVolumeBackup. */
export function podVolumeBackupsOf(value: unknown): PodVolumeBackup[] {
  const all: unknown[] = Array.isArray(value) ? value : [];
  return all.filter((one): one is PodVolumeBackup => {
    const { metadata, spec } = (one ?? {}) as Partial<PodVolumeBackup>;
    return typeof metadata?.name === "string" && typeof spec === "object" && spec !== null;
  });
}

async function unlessThere<T>(create: () => Promise<T>): Promise<T | undefined> {
  try {
    return await create();
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    return undefined;
  }
}

/** The API server's trouble, not this backup's. (What it forbids may be this one only: a webhook can refuse it.) */
const isPassing = (error: unknown): boolean =>
  isDmError(error, "DM_KUBE_UNAVAILABLE") || isDmError(error, "DM_KUBE_UNAUTHORIZED");

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));
