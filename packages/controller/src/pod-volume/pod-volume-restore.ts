/**
 * What a Restore does for the volumes of a pod that were backed up by their files: a PodVolumeRestore each, as Velero makes it.
 * Snapshots that restic made are not restored; nothing here can read them.
 * Proof: test/pod-volume/pod-volume-restore.test.ts.
 * @module
 */
import {
  labels,
  labelValue,
  type PersistentVolumeClaim,
  type Pod,
  type PodVolumeBackup,
  type PodVolumeRestore,
  type Restore,
} from "@dm/crds";
import { madeName } from "../backup/made-name.ts";
import { podVolumeUploader } from "./pod-volume-backup.ts";

export interface BackedUpVolumes {
  /** The latest PodVolumeBackup of each volume that has a snapshot. */
  readonly restorable: readonly PodVolumeBackup[];
  /** What was backed up and cannot be brought back. */
  readonly refused: readonly { readonly volume: string; readonly reason: string }[];
}

/** Why a PodVolumeBackup or PodVolumeRestore is not carried out, if so. */
export function uploaderProblem(uploaderType: string | undefined): string | undefined {
  if (uploaderType === undefined || uploaderType === "" || uploaderType === podVolumeUploader)
    return undefined;
  const what = uploaderType === "restic" ? "restic, whose repositories are not supported" : "";
  return `the volume was backed up with ${what || JSON.stringify(uploaderType)}: only ${podVolumeUploader} can be restored. Restore it with the Velero that made it (restic: up to 1.16), and back it up again`;
}

/**
 * What there is for the volumes of a pod that is about to be restored.
 * @param pod as it will be; its namespace may be another one
 * @param sourceNamespace where the pod was when it was backed up
 */
export function backedUpVolumes(
  pod: Pod,
  backedUp: readonly PodVolumeBackup[],
  sourceNamespace: string,
): BackedUpVolumes {
  const restorable = new Map<string, PodVolumeBackup>();
  const refused = new Map<string, string>();
  for (const each of backedUp) {
    const { pod: source, uploaderType, volume } = each.spec;
    if (source.name !== pod.metadata.name || source.namespace !== sourceNamespace) continue;
    // Failed, or of an empty volume: nothing to bring back.
    if (!each.status?.snapshotID) continue;
    const declared = pod.spec.volumes?.find(({ name }) => name === volume);
    // Early versions of Velero backed these up; the kubelet fills them.
    if (declared?.projected !== undefined || declared?.downwardAPI !== undefined) continue;
    const reason = uploaderProblem(uploaderType);
    if (reason === undefined) restorable.set(volume, each);
    else refused.set(volume, reason);
  }
  return {
    restorable: [...restorable.values()],
    refused: [...refused].map(([volume, reason]) => ({ volume, reason })),
  };
}

export interface PodVolumeRestoresOptions {
  /** Where the pod was when it was backed up. */
  readonly sourceNamespace: string;
  /** Name of the BackupStorageLocation that has the backup. */
  readonly location: string;
  /** Of the restored pod's namespace, by name. */
  readonly claims?: ReadonlyMap<string, PersistentVolumeClaim> | undefined;
}

/**
 * @param pod as it was created: its uid is written down
 * @example podVolumeRestoresFor(restore, pod, backedUp, { sourceNamespace: "shop", location: "default" })
 */
export function podVolumeRestoresFor(
  restore: Restore,
  pod: Pod,
  backedUp: readonly PodVolumeBackup[],
  options: PodVolumeRestoresOptions,
): PodVolumeRestore[] {
  const { restorable } = backedUpVolumes(pod, backedUp, options.sourceNamespace);
  return restorable.map((each) => newPodVolumeRestore(restore, pod, each, options));
}

function newPodVolumeRestore(
  restore: Restore,
  pod: Pod,
  { spec: { volume }, status }: PodVolumeBackup,
  { claims, location, sourceNamespace }: PodVolumeRestoresOptions,
): PodVolumeRestore {
  const { name = "", namespace = "", uid = "" } = restore.metadata;
  const { name: podName = "", namespace: podNamespace = "", uid: podUid = "" } = pod.metadata;
  const declared = pod.spec.volumes?.find((candidate) => candidate.name === volume);
  const claimUid = claims?.get(declared?.persistentVolumeClaim?.claimName ?? "")?.metadata.uid;
  const settings = uploaderSettings(restore);
  return {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeRestore",
    metadata: {
      name: madeName(name, uid, podUid, volume),
      generateName: `${name}-`,
      namespace,
      labels: {
        [labels.restoreName]: labelValue(name),
        [labels.restoreUid]: uid,
        [labels.podUid]: podUid,
        ...(claimUid !== undefined && { [labels.pvcUid]: claimUid }),
      },
      ownerReferences: [
        { apiVersion: "velero.io/v1", kind: "Restore", name, uid, controller: true },
      ],
    },
    spec: {
      pod: { kind: "Pod", namespace: podNamespace, name: podName, uid: podUid },
      volume,
      backupStorageLocation: location,
      repoIdentifier: "",
      uploaderType: podVolumeUploader,
      snapshotID: status?.snapshotID ?? "",
      snapshotSize: status?.progress?.totalBytes ?? 0,
      sourceNamespace,
      ...(settings && { uploaderSettings: settings }),
    },
  };
}

function uploaderSettings({ spec }: Restore): Record<string, string> | undefined {
  const config = spec?.uploaderConfig;
  if (!config) return undefined;
  const { parallelFilesDownload = 0, writeSparseFiles } = config;
  return {
    WriteSparseFiles: String(writeSparseFiles === true),
    ...(parallelFilesDownload > 0 && { ParallelFilesDownload: String(parallelFilesDownload) }),
  };
}
