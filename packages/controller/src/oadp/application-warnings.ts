/**
 * What works otherwise than an application seems to expect, although nothing in it is wrong. Pure.
 * Proof: test/oadp/application.test.ts.
 * @module
 */
import type { DataProtectionApplication } from "@dm/crds";
import {
  featuresOf,
  hasNodeAgent,
  nodeAgentOf,
  type Plugin,
  pluginsOf,
  veleroOf,
} from "./application.ts";

export interface ApplicationWarning {
  /** Of the event. */
  readonly reason: string;
  readonly message: string;
}

/** Programs that work inside Velero's own server. */
const foreignPlugins: ReadonlySet<Plugin> = new Set(["openshift", "kubevirt", "hypershift"]);

export function applicationWarnings(application: DataProtectionApplication): ApplicationWarning[] {
  const warnings: ApplicationWarning[] = [];
  const velero = veleroOf(application);
  if (nodeAgentOf(application)?.uploaderType === "restic")
    warnings.push({
      reason: "DeprecationResticFileSystemBackup",
      message:
        "(Deprecation Warning) Use kopia instead of restic in spec.configuration.nodeAgent.uploaderType, which is deprecated and will be removed in the future",
    });
  const ignored = [
    ...pluginsOf(application).filter((plugin) => foreignPlugins.has(plugin)),
    ...(velero.customPlugins ?? []).map(({ name }) => name),
  ];
  if (ignored.length > 0)
    warnings.push({
      reason: "PluginsIgnored",
      message: `This server runs no programs of others; without effect: ${ignored.join(", ")}`,
    });
  if (!velero.defaultSnapshotMoveData) return warnings;
  if (!featuresOf(application).includes("EnableCSI"))
    warnings.push({
      reason: "SnapshotsNeedCSI",
      message:
        "defaultSnapshotMoveData moves nothing without volume snapshots: add csi to spec.configuration.velero.defaultPlugins",
    });
  if (!hasNodeAgent(application))
    warnings.push({
      reason: "NodeAgentDisabled",
      message:
        "defaultSnapshotMoveData needs the node agent: set spec.configuration.nodeAgent.enable",
    });
  return warnings;
}
