/**
 * What to do about a DeleteBackupRequest. Pure: no I/O, no clock; each branch is a row of a table in the test.
 *
 * As Velero does it, with these differences: a request found InProgress is gone on with (Velero leaves it until it expires); of several
 * requests for one backup the oldest is carried out; a backup whose data is still being moved, or restored, is not deleted.
 * Proof: test/retention/decide-deletion.test.ts.
 * @module
 */
import {
  type Backup,
  type BackupStorageLocation,
  type DataUpload,
  type DeleteBackupRequest,
  isFinalBackupPhase,
  isFinalPhase,
  labels,
  type PodVolumeBackup,
  phaseOf,
  type Restore,
} from "@dm/crds";

export interface SeenRequest {
  readonly request: DeleteBackupRequest;
  /** All others for the same backup. */
  readonly others: readonly DeleteBackupRequest[];
  readonly backup: Backup | undefined;
  /** The backup's; undefined when there is none. */
  readonly location: BackupStorageLocation | undefined;
  readonly restores: readonly Restore[];
  /** Of the backup. */
  readonly movements: readonly (DataUpload | PodVolumeBackup)[];
  readonly limits: { readonly maxAgeMs: number; readonly cancelTimeoutMs: number };
}

export type RequestDecision =
  | { readonly do: "wait"; readonly ms: number }
  /** This request; it has been read, or another one does the same. */
  | { readonly do: "forget" }
  | { readonly do: "refuse"; readonly reason: string }
  /** The backup is gone: all requests for it may go. */
  | { readonly do: "finish" }
  | { readonly do: "cancel"; readonly movements: readonly (DataUpload | PodVolumeBackup)[] }
  | {
      readonly do: "delete";
      readonly backup: Backup;
      readonly location: BackupStorageLocation;
      readonly others: readonly DeleteBackupRequest[];
    };

export function decideDeletion(seen: SeenRequest, nowMs: number): RequestDecision {
  const { backup, limits, location, request } = seen;
  const phase = phaseOf(request);
  if (phase === "Processed") {
    // All went well, and then the process was killed.
    if (!request.status?.errors?.length) return { do: "forget" };
    const createdMs = Date.parse(request.metadata.creationTimestamp ?? "") || nowMs;
    const leftMs = createdMs + limits.maxAgeMs - nowMs;
    return leftMs > 0 ? { do: "wait", ms: Math.min(leftMs, limits.maxAgeMs) } : { do: "forget" };
  }
  const { backupName } = request.spec;
  if (!backupName) return refuse("spec.backupName is required");
  if (seen.others.some((other) => phaseOf(other) !== "Processed" && isBefore(other, request)))
    return { do: "forget" };
  if (backup === undefined) {
    const hasBegun = phase === "InProgress" && request.metadata.labels?.[labels.backupUid];
    return hasBegun ? { do: "finish" } : refuse("backup not found");
  }
  const backupPhase = phaseOf(backup);
  if (!isFinalBackupPhase(backupPhase) && backupPhase !== "Deleting")
    return refuse("backup is still in progress");
  const locationName = backup.spec?.storageLocation ?? "";
  if (location === undefined) return refuse(`backup storage location ${locationName} not found`);
  if (location.spec.accessMode === "ReadOnly")
    return refuse(
      `cannot delete backup because backup storage location ${locationName} is currently in read-only mode`,
    );
  if (location.status?.phase !== "Available")
    return refuse(
      `cannot delete backup because backup storage location ${locationName} is currently in Unavailable state`,
    );
  const busy = seen.restores.find(({ status }) => {
    const restorePhase = status?.phase;
    return restorePhase && restorePhase !== "New" && !isFinalBackupPhase(restorePhase);
  });
  if (busy) return refuse(`restore ${busy.metadata.name} of the backup is still in progress`);
  return ofMovements(seen, backup, location, nowMs);
}

function ofMovements(
  { limits, movements, others, request }: SeenRequest,
  backup: Backup,
  location: BackupStorageLocation,
  nowMs: number,
): RequestDecision {
  const moving = movements.filter(
    ({ metadata, status }) => !isFinalPhase(status?.phase) && !metadata.deletionTimestamp,
  );
  if (moving.length === 0) return { do: "delete", backup, location, others };
  const createdMs = Date.parse(request.metadata.creationTimestamp ?? "") || nowMs;
  if (nowMs - createdMs >= limits.cancelTimeoutMs) {
    const names = moving.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    return refuse(
      `data of the backup is still being moved, although it was cancelled: ${names.join(", ")}`,
    );
  }
  return { do: "cancel", movements: moving.filter(({ spec }) => !spec.cancel) };
}

const refuse = (reason: string): RequestDecision => ({ do: "refuse", reason });

/** Of two requests that arrive at once, all processes choose the same. */
function isBefore(
  { metadata: one }: DeleteBackupRequest,
  { metadata: two }: DeleteBackupRequest,
): boolean {
  const times = [one, two].map(({ creationTimestamp }) => Date.parse(creationTimestamp ?? "") || 0);
  if (times[0] !== times[1]) return (times[0] ?? 0) < (times[1] ?? 0);
  return (one.name ?? "") < (two.name ?? "");
}
