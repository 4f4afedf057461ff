/**
 * Reads all that tells what a backup keeps: its folder in the bucket, and what the cluster has of it. A file that is damaged does not
 * keep the backup from being deleted: several say the same.
 * Proof: test/retention/delete-backup.test.ts.
 * @module
 */
import { isDmError, type Logger } from "@dm/core";
import {
  type Backup,
  configMaps,
  type DataUpload,
  dataUploads,
  labels,
  labelValue,
  type PodVolumeBackup,
  podVolumeBackups,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import {
  type BackupItem,
  backupFile,
  decodeBackup,
  decodeGzipJson,
  podVolumeBackupsFile,
  tarballFile,
  type VolumeInfo,
  volumeInfoFile,
} from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { readItems } from "../bucket/read-items.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { RetentionDeps } from "./retention-deps.ts";
import type { BackupTraces } from "./snapshots-of-backup.ts";
import { podVolumeBackupsOf } from "./sync-location.ts";

export interface GatheredBackup extends BackupTraces {
  /** The folder is another backup's, which had the name first: nothing in it is this one's. */
  readonly isForeign: boolean;
}

export async function gatherBackup(
  { client, logger }: Pick<RetentionDeps, "client" | "logger">,
  folder: BackupFolder,
  backup: Backup,
  options: KubeCallOptions,
): Promise<GatheredBackup> {
  const { name = "", namespace } = backup.metadata;
  const read = async <T>(
    file: string,
    decode: (bytes: Uint8Array) => T | Promise<T>,
  ): Promise<T | undefined> => {
    const bytes = await folder.read(file, options);
    return bytes && unlessDamaged(logger, name, () => decode(bytes));
  };
  const listOf =
    (file: string) =>
    (bytes: Uint8Array): unknown =>
      decodeGzipJson(bytes, file);
  const head = await read(backupFile, decodeBackup);
  const isForeign = head !== undefined && !isOfBackup(head, backup);
  const stored = isForeign ? undefined : head;
  const readOwn: typeof read = async (...of) => (isForeign ? undefined : read(...of));
  const items = await readOwn(
    tarballFile(name),
    (bytes): Promise<BackupItem[]> => readItems(bytes, tarballFile(name), options),
  );
  const volumes = await readOwn(volumeInfoFile(name), listOf(volumeInfoFile(name)));
  const pods = await readOwn(podVolumeBackupsFile(name), listOf(podVolumeBackupsFile(name)));
  const ofBackup = `${labels.backupName}=${labelValue(name)}`;
  const cluster = { ...options, namespace, labelSelector: ofBackup };
  return {
    backup,
    stored,
    isForeign,
    items: items ?? [],
    volumes: Array.isArray(volumes) ? (volumes as VolumeInfo[]) : [],
    dataUploads: await listAll<DataUpload>(client, dataUploads, cluster),
    podVolumeBackups: [
      ...podVolumeBackupsOf(pods),
      ...(await listAll<PodVolumeBackup>(client, podVolumeBackups, cluster)),
    ],
    notes: await listAll(client, configMaps, {
      ...options,
      namespace,
      labelSelector: `${ofBackup},${labels.dataUploadSnapshotInfo}=true`,
    }),
  };
}

/** The one that made the folder, or what sync has made of it here: its times are those of the file. */
function isOfBackup(stored: Backup, { metadata, status }: Backup): boolean {
  const startedAt = stored.status?.startTimestamp;
  if (stored.metadata.uid !== undefined && stored.metadata.uid === metadata.uid) return true;
  return (startedAt ?? "") === (status?.startTimestamp ?? "");
}

async function unlessDamaged<T>(
  logger: Logger,
  backup: string,
  decode: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await decode();
  } catch (error) {
    if (!isDmError(error, "DM_BACKUP_FILE_INVALID") && !isDmError(error, "DM_TAR_INVALID"))
      throw error;
    logger.warn("Could not read a file of the backup", { backup, error: error.message });
    return undefined;
  }
}
