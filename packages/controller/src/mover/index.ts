export { type DataPathKind, dataPathKinds, isBackup, isPodVolume } from "./data-path-kind.ts";
export {
  type AccessPoint,
  type BackupResult,
  canceledText,
  type DataPathOutcome,
  type DataPathProgress,
  type DataPathReason,
  dataPathReasons,
  decodeBackupResult,
  decodeOutcome,
  decodeProgress,
  decodeRestoreResult,
  encodeBackupResult,
  encodeCanceled,
  encodeFailure,
  encodeInterrupted,
  encodeProgress,
  encodeRestoreResult,
  type FailureText,
  failedSteps,
  interruptedText,
  maxTerminationMessageBytes,
  type RestoreResult,
  savedSnapshotNote,
  type TerminatedContainer,
  type VolumeMode,
} from "./data-path-message.ts";
export { type MoverSettings, moverDefaults, moverSettings } from "./mover-settings.ts";
export { type PodConnectionOptions, podConnection } from "./pod-connection.ts";
export { type MoverEnd, type RunMoverOptions, runMover } from "./run-mover.ts";
