/**
 * Which snapshots a backup of the bucket knows, by its uid and by its files. For the search of orphans: what cannot be read is an
 * error, not nothing.
 * Proof: test/retention/report-orphans.test.ts.
 * @module
 */
import type { DataUpload } from "@dm/crds";
import {
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
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import type { RetentionDeps } from "./retention-deps.ts";
import { podVolumeBackupsOf } from "./sync-location.ts";

/** The uid that its movers have put on snapshots; undefined for a folder without a backup. */
export function uidOfBackup(
  deps: Pick<RetentionDeps, "openFolder">,
  location: ObjectKey,
  name: string,
  options: KubeCallOptions,
): Promise<string | undefined> {
  return withFolder(deps, location, name, options, async (folder) => {
    const head = await folder.read(backupFile, options);
    return head && decodeBackup(head).metadata.uid;
  });
}

/** Ids of snapshots that its files name, whatever other backups they are of. */
export function knownOfBackup(
  deps: Pick<RetentionDeps, "openFolder">,
  location: ObjectKey,
  name: string,
  options: KubeCallOptions,
): Promise<string[]> {
  return withFolder(deps, location, name, options, async (folder) => {
    const volumes = await json(folder, volumeInfoFile(name), options);
    const pods = await json(folder, podVolumeBackupsFile(name), options);
    const tarball = await folder.read(tarballFile(name), options);
    const items = tarball ? await readItems(tarball, tarballFile(name), options) : [];
    return [
      ...((Array.isArray(volumes) ? volumes : []) as VolumeInfo[]).map(
        ({ snapshotDataMovementInfo: moved }) => moved?.["snapshotHandle"],
      ),
      ...podVolumeBackupsOf(pods).map(({ status }) => status?.snapshotID),
      ...items
        .filter(({ resource }) => resource === "datauploads.velero.io")
        .map(({ object }) => (object as DataUpload).status?.snapshotID),
    ].filter((id): id is string => typeof id === "string" && id !== "");
  });
}

async function json(
  folder: BackupFolder,
  file: string,
  options: KubeCallOptions,
): Promise<unknown> {
  const bytes = await folder.read(file, options);
  return bytes && decodeGzipJson(bytes, file);
}

async function withFolder<T>(
  { openFolder }: Pick<RetentionDeps, "openFolder">,
  location: ObjectKey,
  name: string,
  options: KubeCallOptions,
  work: (folder: BackupFolder) => Promise<T>,
): Promise<T> {
  const folder = await openFolder(location, ["backups", name], options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}
