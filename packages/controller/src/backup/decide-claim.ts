/**
 * What should happen next to one claim of a Backup: its snapshot, and then its DataUpload, or that the snapshot itself is the copy.
 * No I/O, no clock reads.
 * Proof: test/backup/decide-claim.test.ts.
 * @module
 */
import type {
  Backup,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from "@dm/crds";
import { isDeleting } from "../runtime/objects.ts";
import { chooseSnapshotClass } from "./snapshot-class.ts";

export interface SeenClaim {
  readonly claim: PersistentVolumeClaim;
  /** The one it is bound to; undefined when it is not bound, or when that is gone. */
  readonly volume?: PersistentVolume | undefined;
  /** The one taken for this Backup. */
  readonly snapshot?: VolumeSnapshot | undefined;
  readonly content?: VolumeSnapshotContent | undefined;
}

export type ClaimDecision =
  /** Nothing can be done for it. */
  | { readonly do: "skip"; readonly why: string }
  | { readonly do: "fail"; readonly message: string; readonly hadSnapshot: boolean }
  | { readonly do: "takeSnapshot"; readonly className: string }
  | { readonly do: "wait" }
  /** Its data is moved. */
  | ({ readonly do: "upload" } & TakenSnapshot)
  /** The snapshot itself is the copy. */
  | ({ readonly do: "keep" } & TakenSnapshot);

export interface TakenSnapshot {
  readonly snapshot: VolumeSnapshot;
  readonly content: VolumeSnapshotContent;
}

export function decideClaim(
  seen: SeenClaim,
  backup: Backup,
  classes: readonly VolumeSnapshotClass[],
  { now, timeoutMs }: { readonly now: Date; readonly timeoutMs: number },
): ClaimDecision {
  const { claim, content, snapshot, volume } = seen;
  if (snapshot === undefined) return beforeSnapshot(claim, volume, backup, classes);
  const title = `${snapshot.metadata.namespace}/${snapshot.metadata.name}`;
  if (isDeleting(snapshot)) return { do: "wait" };
  if (content?.status?.snapshotHandle)
    return { do: backup.spec?.snapshotMoveData ? "upload" : "keep", snapshot, content };
  const ageMs = now.getTime() - Date.parse(snapshot.metadata.creationTimestamp ?? "");
  // A time that cannot be read counts as long ago: everything ends some time.
  if (ageMs < timeoutMs) return { do: "wait" };
  const cause = snapshot.status?.error?.message ?? content?.status?.error?.message;
  const because = cause === undefined ? "" : `: ${cause}`;
  return fail(
    `timed out waiting for the snapshot handle of VolumeSnapshot ${title}${because}`,
    true,
  );
}

function beforeSnapshot(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume | undefined,
  backup: Backup,
  classes: readonly VolumeSnapshotClass[],
): ClaimDecision {
  const title = `${claim.metadata.namespace}/${claim.metadata.name}`;
  if (!claim.spec.storageClassName)
    return fail(`Cannot snapshot PVC ${title}, PVC has no storage class.`, false);
  if (claim.status?.phase !== "Bound")
    return fail(
      `PVC ${title} is in phase ${claim.status?.phase ?? "Pending"} and is not bound to a volume`,
      false,
    );
  if (volume === undefined)
    return fail(`PersistentVolume ${claim.spec.volumeName} of PVC ${title} does not exist`, false);
  const driver = volume.spec.csi?.driver;
  if (driver === undefined) return { do: "skip", why: "no CSI volume" };
  try {
    const { metadata } = chooseSnapshotClass(classes, driver, claim, backup);
    return { do: "takeSnapshot", className: metadata.name ?? "" };
  } catch (error) {
    return fail((error as Error).message, false);
  }
}

function fail(message: string, hadSnapshot: boolean): ClaimDecision {
  return { do: "fail", message, hadSnapshot };
}
