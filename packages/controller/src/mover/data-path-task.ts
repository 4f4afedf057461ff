/**
 * What an object asks of the data path, whichever of the four kinds it is. Pure.
 * Proof: test/mover/data-path-task.test.ts.
 * @module
 */
import { nsPerMs } from "@dm/core";
import {
  type DataDownload,
  type DataUpload,
  labels,
  type PodVolumeBackup,
  type PodVolumeRestore,
} from "@dm/crds";
import type { VeleroRequester } from "@dm/snapshot";
import type { VeleroOperation } from "@dm/snapshot/velero";
import type { TransferObject } from "../node-agent/transfer.ts";
import { podVolumeSource } from "../pod-volume/pod-volume-backup.ts";
import type { DataPathKind } from "./data-path-kind.ts";

/** What Velero has its movers of pods' volumes ask as, since they run in hosting pods (1.17). */
export const podVolumeRequester: VeleroRequester = "snapshot-pod-volume";

export interface DataPathTask {
  readonly backupStorageLocation: string;
  /** Whose repository it is. */
  readonly sourceNamespace: string;
  /** The uploader's settings. */
  readonly config: Readonly<Record<string, string>>;
}

export interface BackupTask extends DataPathTask {
  readonly requester: VeleroRequester;
  /** The parts of the source's name. */
  readonly volume: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly operation: VeleroOperation;
}

export interface RestoreTask extends DataPathTask {
  readonly snapshotID: string;
  readonly snapshotSize: number;
  /** Uid of the Restore whose pods wait for the file of this name; see `withRestoreWait`. */
  readonly doneFor?: string | undefined;
}

export function taskOf(kind: DataPathKind, { spec }: TransferObject): DataPathTask {
  switch (kind) {
    case "DataUpload":
    case "DataDownload": {
      const { backupStorageLocation, dataMoverConfig, sourceNamespace } =
        spec as DataUpload["spec"];
      return { backupStorageLocation, sourceNamespace, config: dataMoverConfig ?? {} };
    }
    case "PodVolumeBackup": {
      const { backupStorageLocation, pod, uploaderSettings } = spec as PodVolumeBackup["spec"];
      const sourceNamespace = pod.namespace ?? "";
      return { backupStorageLocation, sourceNamespace, config: uploaderSettings ?? {} };
    }
    case "PodVolumeRestore": {
      const { backupStorageLocation, sourceNamespace, uploaderSettings } =
        spec as PodVolumeRestore["spec"];
      return { backupStorageLocation, sourceNamespace, config: uploaderSettings ?? {} };
    }
  }
}

export function backupTask(kind: DataPathKind, object: TransferObject): BackupTask {
  const common = { ...taskOf(kind, object), operation: operationOf(object) };
  if (kind === "PodVolumeBackup") {
    const backup = object as PodVolumeBackup;
    const { tags } = backup.spec;
    const volume = podVolumeSource(backup);
    return { ...common, requester: podVolumeRequester, volume, tags: tags ?? {} };
  }
  const { sourceNamespace, sourcePVC } = (object as DataUpload).spec;
  const volume = [sourceNamespace, sourcePVC];
  return { ...common, requester: "snapshot-data-upload-download", volume, tags: {} };
}

export function restoreTask(kind: DataPathKind, object: TransferObject): RestoreTask {
  const { snapshotID, snapshotSize = 0 } = (object as DataDownload | PodVolumeRestore).spec;
  const task = { ...taskOf(kind, object), snapshotID, snapshotSize };
  if (kind !== "PodVolumeRestore") return task;
  const owner = object.metadata.ownerReferences?.find(({ kind: of }) => of === "Restore");
  return { ...task, doneFor: owner?.uid ?? object.metadata.labels?.[labels.restoreUid] };
}

/**
 * All attempts at one object. A label may have been on an older one, too, whose snapshots are not of this one; a uid is
 * nobody else's, so that clocks need not agree.
 */
function operationOf({ metadata }: TransferObject): VeleroOperation {
  const id = metadata.labels?.[labels.asyncOperationId];
  if (!id) return { id: metadata.uid ?? "", startedAtNs: 0n };
  const createdAtMs = Date.parse(metadata.creationTimestamp ?? "") || 0;
  return { id, startedAtNs: BigInt(createdAtMs) * nsPerMs };
}
