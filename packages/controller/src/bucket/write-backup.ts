/**
 * Puts a Backup and what is recorded of it into the bucket. The Backup itself comes last: before it, nobody takes the rest for a
 * backup. (Velero writes it first and deletes it again when the rest fails.)
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import type { Backup } from "@dm/crds";
import type { BackupRecord } from "../backup/backup-record.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import {
  backupFile,
  decodeGzipJson,
  decodeItems,
  encodeBackup,
  encodeGzipJson,
  encodeItems,
  type ItemOperation,
  operationsFile,
  type Results,
  resultsFile,
  tarballFile,
  type VolumeInfo,
  volumeInfoFile,
} from "./backup-files.ts";
import type { BackupFolder } from "./backup-store.ts";

export async function writeRecord(
  folder: BackupFolder,
  name: string,
  record: BackupRecord,
  now: Date,
  options: KubeCallOptions,
): Promise<void> {
  await folder.write(tarballFile(name), encodeItems(record.items, now), options);
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

/** What `writeRecord` has written. */
export async function readRecord(
  folder: BackupFolder,
  name: string,
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
  return {
    items: decodeItems(await read(tarballFile(name)), tarballFile(name)),
    operations: (await json(operationsFile(name))) as ItemOperation[],
    volumes: (await json(volumeInfoFile(name))) as VolumeInfo[],
    results: (await json(resultsFile(name))) as Results,
  };
}
