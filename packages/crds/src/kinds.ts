/**
 * Every custom kind of this package, in the order in which manifests list them.
 * Proof: test/manifests.test.ts.
 * @module
 */
import type { CustomKind } from "./custom-kind.ts";
import { backupKind, deleteBackupRequestKind, scheduleKind } from "./kinds/backup.ts";
import { backupRepositoryKind } from "./kinds/backup-repository.ts";
import { dataDownloadKind, dataUploadKind } from "./kinds/data-movement.ts";
import { dataProtectionApplicationKind } from "./kinds/data-protection-application.ts";
import { podVolumeBackupKind, podVolumeRestoreKind } from "./kinds/pod-volume.ts";
import { restoreKind } from "./kinds/restore.ts";
import { downloadRequestKind, serverStatusRequestKind } from "./kinds/server-requests.ts";
import {
  backupStorageLocationKind,
  volumeSnapshotLocationKind,
} from "./kinds/storage-locations.ts";
import { volumeSnapshotBackupKind, volumeSnapshotRestoreKind } from "./kinds/volsync.ts";
import {
  volumeSnapshotClassKind,
  volumeSnapshotContentKind,
  volumeSnapshotKind,
} from "./kinds/volume-snapshot.ts";

export const customKinds: readonly CustomKind[] = [
  dataUploadKind,
  dataDownloadKind,
  backupRepositoryKind,
  backupKind,
  restoreKind,
  backupStorageLocationKind,
  volumeSnapshotLocationKind,
  deleteBackupRequestKind,
  scheduleKind,
  podVolumeBackupKind,
  podVolumeRestoreKind,
  serverStatusRequestKind,
  downloadRequestKind,
  dataProtectionApplicationKind,
  volumeSnapshotKind,
  volumeSnapshotContentKind,
  volumeSnapshotClassKind,
  volumeSnapshotBackupKind,
  volumeSnapshotRestoreKind,
];
