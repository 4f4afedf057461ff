export {
  type BackupVeleroVolumeOptions,
  backupVeleroVolume,
  forgetVeleroCheckpoints,
  type VeleroBackup,
  type VeleroOperation,
  type VeleroVolumeMode,
  type VeleroVolumeProgress,
} from "./backup-volume.ts";
export {
  type VeleroBackend,
  type VeleroLocation,
  veleroBackend,
  veleroBucket,
  veleroFolder,
  veleroPrefix,
} from "./location.ts";
export {
  type CreateVeleroOptions,
  connectOrCreateVeleroRepository,
  type OpenVeleroOptions,
  openVeleroRepository,
  veleroDefaultPassword,
  veleroPasswordSecret,
} from "./open-repository.ts";
export {
  type RestoreVeleroVolumeOptions,
  restoreVeleroVolume,
  type VeleroRestore,
} from "./restore-volume.ts";
export {
  checkVeleroLocation,
  listVeleroFolders,
  type OpenVeleroStoreOptions,
  openVeleroFolder,
  openVeleroStore,
  removeVeleroFolder,
  signVeleroUrl,
} from "./store.ts";
export {
  deleteVeleroSnapshots,
  listVeleroSnapshots,
  maintainVeleroRepository,
  type VeleroMaintenance,
  type VeleroManifest,
} from "./upkeep.ts";
