/**
 * Which file a DownloadRequest asks for. Pure.
 * Proof: test/requests/download-request.test.ts.
 * @module
 */
import type { DownloadTargetKind } from "@dm/crds";
import type { BackupPath } from "../bucket/sign-url.ts";

type Folder = BackupPath[0];

const files: Readonly<Record<DownloadTargetKind, readonly [Folder, (name: string) => string]>> = {
  BackupLog: ["backups", (name) => `${name}-logs.gz`],
  BackupContents: ["backups", (name) => `${name}.tar.gz`],
  BackupVolumeSnapshots: ["backups", (name) => `${name}-volumesnapshots.json.gz`],
  BackupItemOperations: ["backups", (name) => `${name}-itemoperations.json.gz`],
  BackupResourceList: ["backups", (name) => `${name}-resource-list.json.gz`],
  BackupResults: ["backups", (name) => `${name}-results.gz`],
  BackupVolumeInfos: ["backups", (name) => `${name}-volumeinfo.json.gz`],
  CSIBackupVolumeSnapshots: ["backups", (name) => `${name}-csi-volumesnapshots.json.gz`],
  CSIBackupVolumeSnapshotContents: [
    "backups",
    (name) => `${name}-csi-volumesnapshotcontents.json.gz`,
  ],
  RestoreLog: ["restores", (name) => `restore-${name}-logs.gz`],
  RestoreResults: ["restores", (name) => `restore-${name}-results.gz`],
  RestoreResourceList: ["restores", (name) => `restore-${name}-resource-list.json.gz`],
  RestoreItemOperations: ["restores", (name) => `restore-${name}-itemoperations.json.gz`],
  RestoreVolumeInfo: ["restores", (name) => `${name}-volumeinfo.json.gz`],
};

/** Undefined for a kind that is none. */
export function downloadPath(kind: string, name: string): BackupPath | undefined {
  const found = Object.hasOwn(files, kind) ? files[kind as DownloadTargetKind] : undefined;
  return found && [found[0], name, found[1](name)];
}
