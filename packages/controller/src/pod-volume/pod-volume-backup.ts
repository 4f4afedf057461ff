/**
 * A PodVolumeBackup as Velero makes it: owner, labels, annotation and tags by which either side finds it again. Its name is made of
 * uids instead of chance, so that a server that died and does it again meets the first one.
 * Proof: test/pod-volume/pod-volume-backup.test.ts.
 * @module
 */
import {
  annotations,
  type Backup,
  labels,
  labelValue,
  type PersistentVolumeClaim,
  type Pod,
  type PodVolumeBackup,
  type Volume,
} from "@dm/crds";
import { madeName } from "../backup/made-name.ts";

export interface NewPodVolumeBackup {
  readonly backup: Backup;
  readonly pod: Pod;
  readonly volume: Volume;
  /** When the volume is one. */
  readonly claim?: PersistentVolumeClaim | undefined;
  /** Name of the BackupStorageLocation; `backup.spec.storageLocation` by default. */
  readonly location?: string | undefined;
}

/** The one that writes new backups. Velero's other one, restic, has been given up there too. */
export const podVolumeUploader = "kopia";

/** @example await client.create(podVolumeBackups, newPodVolumeBackup({ backup, pod, volume, claim })); */
export function newPodVolumeBackup(options: NewPodVolumeBackup): PodVolumeBackup {
  const { backup, claim, pod, volume } = options;
  const { location = backup.spec?.storageLocation ?? "" } = options;
  const { name = "", namespace = "", uid = "" } = backup.metadata;
  const { name: podName = "", namespace: podNamespace = "", uid: podUid = "" } = pod.metadata;
  const claimUid = claim?.metadata.uid ?? "";
  const uploaderConfig = backup.spec?.uploaderConfig;
  return {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: {
      name: madeName(name, uid, podUid, volume.name),
      generateName: `${name}-`,
      namespace,
      labels: {
        [labels.backupName]: labelValue(name),
        [labels.backupUid]: uid,
        ...(claim && { [labels.pvcUid]: claimUid }),
      },
      ...(claim && { annotations: { [annotations.pvcName]: claim.metadata.name ?? "" } }),
      ownerReferences: [
        { apiVersion: "velero.io/v1", kind: "Backup", name, uid, controller: true },
      ],
    },
    spec: {
      node: pod.spec.nodeName ?? "",
      pod: { kind: "Pod", namespace: podNamespace, name: podName, uid: podUid },
      volume: volume.name,
      backupStorageLocation: location,
      repoIdentifier: "",
      uploaderType: podVolumeUploader,
      tags: {
        backup: name,
        "backup-uid": uid,
        pod: podName,
        "pod-uid": podUid,
        ns: podNamespace,
        volume: volume.name,
        ...(claim && { "pvc-uid": claimUid }),
      },
      ...(uploaderConfig && {
        uploaderSettings: { ParallelFilesUpload: String(uploaderConfig.parallelFilesUpload ?? 0) },
      }),
    },
  };
}

/** Under which name a volume's snapshots are kept: namespace, pod, and claim or volume. */
export function podVolumeSource({ metadata, spec }: PodVolumeBackup): [string, string, string] {
  const { name = "", namespace = "" } = spec.pod;
  return [namespace, name, metadata.annotations?.[annotations.pvcName] || spec.volume];
}
