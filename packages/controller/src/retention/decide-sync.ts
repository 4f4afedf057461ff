/**
 * What a bucket and a cluster make of each other's backups. Pure: no I/O, no clock.
 *
 * As Velero does it, with these differences: a Backup goes from the cluster only if it was over before the bucket was listed (one that
 * is uploaded meanwhile is in no listing); owners other than Schedules are left behind (Kubernetes would delete the Backup for want of
 * them); phases before the upload are skipped, too; a Backup keeps nothing of the other cluster's bookkeeping.
 * Proof: test/retention/decide-sync.test.ts.
 * @module
 */

import { parseGoDuration } from "@dm/core";
import {
  type Backup,
  type BackupStorageLocation,
  labels,
  labelValue,
  type OwnerReference,
  type PodVolumeBackup,
} from "@dm/crds";

/** How long until the next sync of a location; 0 for now, undefined for never or not yet. */
export function untilSync(
  { spec, status }: BackupStorageLocation,
  nowMs: number,
  standardMs: number,
): number | undefined {
  if (status?.phase !== "Available") return undefined;
  const periodMs = syncPeriodOf(spec.backupSyncPeriod, standardMs);
  if (periodMs === 0) return undefined;
  const lastMs = Date.parse(status.lastSyncedTime ?? "");
  if (Number.isNaN(lastMs)) return 0;
  // Also after a clock was set back.
  return Math.min(Math.max(0, lastMs + periodMs - nowMs), periodMs);
}

export function syncPeriodOf(text: string | null | undefined, standardMs: number): number {
  const periodMs = text ? parseGoDuration(text) : undefined;
  return periodMs === undefined || periodMs < 0 ? standardMs : periodMs;
}

export interface SeenBackups {
  readonly location: string;
  /** All of the namespace, as they were before the bucket was listed. */
  readonly inCluster: readonly Backup[];
  readonly inBucket: readonly string[];
}

export interface SyncPlan {
  /** Names of what only the bucket has. */
  readonly missing: readonly string[];
  /** Backups of this location that the bucket does not have any more. */
  readonly gone: readonly Backup[];
}

/** On a Backup that another cluster was deleting when it was found: it goes with its folder. */
const deletedElsewhere = "data-mover.dm/deleted-elsewhere";

const uploaded: ReadonlySet<string> = new Set(["Completed", "PartiallyFailed"]);

export function planSync({ inBucket, inCluster, location }: SeenBackups): SyncPlan {
  const stored = new Set(inBucket);
  const known = new Set(inCluster.map(({ metadata }) => metadata.name));
  return {
    missing: inBucket.filter((name) => !known.has(name)),
    gone: inCluster.filter(
      ({ metadata, spec, status }) =>
        (uploaded.has(status?.phase ?? "") || metadata.annotations?.[deletedElsewhere]) &&
        spec?.storageLocation === location &&
        !stored.has(metadata.name ?? "") &&
        !metadata.deletionTimestamp,
    ),
  };
}

/** What makes a backup of a bucket one of this cluster. */
export interface SyncContext {
  /** Of the operator. */
  readonly namespace: string;
  readonly location: string;
  /** Uids of the namespace's Schedules by name. */
  readonly schedules: ReadonlyMap<string, string>;
  readonly nowMs: number;
}

export type Synced =
  | { readonly backup: Backup }
  /** Still at work somewhere, or not what its folder says. */
  | { readonly skipped: string };

/** The whole life of a Backup that has not been uploaded for good. */
const unfinished: ReadonlySet<string> = new Set([
  "",
  "New",
  "Queued",
  "ReadyToStart",
  "InProgress",
  "WaitingForPluginOperations",
  "WaitingForPluginOperationsPartiallyFailed",
  "Finalizing",
  "FinalizingPartiallyFailed",
]);

/** @param name of the folder in the bucket */
export function syncedBackup(name: string, stored: Backup, context: SyncContext): Synced {
  const { metadata, spec, status } = stored;
  if (metadata.name !== name) return { skipped: `it is called ${metadata.name}` };
  if (![metadata.labels, metadata.annotations].every(isMap)) return { skipped: "it is no Backup" };
  let phase = status?.phase;
  if (unfinished.has(phase ?? "")) {
    const expiresMs = Date.parse(status?.expiration ?? "");
    if (!(expiresMs <= context.nowMs)) return { skipped: `its phase is ${phase || "New"}` };
    // Nobody will finish it: it shows, so that it can be deleted.
    phase = "PartiallyFailed";
  }
  const mark = phase === "Deleting" && { [deletedElsewhere]: "true" };
  const ownerReferences = scheduleOwners(metadata.ownerReferences, context.schedules);
  return {
    backup: {
      apiVersion: "velero.io/v1",
      kind: "Backup",
      metadata: {
        name,
        namespace: context.namespace,
        labels: { ...metadata.labels, [labels.storageLocation]: labelValue(context.location) },
        ...((metadata.annotations || mark) && {
          annotations: { ...metadata.annotations, ...mark },
        }),
        ...(ownerReferences.length > 0 && { ownerReferences }),
      },
      spec: { ...spec, storageLocation: context.location },
      status: { ...status, ...(phase !== undefined && { phase }) },
    },
  };
}

/** What a bucket holds may be anything. */
const isMap = (value: unknown): boolean =>
  value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));

function scheduleOwners(
  owners: readonly OwnerReference[] | undefined,
  schedules: SyncContext["schedules"],
): OwnerReference[] {
  return (owners ?? []).filter(
    ({ kind, name, uid }) => kind === "Schedule" && schedules.get(name) === uid,
  );
}

/** A PodVolumeBackup of a synced Backup. */
export function syncedPodVolumeBackup(
  { metadata, spec, status }: PodVolumeBackup,
  backup: Backup,
  location: string,
): PodVolumeBackup {
  const { name = "", namespace, uid = "" } = backup.metadata;
  return {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: {
      ...(metadata.name !== undefined && { name: metadata.name }),
      ...(namespace !== undefined && { namespace }),
      labels: {
        ...metadata.labels,
        [labels.backupName]: labelValue(name),
        [labels.backupUid]: uid,
      },
      ...(metadata.annotations && { annotations: metadata.annotations }),
      ownerReferences: [
        { apiVersion: "velero.io/v1", kind: "Backup", name, uid, controller: true },
      ],
    },
    spec: { ...spec, backupStorageLocation: location },
    ...(status && { status }),
  };
}
