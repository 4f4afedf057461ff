export {
  type MigrateEvent,
  type MigrateOptions,
  type MigrateReport,
  migrateSnapshots,
} from "./copy/migrate-snapshots.ts";
export {
  type ChangedAttribute,
  type Difference,
  type DifferenceCounts,
  DifferenceStatistics,
  diffTrees,
} from "./diff.ts";
export {
  compareEntries,
  type Directory,
  decodeDirectory,
  encodeDirectory,
} from "./directory-codec.ts";
export { type DirectoryEntry, type EntryType, encodeEntry } from "./directory-entry.ts";
export { diagnoseRepository } from "./doctor/diagnose.ts";
export {
  type DiagnoseOptions,
  type Diagnosis,
  type DoctorFinding,
  type DoctorProgress,
  damagedBlobPrefix,
  type ExaminedPart,
  type RepairStep,
} from "./doctor/diagnosis.ts";
export type { PlannedWrite } from "./doctor/draft-store.ts";
export { type RepairOptions, repairRepository } from "./doctor/repair.ts";
export {
  deleteSnapshots,
  type ManifestWriter,
  pinSnapshot,
  putSnapshot,
  updateSnapshot,
} from "./edit.ts";
export {
  type EstimateSnapshotOptions,
  estimateSnapshot,
  type NewData,
  type SnapshotEstimate,
} from "./estimate/estimate-snapshot.ts";
export type { FileGroup, SizeBucket } from "./estimate/size-buckets.ts";
export {
  decodeExtendedMetadata,
  type ExtendedAttribute,
  type ExtendedMetadata,
  encodeExtendedMetadata,
  hasExtendedMetadata,
} from "./extended-metadata.ts";
export { compileNamePattern } from "./fix/name-pattern.ts";
export {
  type RewriteSnapshotsOptions,
  type RewrittenSnapshot,
  rewriteSnapshots,
} from "./fix/rewrite-snapshots.ts";
export type { InvalidEntryHandling, RewriteEntry, RewriteTreeOptions } from "./fix/rewrite-tree.ts";
export { type UnreadableFilesOptions, unreadableFiles } from "./fix/unreadable-files.ts";
export { type RemovedFiles, withoutFiles } from "./fix/without-files.ts";
export { type CollectGarbageOptions, collectGarbage } from "./gc/collect-garbage.ts";
export {
  type Amount,
  type ForecastSpaceOptions,
  forecastSpace,
  type SpaceForecast,
} from "./gc/forecast-space.ts";
export {
  type LiveContentsOptions,
  type LiveContentsProgress,
  liveContents,
} from "./gc/live-contents.ts";
export {
  type CoveringSnapshot,
  type PathHistoryOptions,
  type PathVersion,
  pathHistory,
  snapshotsCovering,
} from "./history.ts";
export type { RawMember } from "./members.ts";
export { formatMode, goModeFromPosix, posixModeFromGo } from "./mode.ts";
export { openPlace, type PlaceSource, type SnapshotPlace } from "./place.ts";
export { type EffectivePolicy, effectivePolicy } from "./policy/effective-policy.ts";
export { expiredSnapshots, expireSnapshots, retentionOf } from "./policy/expire.ts";
export {
  cacheDirectoryTag,
  IgnoreContext,
  isCacheDirectoryTag,
  type ReadDotFile,
} from "./policy/ignore-context.ts";
export { compileIgnorePattern, type IgnorePattern } from "./policy/ignore-pattern.ts";
export {
  checkPolicy,
  deletePolicy,
  listPolicies,
  openPolicy,
  type PolicyWriter,
  readPolicy,
  type StoredPolicy,
  setPolicy,
  updatePolicy,
} from "./policy/policies.ts";
export {
  type ActionCommand,
  type ActionsPolicy,
  type CompressionPolicy,
  type DirectoryLoggingPolicy,
  defaultPolicy,
  type EntryLoggingPolicy,
  type ErrorHandlingPolicy,
  emptyPolicy,
  type FilesPolicy,
  type LoggingPolicy,
  type MetadataCompressionPolicy,
  type OsSnapshotsPolicy,
  type Policy,
  type RetentionPolicy,
  type SchedulingPolicy,
  type SplitterPolicy,
  sortedTimesOfDay,
  type TimeOfDay,
  type UploadPolicy,
  type VolumeShadowCopyPolicy,
} from "./policy/policy.ts";
export { decodePolicy, encodePolicy, unknownPolicyMembers } from "./policy/policy-codec.ts";
export { globalPolicyTarget, type PolicyTarget, policyLabels } from "./policy/policy-target.ts";
export { type PolicyTree, policyTree } from "./policy/policy-tree.ts";
export {
  compactRetentionReasons,
  type RetainedSnapshot,
  retentionReasons,
} from "./policy/retention.ts";
export {
  compressorOf,
  type IgnoredErrors,
  ignoredErrorsOf,
  metadataCompressorOf,
  parallelFileReadsOf,
  partBytesOf,
  splitterOf,
} from "./policy/upload-choices.ts";
export type {
  RestoreLoss,
  RestoreOptions,
  RestoreProgress,
  RestoreReport,
} from "./restore/restore-types.ts";
export {
  decodeSnapshotManifest,
  encodeSnapshotManifest,
  type Snapshot,
  type SnapshotSource,
  type SnapshotStats,
} from "./snapshot-codec.ts";
export {
  findSnapshots,
  type ListSnapshotsOptions,
  listSnapshots,
  type ManifestSource,
  openSnapshot,
  snapshotLabels,
} from "./snapshots.ts";
export type {
  LocalPath,
  SourceDirectory,
  SourceEntry,
  SourceFailure,
  SourceFile,
  SourceLink,
  SourceMetadata,
  SourceSpecial,
} from "./source/source-entry.ts";
export { RecordedFailure, storedSource } from "./source/stored-source.ts";
export { streamSource } from "./source/stream-source.ts";
export { type StorageStats, type StorageUsage, storageStats } from "./storage-stats.ts";
export { type DirectorySummary, type FailedEntry, summarizeDirectory } from "./summary.ts";
export {
  entryOfObject,
  findEntry,
  type ObjectSource,
  openFile,
  readDirectory,
  readLink,
  shownEntry,
  type TreeItem,
  type WalkOptions,
  walkTree,
} from "./tree.ts";
export type { DataPlane, StoredFile, StoreFileOptions, StoreTask } from "./upload/data-plane.ts";
export { inPlacePlane, type PlaneSession } from "./upload/in-place-plane.ts";
export { previousSnapshots } from "./upload/previous.ts";
export type { UploadFailure } from "./upload/tree-upload.ts";
export {
  maxCheckpointIntervalMs,
  type UploadedSnapshot,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "./upload/upload.ts";
export type { ProgressListener, UploadProgress } from "./upload/upload-progress.ts";
export {
  chooseVeleroParent,
  findVeleroParent,
  setVeleroPolicy,
  type VeleroPolicyOptions,
  type VeleroRequester,
  veleroHost,
  veleroPartBytes,
  veleroPolicy,
  veleroSnapshot,
  veleroSource,
  veleroTags,
  veleroUser,
} from "./velero/velero.ts";
export {
  decodeVeleroRepository,
  encodeVeleroRepository,
  isVeleroRepository,
  type SetUpVeleroOptions,
  setUpVeleroRepository,
  veleroRepositoryBlobId,
} from "./velero/velero-repository.ts";
export { type FileChoice, nextFrom } from "./verify/file-choice.ts";
export { ReadProofs } from "./verify/read-proofs.ts";
export {
  type VerifyReportFile,
  type VerifyReportOptions,
  verifyReportFile,
} from "./verify/verify-report.ts";
export {
  type SnapshotFinding,
  type VerifiedTree,
  type VerifySnapshotOptions,
  type VerifySnapshotProgress,
  type VerifySnapshotReport,
  verifySnapshot,
  verifySnapshots,
} from "./verify/verify-snapshots.ts";
export type { ByteRange } from "./volume/byte-ranges.ts";
export {
  type RestoredObject,
  type RestoreObjectOptions,
  restoreObject,
  type VolumeLoss,
  type VolumeRestoreProgress,
  type VolumeTarget,
} from "./volume/restore-object.ts";
export {
  beginVolume,
  type ChunkSink,
  type PutChunkOptions,
  type StoredVolume,
  type StoreVolumeOptions,
  storeVolume,
  type VolumeProgress,
  type VolumeSession,
  type VolumeTask,
} from "./volume/store-volume.ts";
export {
  type UploadedVolume,
  type UploadVolumeOptions,
  uploadVolume,
} from "./volume/upload-volume.ts";
export type { ChangedBlocks, Volume } from "./volume/volume.ts";
export {
  isSourceVolume,
  type SourceVolume,
  type VolumeSourceOptions,
  volumeFile,
  volumeSource,
} from "./volume/volume-entry.ts";
export { type ChunkPlane, type VolumePlaneOptions, volumePlane } from "./volume/volume-plane.ts";
