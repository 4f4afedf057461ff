/**
 * Which snapshots of a repository no backup knows. Pure. They are reported, never deleted: what looks lost here may be all that
 * somebody has left.
 * Proof: test/retention/find-orphans.test.ts.
 * @module
 */
import { nsPerMs } from "@dm/core";
import type { VeleroManifest } from "@dm/snapshot/velero";

export interface KnownSnapshots {
  /** Of all backups in the bucket, and of those that the cluster is at work on. */
  readonly backupUids: ReadonlySet<string>;
  /** Ids of snapshots that they name. */
  readonly ids: ReadonlySet<string>;
}

export interface OrphanLimits {
  readonly nowMs: number;
  /** Younger ones may belong to a backup that is being made, here or in another cluster. */
  readonly minAgeMs: number;
}

export function findOrphans(
  snapshots: readonly VeleroManifest[],
  { backupUids, ids }: KnownSnapshots,
  { minAgeMs, nowMs }: OrphanLimits,
): VeleroManifest[] {
  const youngestNs = BigInt(nowMs - minAgeMs) * nsPerMs;
  return snapshots.filter((snapshot) => {
    if (snapshot.startedAtNs > youngestNs || ids.has(snapshot.id)) return false;
    const uid = backupUidOf(snapshot);
    return uid === undefined || !backupUids.has(uid);
  });
}

/** By the tags that movers put on: of a DataUpload's operation, or of a PodVolumeBackup. */
export function backupUidOf({ tags }: Pick<VeleroManifest, "tags">): string | undefined {
  const operation = tags["velero.io/async-operation-id"] ?? "";
  return /^du-([0-9a-f-]{36})\./.exec(operation)?.[1] ?? tags["backup-uid"];
}

/** What a BackupRepository remembers of the last look, in one annotation. */
export interface OrphanReport {
  readonly checkedAtMs: number;
  readonly count: number;
  /** The first ones. */
  readonly ids: readonly string[];
}

export const orphansAnnotation = "data-mover.dm/orphaned-snapshots";
const maxIds = 20;

export function orphanReport(orphans: readonly VeleroManifest[], nowMs: number): OrphanReport {
  const ids = orphans.map(({ id }) => id).sort();
  return { checkedAtMs: nowMs, count: ids.length, ids: ids.slice(0, maxIds) };
}

/** Undefined where there is none, or somebody made it unreadable. */
export function readOrphanReport(text: string | undefined): OrphanReport | undefined {
  try {
    const report: unknown = JSON.parse(text ?? "null");
    const { checkedAtMs } = (report ?? {}) as Partial<OrphanReport>;
    return typeof checkedAtMs === "number" ? (report as OrphanReport) : undefined;
  } catch {
    return undefined;
  }
}

export function orphanMessage({ count, ids }: OrphanReport): string {
  const list = `${ids.join(", ")}${count > ids.length ? ", …" : ""}`;
  return (
    `${count} snapshots in the repository belong to no backup of the bucket: ${list}. Nothing deletes them by itself; ` +
    "what is not needed can be deleted with kopia"
  );
}
