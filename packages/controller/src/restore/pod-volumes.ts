/**
 * Volumes of pods that were backed up by their files: what a pod to restore has to wait for. Pure.
 * Proof: test/restore/pod-volume-restores.test.ts.
 * @module
 */
import type { Pod, PodVolumeBackup, ResourceRequirements, SecurityContext } from "@dm/crds";
import { loadYaml } from "@kubernetes/client-node";
import {
  type BackedUpVolumes,
  backedUpVolumes,
  type RestoreWaitSettings,
} from "../pod-volume/index.ts";
import { restoreWaitDefaults } from "../pod-volume/restore-wait.ts";

export interface PodVolumes {
  /** Of the whole backup; none when the Restore leaves out claims or volumes. */
  readonly backedUp: readonly PodVolumeBackup[];
  /** The init container that waits; undefined when this server has none. */
  readonly wait: RestoreWaitSettings | undefined;
}

/** What there is for a pod; everything is refused without something that waits for it. */
export function volumesOfPod(
  { backedUp, wait }: PodVolumes,
  pod: Pod,
  sourceNamespace: string,
): BackedUpVolumes {
  const found = backedUpVolumes(pod, backedUp, sourceNamespace);
  if (wait) return found;
  const reason = "no image is configured for the init container that waits for its files";
  return {
    restorable: [],
    refused: [
      ...found.refused,
      ...found.restorable.map(({ spec: { volume } }) => ({ volume, reason })),
    ],
  };
}

/** The settings with what a ConfigMap of the plugin `velero.io/pod-volume-restore` says. What cannot be read there is not taken. */
export function configuredWait(
  settings: RestoreWaitSettings,
  data: Readonly<Record<string, string>>,
): RestoreWaitSettings {
  const { command, cpuLimit, cpuRequest, image = "", memLimit, memRequest } = data;
  const { limits, requests } = settings.resources ?? restoreWaitDefaults.resources;
  const resources: ResourceRequirements = {
    requests: {
      ...requests,
      ...(cpuRequest && { cpu: cpuRequest }),
      ...(memRequest && { memory: memRequest }),
    },
    limits: {
      ...limits,
      ...(cpuLimit && { cpu: cpuLimit }),
      ...(memLimit && { memory: memLimit }),
    },
  };
  const securityContext = securityContextIn(data);
  return {
    ...settings,
    resources,
    // As in Velero, a name without a registry is not taken.
    ...(image.includes("/") && { image }),
    ...(command && { command: [command] }),
    ...(securityContext && { securityContext }),
  };
}

function securityContextIn(data: Readonly<Record<string, string>>): SecurityContext | undefined {
  const { secCtx, secCtxAllowPrivilegeEscalation: escalation } = data;
  const number = (text: string | undefined): number | undefined =>
    text && /^\d+$/.test(text) ? Number(text) : undefined;
  const runAsUser = number(data["secCtxRunAsUser"]);
  const runAsGroup = number(data["secCtxRunAsGroup"]);
  const context: SecurityContext = {
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    ...(escalation && { allowPrivilegeEscalation: escalation === "true" }),
    ...(secCtx && contextIn(secCtx)),
  };
  return Object.keys(context).length > 0 ? context : undefined;
}

function contextIn(text: string): object | undefined {
  try {
    const value: unknown = loadYaml(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
