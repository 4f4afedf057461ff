export {
  type BoundClaim,
  type DueVolume,
  type DueVolumes,
  type DueVolumesOptions,
  dueVolumes,
} from "./due-volumes.ts";
export {
  type NewPodVolumeBackup,
  newPodVolumeBackup,
  podVolumeSource,
  podVolumeUploader,
} from "./pod-volume-backup.ts";
export {
  type BackedUpVolumes,
  backedUpVolumes,
  type PodVolumeRestoresOptions,
  podVolumeRestoresFor,
  uploaderProblem,
} from "./pod-volume-restore.ts";
export {
  doneDirectory,
  type RestoreWaitSettings,
  restoresPath,
  restoreWaitContainer,
  restoreWaitDefaults,
  withRestoreWait,
} from "./restore-wait.ts";
