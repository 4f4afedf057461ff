/**
 * What a DataUpload remembers of its source, in an annotation: claim and snapshot may be gone when the backup is written down.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import type {
  DataUpload,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshotContent,
} from "@dm/crds";

export const sourceAnnotation = "dm.velero.io/source";

export interface SourceNote {
  /** As it was when its snapshot was there. */
  readonly claim: PersistentVolumeClaim;
  readonly volume: {
    readonly name: string;
    readonly reclaimPolicy: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly snapshot: {
    readonly handle: string;
    readonly content: string;
    readonly driver: string;
    /** Bytes. */
    readonly size: number;
    readonly takenAt: string;
  };
}

export function noteSource(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume | undefined,
  content: VolumeSnapshotContent,
): string {
  const { metadata, spec, status } = content;
  const note: SourceNote = {
    claim: withoutManagedFields(claim),
    volume: {
      name: volume?.metadata.name ?? claim.spec.volumeName ?? "",
      reclaimPolicy: volume?.spec.persistentVolumeReclaimPolicy ?? "",
      labels: volume?.metadata.labels ?? {},
    },
    snapshot: {
      handle: status?.snapshotHandle ?? "",
      content: metadata.name ?? "",
      driver: spec.driver,
      size: status?.restoreSize ?? 0,
      takenAt: metadata.creationTimestamp ?? "",
    },
  };
  return JSON.stringify(note);
}

/** Undefined when there is none, or somebody made it unreadable. */
export function sourceOf({ metadata }: DataUpload): SourceNote | undefined {
  try {
    const note = JSON.parse(
      metadata.annotations?.[sourceAnnotation] ?? "null",
    ) as Partial<SourceNote> | null;
    return note?.claim?.metadata?.name && note.volume && note.snapshot
      ? (note as SourceNote)
      : undefined;
  } catch {
    return undefined;
  }
}

export function withoutManagedFields<T extends { readonly metadata: object }>(object: T): T {
  const { managedFields: _managed, ...metadata } = object.metadata as { managedFields?: unknown };
  return { ...object, metadata };
}
