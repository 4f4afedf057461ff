/**
 * What a Restore is made of: the Backup and its files, and the modifiers that the Restore names.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError, NotFoundError } from "@dm/core";
import {
  type Backup,
  backupStorageLocations,
  backups,
  configMaps,
  type PodVolumeBackup,
  persistentVolumeClaims,
  type Restore,
  type VolumeSnapshotBackup,
  volSyncRefusal,
} from "@dm/crds";
import { type BackupContents, readBackup } from "../bucket/read-backup.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { resourceFilter } from "../scope/resource-filter.ts";
import { volSyncBackups } from "./plan-restore.ts";
import { type ModifierRule, parseResourceModifiers } from "./resource-modifier.ts";
import type { RestoreDeps } from "./restore-deps.ts";
import { inFolder, readPodVolumeBackups } from "./restore-files.ts";
import { backupProblems } from "./start-restore.ts";

export interface RestoreSource {
  readonly contents: BackupContents;
  readonly podVolumeBackups: readonly PodVolumeBackup[];
}

/** @throws {NotFoundError} `DM_BACKUP_NOT_FOUND` */
export async function backupOf(
  { client }: RestoreDeps,
  { metadata: { namespace }, spec }: Restore,
  options: KubeCallOptions,
): Promise<Backup> {
  const name = spec?.backupName ?? "";
  const backup = await client.get(backups, { namespace, name }, options);
  if (backup) return backup;
  throw new NotFoundError("DM_BACKUP_NOT_FOUND", `there is no Backup ${namespace}/${name}`);
}

export function readSource(
  deps: RestoreDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<RestoreSource> {
  const { name = "" } = backup.metadata;
  return inFolder(deps, backup, ["backups", name], options, async (folder) => ({
    contents: await readBackup(folder, name, options),
    podVolumeBackups: await readPodVolumeBackups(folder, name, options),
  }));
}

/** Why the Backup cannot be restored as the Restore says. */
export async function sourceProblems(
  deps: RestoreDeps,
  restore: Restore,
  backup: Backup,
  options: KubeCallOptions,
): Promise<string[]> {
  const key = { namespace: backup.metadata.namespace, name: backup.spec?.storageLocation ?? "" };
  const location = await deps.client.get(backupStorageLocations, key, options);
  const problems = backupProblems(backup, location);
  if (problems.length > 0) return problems;
  try {
    const { contents } = await readSource(deps, backup, options);
    // By another cluster: this one has not seen it yet.
    if (contents.backup.status?.phase === "Deleting")
      return [`Error retrieving backup: backup ${backup.metadata.name} is Deleting`];
    const found = contents.items.find(({ resource }) => resource === volSyncBackups)?.object;
    if (found === undefined || !(await wantsVolumes(deps, restore, options))) return [];
    return [volSyncRefusal(backup.metadata.name ?? "", found as VolumeSnapshotBackup)];
  } catch (error) {
    if (!isDmError(error) || (error as { retryable?: boolean }).retryable === true) throw error;
    return [`Error retrieving backup: ${error.message}`];
  }
}

async function wantsVolumes(
  { discovery }: RestoreDeps,
  { spec = {} }: Restore,
  options: KubeCallOptions,
): Promise<boolean> {
  const served = await discovery.resources(options);
  const covers = resourceFilter(spec.includedResources, spec.excludedResources, served);
  return spec.restorePVs !== false && covers(persistentVolumeClaims.plural);
}

/** Rules of the ConfigMap that the Restore names, or why there are none. */
export async function modifiersOf(
  { client }: RestoreDeps,
  { metadata: { namespace }, spec }: Restore,
  options: KubeCallOptions,
): Promise<readonly ModifierRule[] | { readonly problem: string }> {
  const reference = spec?.resourceModifier;
  if (!reference) return [];
  if (reference.kind.toLowerCase() !== "configmap")
    return { problem: `resourceModifier may be a ConfigMap only, not a ${reference.kind}` };
  const found = await client.get(configMaps, { namespace, name: reference.name }, options);
  if (found) return parseResourceModifiers(found);
  return { problem: `failed to get resource modifiers configmap ${namespace}/${reference.name}` };
}
