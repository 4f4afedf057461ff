/**
 * The files of a Restore in the bucket, next to the backup that it was made of. They are for people: a bucket that takes no writes
 * does not stop a restore.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { Backup, PodVolumeBackup, Restore } from "@dm/crds";
import {
  decodeGzipJson,
  encodeGzipJson,
  podVolumeBackupsFile,
  type Results,
  restoreResultsFile,
  type VolumeInfo,
  volumeInfoFile,
} from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { decodeList, volumeInfos } from "../bucket/read-backup.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { RestoreDeps } from "./restore-deps.ts";

export const restoreLogFile = (name: string): string => `restore-${name}-logs.gz`;
export const restoreListFile = (name: string): string => `restore-${name}-resource-list.json.gz`;
export const restoreOperationsFile = (name: string): string =>
  `restore-${name}-itemoperations.json.gz`;
export const restoreVolumesFile = (name: string): string => `${name}-volumeinfo.json.gz`;

export interface RestoreFiles {
  /** Compressed. */
  readonly log?: Uint8Array | undefined;
  readonly list?: object | undefined;
  readonly operations?: readonly object[] | undefined;
  readonly volumes?: readonly object[] | undefined;
  /** From the results that are there to those that shall be. */
  readonly results?: ((before: Results) => Results) | undefined;
}

export async function writeRestoreFiles(
  deps: RestoreDeps,
  restore: Restore,
  backup: Backup,
  { list, log, operations, results, volumes }: RestoreFiles,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "" } = restore.metadata;
  const json: [string, unknown][] = [
    [restoreListFile(name), list],
    [restoreOperationsFile(name), operations],
    [restoreVolumesFile(name), volumes],
  ];
  try {
    await inFolder(deps, backup, ["restores", name], options, async (folder) => {
      if (log !== undefined) await folder.write(restoreLogFile(name), log, options);
      if (results) {
        const next = results(await readResults(folder, name, options));
        await folder.write(restoreResultsFile(name), encodeGzipJson(next), options);
      }
      for (const [file, value] of json)
        if (value !== undefined) await folder.write(file, encodeGzipJson(value), options);
    });
  } catch (error) {
    if (!isDmError(error)) throw error;
    deps.logger.warn("Could not store files of Restore", { restore: name, error: error.message });
  }
}

async function readResults(
  folder: BackupFolder,
  name: string,
  options: KubeCallOptions,
): Promise<Results> {
  const file = restoreResultsFile(name);
  const before = await folder.read(file, options);
  return before ? (decodeGzipJson(before, file) as Results) : { errors: {}, warnings: {} };
}

export function deleteRestoreFiles(
  deps: RestoreDeps,
  { metadata: { name = "" } }: Restore,
  backup: Backup,
  options: KubeCallOptions,
): Promise<void> {
  return inFolder(deps, backup, ["restores", name], options, async (folder) => {
    for (const file of await folder.list(options)) await folder.delete(file, options);
    await folder.remove?.(options);
  });
}

/** What the backup has of volumes by their files; nothing in backups that have no such file. */
export async function readPodVolumeBackups(
  folder: BackupFolder,
  backup: string,
  options: KubeCallOptions,
): Promise<PodVolumeBackup[]> {
  const file = podVolumeBackupsFile(backup);
  const bytes = await folder.read(file, options);
  return bytes ? decodeList(bytes, file, isPodVolumeBackup) : [];
}

function isPodVolumeBackup(value: unknown): boolean {
  const { metadata, spec } = (value ?? {}) as Partial<PodVolumeBackup>;
  return typeof metadata === "object" && typeof spec?.volume === "string" && Boolean(spec.pod);
}

/** Nothing in backups of Velero before 1.13. */
export function readVolumeInfos(
  deps: RestoreDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<VolumeInfo[]> {
  const { name = "" } = backup.metadata;
  return inFolder(deps, backup, ["backups", name], options, async (folder) => {
    const bytes = await folder.read(volumeInfoFile(name), options);
    return bytes ? volumeInfos(bytes, volumeInfoFile(name)) : [];
  });
}

export async function inFolder<R>(
  deps: RestoreDeps,
  { metadata, spec }: Backup,
  path: readonly ["backups" | "restores", string],
  options: KubeCallOptions,
  work: (folder: BackupFolder) => Promise<R>,
): Promise<R> {
  const location = { namespace: metadata.namespace, name: spec?.storageLocation ?? "" };
  const folder = await deps.openFolder(location, path, options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}
