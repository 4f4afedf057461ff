/**
 * A backup as a restore sees it, whoever made it: everything that a restore takes from the bucket comes through here.
 * Proof: test/bucket/backup-files.test.ts.
 * @module
 */
import { FormatError, NotFoundError } from "@dm/core";
import type { Backup } from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import {
  type BackupItem,
  backupFile,
  decodeBackup,
  decodeGzipJson,
  tarballFile,
  type VolumeInfo,
  volumeInfoFile,
} from "./backup-files.ts";
import type { BackupFolder } from "./backup-store.ts";
import { readItems } from "./read-items.ts";

export interface BackupContents {
  readonly backup: Backup;
  readonly items: readonly BackupItem[];
  /** Empty for backups of Velero before 1.13. */
  readonly volumes: readonly VolumeInfo[];
}

/**
 * @throws {NotFoundError} `DM_BACKUP_NOT_FOUND` when the bucket has no such backup
 * @throws {FormatError} `DM_BACKUP_FILE_INVALID`, `DM_TAR_INVALID`
 */
export async function readBackup(
  folder: BackupFolder,
  name: string,
  options: KubeCallOptions = {},
): Promise<BackupContents> {
  const head = await folder.read(backupFile, options);
  const tarball = await folder.read(tarballFile(name), options);
  if (head === undefined || tarball === undefined) {
    const file = head === undefined ? backupFile : tarballFile(name);
    throw new NotFoundError(
      "DM_BACKUP_NOT_FOUND",
      `the bucket has no file ${file} of backup ${name}`,
    );
  }
  const volumes = await folder.read(volumeInfoFile(name), options);
  return {
    backup: decodeBackup(head),
    items: await readItems(tarball, tarballFile(name), options),
    volumes: volumes === undefined ? [] : volumeInfos(volumes, volumeInfoFile(name)),
  };
}

/** @throws {FormatError} `DM_BACKUP_FILE_INVALID` */
export function volumeInfos(bytes: Uint8Array, file: string): VolumeInfo[] {
  return decodeList(bytes, file, (one) => typeof one === "object" && one !== null);
}

/**
 * A file that holds a list; null, as Go writes an empty one, is one too.
 * @throws {FormatError} `DM_BACKUP_FILE_INVALID` when it holds anything else, or something that `isEntry` does not know
 */
export function decodeList<T>(
  bytes: Uint8Array,
  file: string,
  isEntry: (value: unknown) => boolean,
): T[] {
  const value = decodeGzipJson(bytes, file) ?? [];
  if (Array.isArray(value) && value.every(isEntry)) return value as T[];
  throw new FormatError(
    "DM_BACKUP_FILE_INVALID",
    `the file ${file} of the backup cannot be read: it holds no list of what it should`,
    { file },
  );
}
