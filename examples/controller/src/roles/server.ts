/**
 * The server: one for the cluster, the controllers of locations, repositories, Backups and Restores.
 * @module
 */
import {
  addBackupControllers,
  addRestoreControllers,
  reconcileBackupRepository,
  reconcileStorageLocation,
} from "@dm/controller";
import {
  apiDiscovery,
  createEventRecorder,
  createManager,
  nodeKubeClient,
  source,
  stopSignal,
} from "@dm/controller/runtime";
import { systemClock } from "@dm/core";
import {
  backupRepositories,
  backupStorageLocations,
  jobs,
  labels,
  repositoryLabelValue,
} from "@dm/crds";
import { endpointsOf, fromEnvironment, loggerOf, type RoleFlags } from "./process.ts";

export interface ServerFlags extends RoleFlags {
  readonly deployment: string;
  readonly backupRepositoryConfigmap?: string | undefined;
  readonly randomPassword: boolean;
}

export async function runServer(flags: ServerFlags): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const client = nodeKubeClient({ userAgent: "dm-server" });
  const manager = createManager({
    client,
    logger,
    endpoints: endpointsOf(flags),
    leader: { namespace, name: "dm-server", identity: fromEnvironment("POD_NAME") },
  });
  const repositories = manager.cache(backupRepositories, { namespace });
  const locations = manager.cache(backupStorageLocations, { namespace });
  const maintenance = manager.cache(jobs, { namespace, labelSelector: labels.repoName });
  const deps = {
    client,
    clock: systemClock,
    logger,
    environment: process.env,
    events: createEventRecorder(client, { component: "dm-server", logger }),
    configMap: flags.backupRepositoryConfigmap,
    serverDeployment: flags.deployment,
    missingPassword: flags.randomPassword ? ("random" as const) : undefined,
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
  const discovery = apiDiscovery(client);
  const backupsAndRestores = { client, namespace, discovery, exec: client.exec, logger };
  addBackupControllers(manager, backupsAndRestores);
  addRestoreControllers(manager, backupsAndRestores);
  try {
    await manager.run(stopSignal());
  } finally {
    client.close();
  }
}
