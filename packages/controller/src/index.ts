export {
  addBackupControllers,
  type BackupControllersOptions,
} from "./backup/backup-controllers.ts";
export {
  type BackupDeps,
  type BackupSettings,
  backupDefaults,
} from "./backup/backup-deps.ts";
export { reconcileBackup } from "./backup/reconcile-backup.ts";
export {
  type BackupFolder,
  type BackupFoldersOptions,
  blobFolder,
  bucketFolders,
  type FolderBlobs,
  type OpenBackupFolder,
} from "./bucket/backup-store.ts";
export { bucketLister, type ListFolders } from "./bucket/list-folders.ts";
export { csiSnapshotExposer } from "./expose/csi-snapshot-exposer.ts";
export type { ExposedVolume, Exposer, RestoreExposer, Step } from "./expose/exposer.ts";
export type { ExposerContext } from "./expose/exposer-context.ts";
export type {
  BackupClaimSettings,
  CacheClaimSettings,
  ExposerSettings,
  LoadAffinity,
  PodResources,
} from "./expose/exposer-settings.ts";
export { genericRestoreExposer } from "./expose/generic-restore-exposer.ts";
export {
  findHostPath,
  type HostPathPattern,
  hostPathGlob,
  hostPathPattern,
  hostPodsProblem,
  kubeletPodUid,
  type PodVolumeSource,
} from "./expose/host-path.ts";
export { type HostingTemplate, hostingTemplateOf } from "./expose/hosting-template.ts";
export { type MetricDescription, metricCatalog } from "./metrics/metric-catalog.ts";
export { addMetricsObserver, type MetricsObserverOptions } from "./metrics/metrics-observer.ts";
export type { AgentDeps, AgentEvent, AgentView } from "./node-agent/agent-deps.ts";
export { type AgentMetrics, noMetrics } from "./node-agent/agent-metrics.ts";
export { type AgentSettings, agentDefaults } from "./node-agent/agent-settings.ts";
export { type CheckHostPodsOptions, checkHostPods } from "./node-agent/check-host-pods.ts";
export { addNodeAgent, type NodeAgentOptions } from "./node-agent/node-agent.ts";
export {
  type NodeAgentConfig,
  parseNodeAgentConfig,
  readNodeAgentConfig,
} from "./node-agent/node-agent-config.ts";
export { patientClient } from "./node-agent/patient-client.ts";
export { patrolTransfers, reconcileTransfer } from "./node-agent/reconcile.ts";
export { createReservations, type Reservations } from "./node-agent/reservations.ts";
export { refuseBesideVelero, type TakeOverOptions } from "./node-agent/take-over.ts";
export type { TransferKey, TransferKind, TransferObject } from "./node-agent/transfer.ts";
export {
  type ApplicationSettings,
  applicationDefaults,
  type SeenApplication,
} from "./oadp/application.ts";
export {
  type ApplicationControllerOptions,
  addApplicationController,
} from "./oadp/application-controller.ts";
export { type FindBucketRegion, findBucketRegion } from "./oadp/bucket-region.ts";
export { type ApplicationDeps, reconcileApplication } from "./oadp/reconcile-application.ts";
export { validateApplication } from "./oadp/validate-application.ts";
export { ensureRepository, findRepository } from "./repository/ensure-repository.ts";
export {
  type OpenSnapshotRepository,
  type SnapshotRepositoriesOptions,
  type SnapshotRepository,
  snapshotRepositories,
} from "./repository/open-repository.ts";
export {
  type RepositoryDeps,
  reconcileBackupRepository,
} from "./repository/reconcile-backup-repository.ts";
export {
  reconcileStorageLocation,
  type StorageLocationDeps,
} from "./repository/reconcile-storage-location.ts";
export { repositoryDefaults } from "./repository/repository-deps.ts";
export {
  type MaintenanceEnd,
  type MaintenanceSettings,
  maintenanceSettings,
  type RunMaintenanceOptions,
  runMaintenance,
} from "./repository/run-maintenance.ts";
export {
  addRequestControllers,
  type RequestControllersOptions,
} from "./requests/request-controllers.ts";
export { builtInPlugins, type Plugin } from "./requests/request-deps.ts";
export { reconcileRestore } from "./restore/reconcile-restore.ts";
export {
  addRestoreControllers,
  type RestoreControllersOptions,
} from "./restore/restore-controllers.ts";
export {
  addRetentionControllers,
  type RetentionControllersOptions,
} from "./retention/retention-controllers.ts";
export {
  type RetentionDeps,
  type RetentionSettings,
  retentionDefaults,
} from "./retention/retention-deps.ts";
export { type CronSchedule, parseCron } from "./schedule/cron.ts";
export {
  addScheduleController,
  type ScheduleControllerOptions,
} from "./schedule/schedule-controller.ts";
