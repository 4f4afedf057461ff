/**
 * What an object from outside is: the right kind, and of the shape that its schema asks for. The object itself is handed on, never
 * a copy, so nothing of it is lost.
 * Proof: test/guards.test.ts, test/survival.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type { CustomKind } from "./custom-kind.ts";
import type { Backup, DeleteBackupRequest, Schedule } from "./kinds/backup.ts";
import { backupKind, deleteBackupRequestKind, scheduleKind } from "./kinds/backup.ts";
import { type BackupRepository, backupRepositoryKind } from "./kinds/backup-repository.ts";
import {
  type DataDownload,
  type DataUpload,
  dataDownloadKind,
  dataUploadKind,
} from "./kinds/data-movement.ts";
import {
  type DataProtectionApplication,
  dataProtectionApplicationKind,
} from "./kinds/data-protection-application.ts";
import {
  type PodVolumeBackup,
  type PodVolumeRestore,
  podVolumeBackupKind,
  podVolumeRestoreKind,
} from "./kinds/pod-volume.ts";
import { type Restore, restoreKind } from "./kinds/restore.ts";
import {
  type DownloadRequest,
  downloadRequestKind,
  type ServerStatusRequest,
  serverStatusRequestKind,
} from "./kinds/server-requests.ts";
import {
  type BackupStorageLocation,
  backupStorageLocationKind,
  type VolumeSnapshotLocation,
  volumeSnapshotLocationKind,
} from "./kinds/storage-locations.ts";
import {
  type VolumeSnapshotBackup,
  type VolumeSnapshotRestore,
  volumeSnapshotBackupKind,
  volumeSnapshotRestoreKind,
} from "./kinds/volsync.ts";
import {
  type VolumeSnapshot,
  type VolumeSnapshotClass,
  type VolumeSnapshotContent,
  volumeSnapshotClassKind,
  volumeSnapshotContentKind,
  volumeSnapshotKind,
} from "./kinds/volume-snapshot.ts";
import { customKinds } from "./kinds.ts";
import { apiVersionOf, type KubeObject, type Resource } from "./kube-object.ts";

/** Whether an object says that it is of this kind. Looks at `apiVersion` and `kind` alone, so it costs next to nothing. */
export function isOfKind<T extends KubeObject>(
  resource: Resource<T>,
  object: KubeObject,
): object is T {
  return object.kind === resource.kind && object.apiVersion === apiVersionOf(resource);
}

/** The custom kind of an object, if it is one of this package. */
export function customKindOf(object: KubeObject): CustomKind | undefined {
  return customKinds.find(({ resource }) => isOfKind(resource, object));
}

/**
 * `value` itself, when it has the shape of the kind. `apiVersion` and `kind` may be absent, as in the items of some lists.
 * @throws {FormatError} `DM_CRD_OBJECT_INVALID` with the path and reason of every fault; values are not repeated.
 * @throws {RangeError} when the resource is not one of the custom kinds of this package.
 * @example const upload = checkObject(dataUploads, JSON.parse(text));
 */
export function checkObject<T extends KubeObject>(resource: Resource<T>, value: unknown): T {
  const kind = customKinds.find(
    (candidate) =>
      candidate.resource.kind === resource.kind && candidate.resource.group === resource.group,
  );
  if (kind === undefined) throw new RangeError(`no schema for ${resource.kind}.${resource.group}`);
  const result = kind.schema.safeParse(value);
  if (result.success) return value as T;
  const { namespace, name } = (value as Partial<KubeObject> | undefined)?.metadata ?? {};
  const faults = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  const where = [namespace, name].filter((part) => typeof part === "string").join("/");
  throw new FormatError(
    "DM_CRD_OBJECT_INVALID",
    `${resource.kind}${where === "" ? "" : ` ${where}`} is not valid: ${faults.join("; ")}`,
    { kind: resource.kind, namespace, name, faults },
  );
}

function guardOf<T extends KubeObject>({ resource, schema }: CustomKind<T>) {
  return (value: unknown): value is T =>
    typeof value === "object" &&
    value !== null &&
    isOfKind(resource, value as KubeObject) &&
    schema.safeParse(value).success;
}
type Guard<T> = (value: unknown) => value is T;

export const isDataUpload: Guard<DataUpload> = guardOf(dataUploadKind);
export const isDataDownload: Guard<DataDownload> = guardOf(dataDownloadKind);
export const isBackupRepository: Guard<BackupRepository> = guardOf(backupRepositoryKind);
export const isBackup: Guard<Backup> = guardOf(backupKind);
export const isRestore: Guard<Restore> = guardOf(restoreKind);
export const isBackupStorageLocation: Guard<BackupStorageLocation> =
  guardOf(backupStorageLocationKind);
export const isVolumeSnapshotLocation: Guard<VolumeSnapshotLocation> = guardOf(
  volumeSnapshotLocationKind,
);
export const isDeleteBackupRequest: Guard<DeleteBackupRequest> = guardOf(deleteBackupRequestKind);
export const isSchedule: Guard<Schedule> = guardOf(scheduleKind);
export const isPodVolumeBackup: Guard<PodVolumeBackup> = guardOf(podVolumeBackupKind);
export const isPodVolumeRestore: Guard<PodVolumeRestore> = guardOf(podVolumeRestoreKind);
export const isServerStatusRequest: Guard<ServerStatusRequest> = guardOf(serverStatusRequestKind);
export const isDownloadRequest: Guard<DownloadRequest> = guardOf(downloadRequestKind);
export const isDataProtectionApplication: Guard<DataProtectionApplication> = guardOf(
  dataProtectionApplicationKind,
);
export const isVolumeSnapshot: Guard<VolumeSnapshot> = guardOf(volumeSnapshotKind);
export const isVolumeSnapshotContent: Guard<VolumeSnapshotContent> =
  guardOf(volumeSnapshotContentKind);
export const isVolumeSnapshotClass: Guard<VolumeSnapshotClass> = guardOf(volumeSnapshotClassKind);
export const isVolumeSnapshotBackup: Guard<VolumeSnapshotBackup> =
  guardOf(volumeSnapshotBackupKind);
export const isVolumeSnapshotRestore: Guard<VolumeSnapshotRestore> =
  guardOf(volumeSnapshotRestoreKind);
