/**
 * Puts a Backup and what is recorded of it into the bucket. The Backup itself comes last: before it, nobody takes the rest for a
 * backup. (Velero writes it first and deletes it again when the rest fails.)
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import type { Backup, PodVolumeBackup } from "@dm/crds";
import type { BackupRecord } from "../backup/backup-record.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import {
  type BackupItem,
  backupFile,
  decodeGzipJson,
  encodeBackup,
  encodeGzipJson,
  type ItemOperation,
  logFile,
  operationsFile,
  podVolumeBackupsFile,
  type Results,
  resourceListFile,
  resultsFile,
  tarballFile,
  type VolumeInfo,
  volumeInfoFile,
  volumeSnapshotsFile,
} from "./backup-files.ts";
import type { BackupFolder } from "./backup-store.ts";
import { withItems } from "./write-tarball.ts";

/** What a run leaves: everything of a backup but the Backup itself. */
export interface BackupFiles extends BackupRecord {
  readonly tarball: Uint8Array;
  readonly resourceList: Readonly<Record<string, readonly string[]>>;
  readonly podVolumeBackups: readonly PodVolumeBackup[];
  /** Compressed. */
  readonly log: Uint8Array;
}

export async function writeFiles(
  folder: BackupFolder,
  name: string,
  files: BackupFiles,
  options: KubeCallOptions,
): Promise<void> {
  const { podVolumeBackups } = files;
  await folder.write(tarballFile(name), files.tarball, options);
  await folder.write(logFile(name), files.log, options);
  const json = (file: string, value: unknown): Promise<void> =>
    folder.write(file, encodeGzipJson(value), options);
  await json(resourceListFile(name), files.resourceList);
  // Go writes empty lists so.
  await json(
    podVolumeBackupsFile(name),
    podVolumeBackups.length === 0
      ? null
      : podVolumeBackups.map(({ metadata, spec, status }) => ({ metadata, spec, status })),
  );
  await json(volumeSnapshotsFile(name), null);
  await writeRecord(folder, name, files, options);
}

async function writeRecord(
  folder: BackupFolder,
  name: string,
  record: BackupRecord,
  options: KubeCallOptions,
): Promise<void> {
  await folder.write(operationsFile(name), encodeGzipJson(record.operations), options);
  await folder.write(volumeInfoFile(name), encodeGzipJson(record.volumes), options);
  await folder.write(resultsFile(name), encodeGzipJson(record.results), options);
}

export async function writeBackup(
  folder: BackupFolder,
  backup: Backup,
  options: KubeCallOptions,
): Promise<void> {
  await folder.write(backupFile, encodeBackup(backup), options);
}

export interface BackupEnd {
  readonly complete: (record: BackupRecord) => BackupRecord;
  /** What a restore depends on, as it ended: DataUploads, or snapshots that are the backup. */
  readonly items: readonly BackupItem[];
  /** Compressed. */
  readonly log: Uint8Array;
  readonly now: Date;
}

/** Adds what became of what went on after the run. Done twice, it comes to the same but for the log. */
export async function completeFiles(
  folder: BackupFolder,
  name: string,
  { complete, items, log, now }: BackupEnd,
  options: KubeCallOptions,
): Promise<BackupRecord> {
  const read = async (file: string): Promise<Uint8Array> => {
    const bytes = await folder.read(file, options);
    if (bytes) return bytes;
    throw new NotFoundError(
      "DM_BACKUP_NOT_FOUND",
      `the bucket has no file ${file} of backup ${name}`,
    );
  };
  const json = async (file: string): Promise<unknown> => decodeGzipJson(await read(file), file);
  if (items.length > 0) {
    const tarball = await withItems(await read(tarballFile(name)), items, now);
    await folder.write(tarballFile(name), tarball, options);
  }
  const record = complete({
    operations: (await json(operationsFile(name))) as ItemOperation[],
    volumes: (await json(volumeInfoFile(name))) as VolumeInfo[],
    results: (await json(resultsFile(name))) as Results,
  });
  await writeRecord(folder, name, record, options);
  const before = await folder.read(logFile(name), options);
  // What follows a gzip member is the next one.
  await folder.write(logFile(name), Buffer.concat([before ?? new Uint8Array(), log]), options);
  return record;
}
