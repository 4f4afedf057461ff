/**
 * ConfigMaps that an application's programs read. Pure.
 *
 * Different on purpose: the settings of maintenance have one key for each entry, as Velero's server reads them; OADP writes the
 * whole map under one key, which nothing reads.
 * Proof: test/oadp/plan-config-maps.test.ts.
 * @module
 */
import type { ConfigMap, DataProtectionApplication } from "@dm/crds";
import {
  configLabels,
  hasNodeAgent,
  nameOf,
  nodeAgentAffinity,
  nodeAgentOf,
  veleroOf,
} from "./application.ts";

export const nodeAgentConfigName = (application: DataProtectionApplication): string =>
  `node-agent-${nameOf(application)}`;
export const repositoryConfigName = (application: DataProtectionApplication): string =>
  `backup-repository-${nameOf(application)}`;
export const maintenanceConfigName = (application: DataProtectionApplication): string =>
  `repository-maintenance-${nameOf(application)}`;
export const versionPriorityName = "enableapigroupversions";
/** Of OADP 1.4 and before; nothing reads it any more. */
export const restoreHelperConfigName = "fs-restore-action-config";

/** Undefined when there is nothing to say to node agents. */
export function planNodeAgentConfig(application: DataProtectionApplication): ConfigMap | undefined {
  const { backupPVC, loadConcurrency, podResources, restorePVC } = nodeAgentOf(application) ?? {};
  const loadAffinity = nodeAgentAffinity(application);
  const config = {
    ...(loadConcurrency && { loadConcurrency }),
    ...(loadAffinity && { loadAffinity }),
    ...(backupPVC && Object.keys(backupPVC).length > 0 && { backupPVC }),
    ...(restorePVC && { restorePVC }),
    ...(podResources && { podResources }),
  };
  if (!hasNodeAgent(application) || Object.keys(config).length === 0) return undefined;
  const data = { "node-agent-config": JSON.stringify(config) };
  return configMap(application, nodeAgentConfigName(application), "node-agent-config", data);
}

export function hasRepositoryConfig(application: DataProtectionApplication): boolean {
  const { cacheLimitMB, fullMaintenanceInterval } = nodeAgentOf(application) ?? {};
  return cacheLimitMB !== undefined || !!fullMaintenanceInterval;
}

/** Read when a repository is made. */
export function planRepositoryConfig(
  application: DataProtectionApplication,
): ConfigMap | undefined {
  if (!hasRepositoryConfig(application)) return undefined;
  const { cacheLimitMB, fullMaintenanceInterval } = nodeAgentOf(application) ?? {};
  const config = {
    ...(cacheLimitMB !== undefined && { cacheLimitMB }),
    ...(fullMaintenanceInterval && { fullMaintenanceInterval }),
  };
  const name = repositoryConfigName(application);
  return configMap(application, name, "backup-repository-config", {
    kopia: JSON.stringify(config),
  });
}

/** Keys are `global` and names of repositories: `<namespace>-<location>-kopia`. */
export function planMaintenanceConfig(
  application: DataProtectionApplication,
): ConfigMap | undefined {
  const entries = Object.entries(application.spec?.configuration?.repositoryMaintenance ?? {});
  if (!application.spec?.configuration?.repositoryMaintenance) return undefined;
  const data = Object.fromEntries(entries.map(([key, value]) => [key, JSON.stringify(value)]));
  const name = maintenanceConfigName(application);
  return configMap(application, name, "repository-maintenance-config", data);
}

/** Which version of a kind a restore takes when the cluster has several. */
export function planVersionPriority(application: DataProtectionApplication): ConfigMap | undefined {
  const { restoreResourcesVersionPriority } = veleroOf(application);
  if (!restoreResourcesVersionPriority) return undefined;
  return configMap(application, versionPriorityName, "version-priority", {
    restoreResourcesVersionPriority,
  });
}

function configMap(
  application: DataProtectionApplication,
  name: string,
  component: string,
  data: Record<string, string>,
): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name,
      namespace: application.metadata.namespace ?? "",
      labels: configLabels(application, component),
    },
    data,
  };
}
