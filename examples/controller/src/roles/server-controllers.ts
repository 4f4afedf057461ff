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
  reconcileBackupRepository,
  reconcileStorageLocation,
} from "@dm/controller";
import {
  apiDiscovery,
  createEventRecorder,
  type Manager,
  type NodeKubeClient,
  source,
} from "@dm/controller/runtime";
import { type Clock, type Logger, systemClock } from "@dm/core";
import {
  backupRepositories,
  backupStorageLocations,
  jobs,
  labels,
  repositoryLabelValue,
} from "@dm/crds";
import { type ControllerName, durationText, type ServerOptions } from "./server-flags.ts";

export interface ServerContext {
  readonly client: NodeKubeClient;
  readonly namespace: string;
  readonly logger: Logger;
  readonly environment: NodeJS.ProcessEnv;
  readonly clock?: Clock | undefined;
}

/** Call before the manager runs. */
export function addServerControllers(
  manager: Manager,
  context: ServerContext,
  options: ServerOptions,
): void {
  addRepositoryControllers(manager, context, options);
  const { client, clock = systemClock, logger, namespace } = context;
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
  const isOn = (name: ControllerName): boolean => !options.disableControllers.includes(name);
  if (isOn("backup")) addBackupControllers(manager, common);
  if (isOn("restore")) addRestoreControllers(manager, common);
}

/** Only what was said: everything else is the controllers' own default. */
export function backupSettings(options: ServerOptions): Partial<BackupSettings> {
  const said: { -readonly [Key in keyof BackupSettings]?: BackupSettings[Key] | undefined } = {
    ttl: options.defaultBackupTtl,
    itemOperationTimeout: options.defaultItemOperationTimeout,
    snapshotMoveData: options.defaultSnapshotMoveData,
    storageLocation: options.defaultBackupStorageLocation,
    operationPollMs: options.itemOperationSyncFrequency,
    resourceTimeoutMs: options.resourceTimeout,
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function addRepositoryControllers(
  manager: Manager,
  { client, clock = systemClock, environment, logger, namespace }: ServerContext,
  options: ServerOptions,
): void {
  const repositories = manager.cache(backupRepositories, { namespace });
  const locations = manager.cache(backupStorageLocations, { namespace });
  const maintenance = manager.cache(jobs, { namespace, labelSelector: labels.repoName });
  const frequencyMs = options.defaultRepoMaintainFrequency;
  const deps = {
    client,
    clock,
    logger,
    environment,
    events: createEventRecorder(client, { component: "dm-server", logger }),
    configMap: options.backupRepositoryConfigmap,
    serverDeployment: options.deployment,
    missingPassword: options.randomPassword ? ("random" as const) : undefined,
    maintenanceFrequency: frequencyMs === undefined ? undefined : durationText(`${frequencyMs}ms`),
    validationFrequencyMs: options.storeValidationFrequency,
  };
  manager.add({
    name: "BackupRepository",
    sources: [
      source(repositories),
      source(locations, ({ metadata }) =>
        repositories
          .list()
          .filter(({ spec }) => spec.backupStorageLocation === metadata.name)
          .map((repository) => ({ namespace, name: repository.metadata.name ?? "" })),
      ),
      // A maintenance that has ended becomes a record.
      source(maintenance, ({ metadata }) =>
        repositories
          .list()
          .map((repository) => repository.metadata.name ?? "")
          .filter((name) => repositoryLabelValue(name) === metadata.labels?.[labels.repoName])
          .map((name) => ({ namespace, name })),
      ),
    ],
    reconcile: (key, signal) => reconcileBackupRepository(deps, key, { signal }),
  });
  manager.add({
    name: "BackupStorageLocation",
    sources: [source(locations)],
    reconcile: (key, signal) => reconcileStorageLocation(deps, key, { signal }),
  });
}
