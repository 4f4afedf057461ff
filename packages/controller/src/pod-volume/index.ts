export { type BoundClaim, type DueVolume, dueVolumes } from "./due-volumes.ts";
export { newPodVolumeBackup, podVolumeSource } from "./pod-volume-backup.ts";
export {
  type BackedUpVolumes,
  backedUpVolumes,
  podVolumeRestoresFor,
} from "./pod-volume-restore.ts";
export { type RestoreWaitSettings, withRestoreWait } from "./restore-wait.ts";
