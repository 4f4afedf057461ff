/**
 * What an administrator has to be told before anything is made of an application, in the texts that OADP has for it. Pure; the
 * first thing that is wrong, because it becomes the message of the condition.
 *
 * Different on purpose: a provider that is none is named before its Secret is missed; names that two locations share, durations
 * and quantities that are none are refused here instead of being found out by the programs.
 * Proof: test/oadp/validate-application.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import { type DataProtectionApplication, parseQuantity } from "@dm/crds";
import {
  backsUpImages,
  nodeAgentOf,
  pluginsOf,
  type SeenApplication,
  veleroOf,
} from "./application.ts";
import { firstOf, type Problem } from "./problem.ts";
import { validateBackupLocations } from "./validate-backup-locations.ts";
import { validateSnapshotLocations } from "./validate-snapshot-locations.ts";

/** @example validateApplication(seen) // "Only one Storage Location be set as default" */
export function validateApplication(seen: SeenApplication): Problem {
  const { application } = seen;
  return firstOf(
    () => seen.applications > 1 && "only one DPA CR can exist per OADP installation namespace",
    () => !application.spec?.configuration?.velero && "DPA CR Velero configuration cannot be nil",
    () => locationsProblem(application),
    () => validateBackupLocations(seen),
    () => validateSnapshotLocations(seen),
    () => affinityProblem(application),
    () => upgradeProblem(application),
    () => overrideProblem(application),
    () => pluginProblem(application),
    () => resourceProblem(application),
    () => durationProblem(application),
    () => logLevelProblem(application),
    () => argumentsProblem(seen),
  );
}

function locationsProblem(application: DataProtectionApplication): Problem {
  const hasLocations = (application.spec?.backupLocations ?? []).length > 0;
  if (!veleroOf(application).noDefaultBackupLocation)
    return hasLocations
      ? undefined
      : "no backupstoragelocations configured, ensure a backupstoragelocation has been configured or use the noDefaultBackupLocation flag";
  if (hasLocations)
    return "DPA CR Velero configuration cannot have backup locations if noDefaultBackupLocation is set";
  return backsUpImages(application)
    ? "backupImages needs to be set to false when noDefaultBackupLocation is set"
    : undefined;
}

/** A node selector of the pods and an affinity of the load must agree. */
function affinityProblem(application: DataProtectionApplication): Problem {
  const { loadAffinity, podConfig } = nodeAgentOf(application) ?? {};
  if (!podConfig || !loadAffinity) return undefined;
  const path = "spec.configuration.nodeAgent";
  const refuse = (why: string): string => `when ${path}.PodConfig is set, ${why}`;
  if (loadAffinity.length > 1)
    return refuse(`${path}.LoadAffinityConfig must contain no more than one entry`);
  const [entry] = loadAffinity;
  if (!entry) return undefined;
  const { matchExpressions, matchLabels } = entry.nodeSelector ?? {};
  if (!matchLabels) return refuse(`${path}.LoadAffinityConfig must define matchLabels`);
  if (matchExpressions)
    return refuse(`${path}.LoadAffinityConfig must not define matchExpressions`);
  const isWithin = Object.entries(podConfig.nodeSelector ?? {}).every(
    ([key, value]) => matchLabels[key] === value,
  );
  return isWithin
    ? undefined
    : refuse(`all labels from the ${path}.PodConfig must be present in ${path}.LoadAffinityConfig`);
}

const useBuiltIn =
  "Delete vsm from spec.configuration.velero.defaultPlugins and dataMover object from spec.features. Use Velero Built-in Data Mover instead";

/** What older releases knew. */
function upgradeProblem({ spec }: DataProtectionApplication): Problem {
  if (spec?.features?.dataMover) return useBuiltIn;
  if (spec?.configuration?.restic)
    return "Delete restic object from spec.configuration, use spec.configuration.nodeAgent instead";
  return undefined;
}

function overrideProblem({ spec }: DataProtectionApplication): Problem {
  const type = spec?.unsupportedOverrides?.["operator-type"];
  return type === undefined || type === "mtc"
    ? undefined
    : "only mtc operator type override is supported";
}

function pluginProblem(application: DataProtectionApplication): Problem {
  const plugins = pluginsOf(application);
  if (plugins.includes("vsm")) return useBuiltIn;
  return plugins.includes("aws") && plugins.includes("legacy-aws")
    ? "aws and legacy-aws can not be both specified in DPA spec.configuration.velero.defaultPlugins"
    : undefined;
}

/** Kubernetes' own text. */
const noQuantity =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

function resourceProblem(application: DataProtectionApplication): Problem {
  const pods = [veleroOf(application).podConfig, nodeAgentOf(application)?.podConfig];
  for (const pod of pods)
    for (const part of ["requests", "limits"]) {
      const list = pod?.resourceAllocations?.[part] ?? {};
      for (const value of Object.values(list as Record<string, unknown>))
        if (parseQuantity(String(value)) === undefined) return noQuantity;
    }
  return undefined;
}

function durationProblem(application: DataProtectionApplication): Problem {
  const { defaultItemOperationTimeout, itemOperationSyncFrequency, resourceTimeout } =
    veleroOf(application);
  const agent = nodeAgentOf(application);
  const given: Readonly<Record<string, string | undefined>> = {
    "velero.defaultItemOperationTimeout": defaultItemOperationTimeout,
    "velero.itemOperationSyncFrequency": itemOperationSyncFrequency,
    "velero.resourceTimeout": resourceTimeout,
    "nodeAgent.timeout": agent?.timeout,
    "nodeAgent.resourceTimeout": agent?.resourceTimeout,
    "nodeAgent.dataMoverPrepareTimeout": agent?.dataMoverPrepareTimeout,
  };
  for (const [path, text] of Object.entries(given))
    if (text && parseGoDuration(text) === undefined)
      return `spec.configuration.${path}: time: invalid duration ${JSON.stringify(text)}`;
  return undefined;
}

const logLevels = /^(trace|debug|info|warn|warning|error|fatal|panic)$/i;

function logLevelProblem(application: DataProtectionApplication): Problem {
  const { logLevel } = veleroOf(application);
  return !logLevel || logLevels.test(logLevel)
    ? undefined
    : `invalid log level ${logLevel}, use: trace, debug, info, warning, error, fatal, or panic`;
}

export const serverArgumentsAnnotation = "oadp.openshift.io/unsupported-velero-server-args";
export const nodeAgentArgumentsAnnotation = "oadp.openshift.io/unsupported-node-agent-server-args";

function argumentsProblem(seen: SeenApplication): Problem {
  const { annotations } = seen.application.metadata;
  const missing = [
    [annotations?.[serverArgumentsAnnotation], seen.serverArguments] as const,
    [annotations?.[nodeAgentArgumentsAnnotation], seen.nodeAgentArguments] as const,
  ].find(([name, map]) => name && !map);
  return missing && `ConfigMap ${JSON.stringify(missing[0])} not found`;
}
