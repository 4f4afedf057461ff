/**
 * What must be known before a Backup begins: whether what it names is there, and in which cluster it runs.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import {
  type Backup,
  type BackupStorageLocation,
  backupStorageLocations,
  configMaps,
  type VolumeSnapshotLocation,
  volumeSnapshotLocations,
} from "@dm/crds";
import type { ServerVersion } from "../runtime/api-discovery.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { BackupDeps } from "./backup-deps.ts";
import { listAll } from "./list-all.ts";
import { readVolumePolicy } from "./volume-policy.ts";

export interface SeenStart {
  readonly locations: readonly BackupStorageLocation[];
  readonly snapshotLocations: readonly VolumeSnapshotLocation[];
  readonly version: ServerVersion;
  /** Of the policy that the Backup names. */
  readonly policyProblem?: string | undefined;
}

export async function observeStart(
  { client, discovery }: BackupDeps,
  { metadata: { namespace }, spec }: Backup,
  options: KubeCallOptions,
): Promise<SeenStart> {
  const inNamespace = { ...options, namespace };
  const policyProblem = await problemOfPolicy();
  return {
    locations: await listAll(client, backupStorageLocations, inNamespace),
    snapshotLocations: spec?.volumeSnapshotLocations?.length
      ? await listAll(client, volumeSnapshotLocations, inNamespace)
      : [],
    version: await discovery.serverVersion(options),
    ...(policyProblem && { policyProblem }),
  };

  async function problemOfPolicy(): Promise<string | undefined> {
    const { kind, name } = spec?.resourcePolicy ?? {};
    if (!name) return undefined;
    if (kind?.toLowerCase() !== "configmap") return `resourcePolicy: a ${kind} is no ConfigMap`;
    const map = await client.get(configMaps, { namespace, name }, options);
    if (map === undefined)
      return `fail to get ResourcePolicies ${namespace}/${name} ConfigMap: it does not exist`;
    const policy = await readVolumePolicy(map);
    return typeof policy === "function" ? undefined : policy.problem;
  }
}
