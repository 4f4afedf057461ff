/**
 * What phases mean: which ones an object never leaves.
 * Proof: test/phases.test.ts.
 * @module
 */
import type { BackupPhase } from "./kinds/backup.ts";
import type { DataMovementPhase } from "./kinds/data-movement.ts";
import type { RestorePhase } from "./kinds/restore.ts";

const finalPhases: ReadonlySet<string> = new Set<DataMovementPhase>([
  "Canceled",
  "Completed",
  "Failed",
]);

/** Whether a DataUpload, DataDownload, PodVolumeBackup or PodVolumeRestore is over. */
export function isFinalPhase(phase: string | undefined): boolean {
  return phase !== undefined && finalPhases.has(phase);
}

const finalBackupPhases: ReadonlySet<string> = new Set<BackupPhase & RestorePhase>([
  "FailedValidation",
  "Completed",
  "PartiallyFailed",
  "Failed",
]);

/** Whether a Backup or Restore is over. A Backup that is over can still be deleted. */
export function isFinalBackupPhase(phase: string | undefined): boolean {
  return phase !== undefined && finalBackupPhases.has(phase);
}

/** The phase of an object to which nothing has happened yet is empty. */
export function phaseOf<Phase extends string>(object: {
  readonly status?: { readonly phase?: Phase };
}): Phase | "New" {
  const phase = object.status?.phase;
  return phase === undefined || (phase as string) === "" ? "New" : phase;
}
