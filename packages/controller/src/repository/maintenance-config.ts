/**
 * Settings of maintenance Jobs from a ConfigMap: JSON under the key `global`, and under the key of a repository,
 * `<namespace>-<location>-kopia`, each part of which takes the place of the global one. The operator of OADP writes all of it under
 * one key, which Velero's server does not look for; here both are read. What is invalid is left out and told about: maintenance
 * must not stop for it.
 * Proof: test/repository/maintenance-config.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { BackupRepository, ConfigMap } from "@dm/crds";
import { podResources } from "../expose/hosting-pod.ts";
import { affinityOf } from "../expose/node-affinity.ts";
import { parseNodeAgentConfig } from "../node-agent/node-agent-config.ts";
import type { MaintenanceJobSettings } from "./maintenance-job.ts";

/** Of OADP's operator. */
const wholeKey = "repository-maintenance-config";

export interface ReadMaintenanceSettings {
  readonly settings: MaintenanceJobSettings;
  /** What was left out, and why: for the log. */
  readonly warnings: readonly string[];
}

/** Never throws. */
export function maintenanceSettingsFor(
  { data = {} }: ConfigMap,
  { backupStorageLocation, repositoryType, volumeNamespace }: BackupRepository["spec"],
): ReadMaintenanceSettings {
  const own = `${volumeNamespace}-${backupStorageLocation}-${repositoryType || "kopia"}`;
  const warnings: string[] = [];
  const whole = objectOf(data[wholeKey], wholeKey, warnings);
  const read = (key: string): MaintenanceJobSettings => {
    const text = data[key] ?? (whole[key] === undefined ? undefined : JSON.stringify(whole[key]));
    return text === undefined ? {} : entryOf(key, text, warnings);
  };
  return { settings: { ...read("global"), ...read(own) }, warnings };
}

/** An entry is spelled as its namesakes in the configuration of node agents. */
function entryOf(key: string, text: string, warnings: string[]): MaintenanceJobSettings {
  try {
    const parsed = parseNodeAgentConfig({ metadata: { name: key }, data: { [key]: text } });
    const { loadAffinity, podAnnotations, podLabels, priorityClassName, ...rest } = parsed.exposer;
    warnings.push(...parsed.warnings.map((warning) => `${key}: ${warning}`));
    const settings = {
      affinity: affinityOf(loadAffinity ?? []),
      resources: podResources(rest.podResources),
      podLabels,
      podAnnotations,
      priorityClassName,
    };
    const said = Object.entries(settings).filter(([, value]) => value !== undefined);
    return Object.fromEntries(said);
  } catch (error) {
    if (!isDmError(error, "DM_NODE_AGENT_CONFIG_INVALID")) throw error;
    warnings.push(error.message);
    return {};
  }
}

function objectOf(
  text: string | undefined,
  key: string,
  warnings: string[],
): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  warnings.push(`${key}: its data is no JSON object`);
  return {};
}
