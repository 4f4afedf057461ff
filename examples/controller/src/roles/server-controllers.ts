/**
 * All controllers of the server, on a manager: locations, repositories, Backups and Restores.
 * Proof: test/story.test.ts.
 * @module
 */
import {
  addBackupControllers,
  addRestoreControllers,
  type BackupSettings,
  bucketFolders,
} from "@dm/controller";
import { apiDiscovery, type Manager, type NodeKubeClient } from "@dm/controller/runtime";
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
  const isOn = (name: ControllerName): boolean => !options.disableControllers.includes(name);
  addLocationController(manager, context, options);
  if (isOn("backup-repo")) addRepositoryController(manager, context, options);
  const { client, clock = systemClock, image, logger, namespace } = context;
  const common = {
    client,
    namespace,
    logger,
    clock,
    discovery: apiDiscovery(client),
    exec: client.exec,
    openFolder: bucketFolders(client, { clock, logger }),
    settings: backupSettings(options),
  };
  if (isOn("backup")) addBackupControllers(manager, common);
  const restoreWait = { image, args: ["restore-wait"] };
  if (isOn("restore")) addRestoreControllers(manager, { ...common, restoreWait });
}

/** Only what was said: everything else is the controllers' own default. */
export function backupSettings(options: ServerOptions): Partial<BackupSettings> {
  const said: { -readonly [Key in keyof BackupSettings]?: BackupSettings[Key] | undefined } = {
    ttl: options.defaultBackupTtl,
    itemOperationTimeout: options.defaultItemOperationTimeout,
    snapshotMoveData: options.defaultSnapshotMoveData,
    storageLocation: options.defaultBackupStorageLocation,
    snapshotPollMs: options.csiSnapshotPoll,
    operationPollMs: options.itemOperationSyncFrequency,
    resourceTimeoutMs: options.resourceTimeout,
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}
