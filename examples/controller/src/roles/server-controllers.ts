/**
 * All controllers of the server, on a manager: locations, repositories, Backups and Restores.
 * Proof: test/story.test.ts.
 * @module
 */
import {
  addBackupControllers,
  addMetricsObserver,
  addRequestControllers,
  addRestoreControllers,
  addRetentionControllers,
  addScheduleController,
  type BackupSettings,
  bucketFolders,
  type RetentionSettings,
} from "@dm/controller";
import {
  apiDiscovery,
  createEventRecorder,
  type Manager,
  type NodeKubeClient,
} from "@dm/controller/runtime";
import { type Clock, type Logger, systemClock } from "@dm/core";
import { addLocationController, addRepositoryController } from "./repository-controllers.ts";
import type { ControllerName, ServerOptions } from "./server-flags.ts";

export interface ServerContext {
  readonly client: NodeKubeClient;
  readonly namespace: string;
  readonly logger: Logger;
  readonly environment: NodeJS.ProcessEnv;
  /** Of the server itself: restored pods wait for their files in a container of it. */
  readonly image: string;
  readonly clock?: Clock | undefined;
}

/** Call before the manager runs. */
export function addServerControllers(
  manager: Manager,
  context: ServerContext,
  options: ServerOptions,
): void {
  const isOn = (...names: ControllerName[]): boolean =>
    names.some((name) => !options.disableControllers.includes(name));
  addLocationController(manager, context, options);
  if (isOn("backup-repo")) addRepositoryController(manager, context, options);
  const { client, clock = systemClock, image, logger, namespace } = context;
  const events = createEventRecorder(client, { component: "dm-server", clock, logger });
  const common = { client, namespace, logger, clock, environment: context.environment, events };
  const backupCommon = {
    ...common,
    discovery: apiDiscovery(client),
    exec: client.exec,
    openFolder: bucketFolders(client, { clock, logger }),
    settings: backupSettings(options),
  };
  if (isOn("backup")) addBackupControllers(manager, backupCommon);
  const restoreWait = { image, args: ["restore-wait"] };
  if (isOn("restore"))
    addRestoreControllers(manager, {
      ...backupCommon,
      restoreWait,
      resourcePriorities: options.restoreResourcePriorities,
      terminatingTimeoutMs: options.terminatingResourceTimeout,
    });
  if (isOn("backup-sync", "gc", "backup-deletion"))
    addRetentionControllers(without(options.disableControllers, manager), {
      ...common,
      settings: retentionSettings(options),
    });
  // What is derived from objects needs to watch all of their kinds.
  if (isOn("backup")) addMetricsObserver(manager, { namespace, isActive: () => manager.isLeader });
  if (isOn("schedule"))
    addScheduleController(manager, { ...common, skipImmediately: options.scheduleSkipImmediately });
  if (isOn("download-request", "server-status-request"))
    addRequestControllers(without(options.disableControllers, manager), {
      ...common,
      serverVersion,
    });
}

/** What `velero version` shows. */
const serverVersion = "v0.0.0 (dm)";

/** Controllers that come together, under Velero's names. */
const veleroNames: Readonly<Record<string, ControllerName>> = {
  BackupSync: "backup-sync",
  BackupExpiry: "gc",
  DeleteBackupRequest: "backup-deletion",
  DownloadRequest: "download-request",
  ServerStatusRequest: "server-status-request",
};

/** A manager that leaves these out. */
function without(disabled: readonly string[], manager: Manager): Manager {
  const rest = Object.create(manager) as Manager;
  rest.add = (controller, more) => {
    if (!disabled.includes(veleroNames[controller.name] ?? "")) manager.add(controller, more);
  };
  return rest;
}

/** Only what was said: everything else is the controllers' own default. */
export function backupSettings(options: ServerOptions): Partial<BackupSettings> {
  const said: { -readonly [Key in keyof BackupSettings]?: BackupSettings[Key] | undefined } = {
    ttl: options.defaultBackupTtl,
    itemOperationTimeout: options.defaultItemOperationTimeout,
    snapshotMoveData: options.defaultSnapshotMoveData,
    defaultVolumesToFsBackup: options.defaultVolumesToFsBackup,
    concurrentBackups: options.concurrentBackups,
    podVolumeTimeoutMs: options.podVolumeOperationTimeout ?? options.fsBackupTimeout,
    uploaderType: options.uploaderType,
    storageLocation: options.defaultBackupStorageLocation,
    snapshotPollMs: options.csiSnapshotPoll,
    operationPollMs: options.itemOperationSyncFrequency,
    resourceTimeoutMs: options.resourceTimeout,
  };
  return defined(said);
}

export function retentionSettings(options: ServerOptions): Partial<RetentionSettings> {
  return defined({
    backupSyncPeriodMs: options.backupSyncPeriod,
    gcPeriodMs: options.garbageCollectionFrequency,
  });
}

function defined<T extends object>(settings: T): { [Key in keyof T]?: NonNullable<T[Key]> } {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: NonNullable<T[Key]> };
}
