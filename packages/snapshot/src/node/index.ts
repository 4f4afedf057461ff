export { type CreateSnapshotOptions, createSnapshot } from "./create-snapshot.ts";
export {
  createDataPlane,
  type DataPlaneDescription,
  type DataPlaneOptions,
  type WorkerDataPlane,
} from "./data-plane/data-plane.ts";
export {
  type LostAttribute,
  readExtendedAttributes,
  writeExtendedAttributes,
} from "./extended-metadata.ts";
export { type LocalListing, listLocalDirectory } from "./local-directory.ts";
export { type LocalSourceOptions, openLocalSource } from "./local-source.ts";
export {
  describePosix,
  type LoadPosixOptions,
  loadPosix,
  type PosixBackend,
} from "./posix/load-posix.ts";
export type { ByteRange, Posix } from "./posix/posix.ts";
export { expandPlaceholder, isPlaceholder } from "./restore/expand-placeholder.ts";
export {
  type ArchiveFormat,
  archiveFormatOf,
  type RestoreArchiveOptions,
  restoreArchive,
  streamArchive,
} from "./restore/restore-archive.ts";
export { restoreTree } from "./restore/restore-tree.ts";
export { type RestoredVolume, type RestoreVolumeOptions, restoreVolume } from "./restore-volume.ts";
export { type LocalVolume, type OpenVolumeOptions, openVolume } from "./volume-source.ts";
export {
  type LocalVolumeTarget,
  type OpenVolumeTargetOptions,
  openVolumeTarget,
} from "./volume-target.ts";
