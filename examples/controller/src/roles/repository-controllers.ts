/**
 * The controllers of storage locations and repositories, on a manager.
 * Proof: test/demo.test.ts.
 * @module
 */
import { reconcileBackupRepository, reconcileStorageLocation } from "@dm/controller";
import { createEventRecorder, type Manager, source } from "@dm/controller/runtime";
import { systemClock } from "@dm/core";
import {
  backupRepositories,
  backupStorageLocations,
  jobs,
  labels,
  repositoryLabelValue,
} from "@dm/crds";
import type { ServerContext } from "./server-controllers.ts";
import { durationText, type ServerOptions } from "./server-flags.ts";

export function addLocationController(
  manager: Manager,
  { client, clock = systemClock, environment, logger, namespace }: ServerContext,
  { storeValidationFrequency: validationFrequencyMs }: ServerOptions,
): void {
  const deps = { client, clock, logger, environment, validationFrequencyMs };
  manager.add({
    name: "BackupStorageLocation",
    sources: [source(manager.cache(backupStorageLocations, { namespace }))],
    reconcile: (key, signal) => reconcileStorageLocation(deps, key, { signal }),
  });
}

export function addRepositoryController(
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
    maintenanceConfigMap: options.repoMaintenanceJobConfigmap,
    keepLatestMaintenanceJobs: options.keepLatestMaintenanceJobs,
    serverDeployment: options.deployment,
    missingPassword: options.randomPassword ? ("random" as const) : undefined,
    maintenanceFrequency: frequencyMs === undefined ? undefined : durationText(`${frequencyMs}ms`),
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
}
