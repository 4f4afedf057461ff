/**
 * Snapshots that were kept in the storage instead of moved: VolumeSnapshot and VolumeSnapshotContent come back as a pair that was not
 * taken but found, under a name of this restore, and never delete what the backup still needs.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { annotations, labels, type VolumeSnapshot, type VolumeSnapshotContent } from "@dm/crds";
import { type Action, type AnyObject, Leave, targetNamespace, without } from "./action.ts";

/** One name for both, from which each finds the other. Velero's. */
export function restoredSnapshotName(restoreUid: string, snapshot: string): string {
  return createHash("sha256").update(`${restoreUid}/${snapshot}`).digest("hex");
}

/** By these a Backup finds the snapshots that it has taken. */
const ofBackup = [labels.backupUid, labels.pvcUid];

const notWanted = new Leave("skipped", "the restore does not ask for volumes");

export const restoreSnapshot: Action = (object, { restore, source }) => {
  if (restore.spec?.restorePVs === false) return notWanted;
  const snapshot = object as AnyObject & VolumeSnapshot;
  const { name = "", namespace } = source.metadata;
  const { boundVolumeSnapshotContentName: content } =
    (source as unknown as VolumeSnapshot).status ?? {};
  if (!content) return new Leave("failed", `VS ${name} doesn't have bound VSC`);
  const restored = restoredSnapshotName(restore.metadata.uid ?? "", name);
  const { volumeSnapshotClassName: _class, ...spec } = snapshot.spec;
  const { labels: all, ...metadata } = snapshot.metadata;
  const own = without(all, ofBackup);
  return {
    ...snapshot,
    metadata: {
      ...metadata,
      ...(own && { labels: own }),
      name: restored,
      ...(namespace && { namespace }),
      annotations: { ...snapshot.metadata.annotations, [annotations.csiDeletionPolicy]: "Retain" },
    },
    spec: { ...spec, source: { volumeSnapshotContentName: restored } },
  };
};

export const restoreSnapshotContent: Action = (object, { restore, settings, source }) => {
  if (restore.spec?.restorePVs === false) return notWanted;
  const content = object as AnyObject & VolumeSnapshotContent;
  const handle = (source as unknown as VolumeSnapshotContent).status?.snapshotHandle;
  if (!handle)
    return new Leave(
      "failed",
      `fail to get snapshot handle from VSC ${source.metadata.name} status`,
    );
  const { uid: _uid, resourceVersion: _version, ...reference } = content.spec.volumeSnapshotRef;
  const name = restoredSnapshotName(restore.metadata.uid ?? "", reference.name ?? "");
  const { volumeSnapshotClassName: _class, ...spec } = content.spec;
  const usable = settings.snapshotClasses.find(({ driver }) => driver === spec.driver);
  return {
    ...content,
    metadata: { ...content.metadata, name },
    spec: {
      ...spec,
      deletionPolicy: "Retain",
      source: { snapshotHandle: handle },
      volumeSnapshotRef: {
        ...reference,
        name,
        namespace: targetNamespace(restore, reference.namespace ?? ""),
      },
      ...(usable?.metadata.name && { volumeSnapshotClassName: usable.metadata.name }),
    },
  };
};

export const restoreSnapshotClass: Action = (object, { restore }) =>
  restore.spec?.restorePVs === false ? notWanted : object;
