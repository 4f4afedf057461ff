/**
 * What becomes of the volumes of a backup: which are provisioned anew and which come back as they were, and where the data of each
 * claim comes from. Pure; everything is known before the first object is made.
 * Proof: test/restore/volumes.test.ts.
 * @module
 */
import {
  annotations,
  type DataUpload,
  type DataUploadResult,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type PodVolumeBackup,
  type Restore,
} from "@dm/crds";
import type { VolumeInfo } from "../bucket/backup-files.ts";
import type { BackupContents } from "../bucket/read-backup.ts";

export type VolumeFate =
  | { readonly do: "provision"; readonly reason: string }
  | { readonly do: "keep" }
  | { readonly do: "refuse"; readonly reason: string };

export type ClaimData =
  | { readonly from: "repository"; readonly result: DataUploadResult }
  /** The name of the VolumeSnapshot in the backup. */
  | { readonly from: "snapshot"; readonly snapshot: string }
  | { readonly from: "pod volume" }
  /** It is bound to the volume that it had. */
  | { readonly from: "volume" }
  | { readonly from: "nowhere"; readonly warning?: string | undefined }
  /** There should be some, and there is none: the claim is not made. */
  | { readonly from: "lost"; readonly error: string };

export interface Volumes {
  /** Of a PersistentVolume, by its name in the backup. */
  fateOf(volume: string): VolumeFate;
  /** Of a claim as it lies in the backup. */
  dataOf(claim: PersistentVolumeClaim): ClaimData;
}

/** `location` is the one in which this cluster finds the backup. */
export function planVolumes(
  { items, volumes: infos }: BackupContents,
  restore: Restore,
  podVolumes: readonly PodVolumeBackup[],
  location: string,
): Volumes {
  const named = <T>(resource: string): Map<string, T> =>
    new Map(
      items
        .filter((item) => item.resource === resource)
        .map(({ object }) => [keyOf(object.metadata), object as T]),
    );
  const uploads = named<DataUpload>("datauploads.velero.io");
  const snapshots = named("volumesnapshots.snapshot.storage.k8s.io");
  const volumes = named<PersistentVolume>("persistentvolumes");
  const claims = named<PersistentVolumeClaim>("persistentvolumeclaims");
  const infoOf = new Map(infos.map((info) => [info.pvName, info]));
  const inPods = new Set(
    podVolumes.map(
      ({ metadata, spec }) =>
        `${spec.pod.namespace}/${metadata.annotations?.[annotations.pvcName]}`,
    ),
  );
  const hasData = ({ metadata }: PersistentVolumeClaim): boolean =>
    inPods.has(keyOf(metadata)) ||
    movedBy(metadata) !== undefined ||
    metadata.annotations?.[annotations.volumeSnapshotName] !== undefined;

  const fateOf = (name: string): VolumeFate => {
    const { claimRef, persistentVolumeReclaimPolicy: policy } = volumes.get(name)?.spec ?? {};
    const claim = claimRef && claims.get(keyOf(claimRef));
    const method = methodOf(infoOf.get(name), claim !== undefined && hasData(claim));
    if (method === "NativeSnapshot")
      return { do: "refuse", reason: `its snapshot is of no CSI driver and cannot be restored` };
    if (method !== "") return { do: "provision", reason: "its data is restored into a new volume" };
    if (policy !== "Delete") return { do: "keep" };
    return { do: "provision", reason: "it has no snapshot, and its reclaim policy is Delete" };
  };

  const dataOf = (claim: PersistentVolumeClaim): ClaimData => {
    const { metadata, spec, status } = claim;
    if (restore.spec?.restorePVs === false) return { from: "nowhere" };
    const moved = movedBy(metadata);
    if (moved !== undefined) return movedData(moved, uploads.get(moved), metadata, location);
    const snapshot = metadata.annotations?.[annotations.volumeSnapshotName];
    if (snapshot !== undefined)
      return snapshots.has(`${metadata.namespace}/${snapshot}`)
        ? { from: "snapshot", snapshot }
        : lost(`its VolumeSnapshot ${snapshot} is not in the backup`);
    if (inPods.has(keyOf(metadata))) return { from: "pod volume" };
    const volume = spec.volumeName ?? "";
    if (volumes.has(volume) && fateOf(volume).do === "keep") return { from: "volume" };
    const wasBound = status?.phase === "Bound" || volume !== "";
    return {
      from: "nowhere",
      warning: wasBound ? "the backup has no data of it: it is restored empty" : undefined,
    };
  };
  return { fateOf, dataOf };
}

const keyOf = ({ name = "", namespace }: { name?: string; namespace?: string }): string =>
  namespace ? `${namespace}/${name}` : name;

const movedBy = ({ annotations: all }: PersistentVolumeClaim["metadata"]): string | undefined =>
  all?.[annotations.dataUploadName];

/** How its data was backed up. Backups of Velero before 1.13 do not say. */
const methodOf = (
  info: Pick<Partial<VolumeInfo>, "backupMethod"> | undefined,
  hasData: boolean,
): string => (info ? (info.backupMethod ?? "") : hasData ? "unknown" : "");

const lost = (error: string): ClaimData => ({ from: "lost", error });

function movedData(
  name: string,
  upload: DataUpload | undefined,
  claim: PersistentVolumeClaim["metadata"],
  location: string,
): ClaimData {
  if (upload === undefined) return lost(`its DataUpload ${name} is not in the backup`);
  // Whoever may annotate a claim must not get at the data of others.
  const { sourceNamespace, sourcePVC } = upload.spec;
  if (sourceNamespace !== claim.namespace || sourcePVC !== claim.name)
    return lost(`its DataUpload ${name} is that of another claim`);
  const { phase, snapshotID } = upload.status ?? {};
  if (!snapshotID || phase !== "Completed")
    return lost(`its DataUpload ${name} is ${phase ?? "New"} and left no snapshot to restore`);
  return { from: "repository", result: resultOf(upload, location) };
}

/** Velero keeps the same in a ConfigMap between two of its plugins. */
function resultOf({ spec, status }: DataUpload, location: string): DataUploadResult {
  const { dataMoverResult, nodeOS, progress, snapshotID } = status ?? {};
  return {
    backupStorageLocation: location,
    sourceNamespace: spec.sourceNamespace,
    ...(spec.datamover && { datamover: spec.datamover }),
    ...(snapshotID && { snapshotID }),
    ...(dataMoverResult && { dataMoverResult }),
    ...(nodeOS && { nodeOS }),
    ...(progress?.totalBytes && { snapshotSize: progress.totalBytes }),
  };
}
