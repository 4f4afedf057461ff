export type { ContentCache } from "./cache/content-cache.ts";
export { memoryCache } from "./cache/memory-cache.ts";
export type { DamagedIndexBlob } from "./content/committed-index.ts";
export { ContentDecoder } from "./content/content-decoder.ts";
export type { ContentReader } from "./content/content-reader.ts";
export type { SealedContent, WriteContentOptions } from "./content/content-writer.ts";
export {
  decodeSessionMarker,
  isSessionMarkerBlobId,
  type SessionMarker,
  sessionIdOfPack,
} from "./content/session-marker.ts";
export {
  type ContentId,
  contentIdFromHash,
  contentIdHash,
  contentIdPrefix,
  parseContentId,
} from "./content-id.ts";
export { type CreateRepositoryOptions, createRepository } from "./create.ts";
export {
  type Crypter,
  type CrypterFormat,
  contentIv,
  createCrypter,
  isSealedBlob,
  openBlob,
  sealBlob,
} from "./crypto/crypter.ts";
export { isDamage } from "./damage.ts";
export { createEcc, type Ecc } from "./ecc/index.ts";
export {
  layoutOfStored,
  type ShardLayout,
  type ShardParameters,
  shardChecksumBytes,
  shardParameters,
} from "./ecc/shard-layout.ts";
export { type BlobConfig, blobConfigId } from "./format/blob-config.ts";
export { type ChangeFormatOptions, changePassword, setParameters } from "./format/change-format.ts";
export {
  type CreateFormatOptions,
  createRepositoryFormat,
  type NewFormatSettings,
} from "./format/create-format.ts";
export { type EnvironmentFormat, formatFromEnvironment } from "./format/environment-format.ts";
export {
  type FindFormatCopiesOptions,
  type FormatCopy,
  findFormatCopies,
} from "./format/find-format-copy.ts";
export { formatBlobId } from "./format/format-blob.ts";
export { FormatMonitor } from "./format/format-monitor.ts";
export {
  type DeriveKey,
  type OpenedFormat,
  type OpenFormatOptions,
  openRepositoryFormat,
  previousBlobConfigId,
} from "./format/format-store.ts";
export { deriveRepositoryKey } from "./format/keys.ts";
export {
  defaultEpochParameters,
  type EpochParameters,
  type RepositoryFormat,
} from "./format/repository-format.ts";
export { beginUpgradeLock, poisonBlobId, rollbackUpgrade } from "./format/upgrade.ts";
export { ContentMarks } from "./index-blob/content-marks.ts";
export type { IndexEntry } from "./index-blob/entry.ts";
export type { MergedIndex } from "./index-blob/merged.ts";
export { openIndex, type PackIndex } from "./index-blob/open.ts";
export { EpochManager } from "./index-manager/epoch-manager.ts";
export type { EpochState } from "./index-manager/epoch-state.ts";
export { V0Manager } from "./index-manager/v0-manager.ts";
export {
  compareUtf8,
  formatDuration,
  formatTime,
  goJsonString,
  goJsonStringMap,
  parseTime,
} from "./json/go-json.ts";
export { rawElements, rawMembers } from "./json/raw-json.ts";
export { type Forecast, type ForecastRun, forecastMaintenance } from "./maintenance/forecast.ts";
export {
  defaultMaintenanceParameters,
  type MaintenanceParameters,
  maintenanceLabels,
  readMaintenanceParameters,
  writeMaintenanceParameters,
} from "./maintenance/parameters.ts";
export { shortPackShare } from "./maintenance/rewrite-short-packs.ts";
export {
  type CollectGarbage,
  type CollectionFigures,
  dueMaintenance,
  type MaintenanceOptions,
  type MaintenanceReport,
  type MaintenanceTaskReport,
  runMaintenance,
} from "./maintenance/run.ts";
export { type SafetyParameters, safetyParameters } from "./maintenance/safety.ts";
export {
  type MaintenanceRun,
  type MaintenanceSchedule,
  type MaintenanceTask,
  pauseMaintenance,
  readSchedule,
  scheduleBlobId,
} from "./maintenance/schedule.ts";
export type { ManifestEntry } from "./manifest/manifest-codec.ts";
export type { LabelSelector } from "./manifest/manifest-set.ts";
export type { IndirectEntry } from "./object/indirect-codec.ts";
export { isDirectoryObject, type ObjectId, objectId, parseObjectId } from "./object/object-id.ts";
export type { ObjectReader, ReadRangeOptions } from "./object/object-reader.ts";
export {
  type ContentSink,
  ObjectWriter,
  type ObjectWriterOptions,
} from "./object/object-writer.ts";
export { lengthsOfPacks, listPacks } from "./pack/pack-name.ts";
export { type RecoverIndexOptions, type RecoverIndexReport, recoverIndex } from "./recover.ts";
export {
  type ListContentsOptions,
  type OpenRepositoryOptions,
  openRepository,
  Repository,
  type RepositoryCaches,
  type RepositoryOptions,
  type WriteSessionOptions,
} from "./repository.ts";
export {
  type BlobAmount,
  type SyncOptions,
  type SyncProgress,
  type SyncReport,
  syncRepository,
} from "./sync.ts";
export { finishRepositoryUpgrade, upgradeRepository } from "./upgrade-repository.ts";
export {
  type VerifyFinding,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verifyRepository,
} from "./verify.ts";
export type { SealedContents, WriteSession } from "./write-session.ts";
