/**
 * What a backup keeps outside of its folder: snapshots in repositories, and snapshots in the storage. Pure.
 *
 * A tarball may hold DataUploads and snapshots of other backups, when it covers the operator's namespace: only what was made for this
 * very backup counts. (Velero deletes the data of the others with it.)
 * Proof: test/retention/snapshots-of-backup.test.ts.
 * @module
 */
import {
  type Backup,
  type ConfigMap,
  type DataUpload,
  labels,
  labelValue,
  type ObjectMeta,
  type PodVolumeBackup,
  type VolumeSnapshotContent,
} from "@dm/crds";
import type { BackupItem, VolumeInfo } from "../bucket/backup-files.ts";

export interface BackupTraces {
  readonly backup: Backup;
  /** As the bucket has it: its uid is the one that the traces carry. */
  readonly stored?: Backup | undefined;
  readonly items: readonly BackupItem[];
  readonly volumes: readonly VolumeInfo[];
  readonly dataUploads: readonly DataUpload[];
  /** Of the cluster and of the bucket. */
  readonly podVolumeBackups: readonly PodVolumeBackup[];
  /** Notes of a deletion that was cut off. */
  readonly notes: readonly ConfigMap[];
}

/** A snapshot in the repository of a namespace. */
export interface RepositorySnapshot {
  readonly volumeNamespace: string;
  readonly id: string;
}

export interface BackupSnapshots {
  readonly inRepositories: readonly RepositorySnapshot[];
  /** In the storage. */
  readonly contents: readonly VolumeSnapshotContent[];
  /** What cannot be deleted, and why. */
  readonly problems: readonly string[];
}

const ownMovers: ReadonlySet<string> = new Set(["", "velero", "dm"]);

export function snapshotsOf(traces: BackupTraces): BackupSnapshots {
  const isOurs = ownership(traces);
  const found = new Map<string, RepositorySnapshot>();
  const problems: string[] = [];
  const note = (volumeNamespace: string | undefined, id: string | undefined): void => {
    if (volumeNamespace && id) found.set(`${volumeNamespace}/${id}`, { volumeNamespace, id });
  };
  const inTarball = (resource: string): BackupItem["object"][] =>
    traces.items.filter((item) => item.resource === resource).map(({ object }) => object);
  const uploads = [...inTarball("datauploads.velero.io"), ...traces.dataUploads] as DataUpload[];
  for (const { metadata, spec, status } of uploads) {
    if (!isOurs(metadata) || !ownMovers.has(spec?.datamover ?? "")) continue;
    note(spec?.sourceNamespace, status?.snapshotID);
  }
  for (const { metadata, spec, status } of traces.podVolumeBackups) {
    if (!isOurs(metadata) || !status?.snapshotID) continue;
    if (spec.uploaderType === "restic") {
      problems.push(
        `pod volume backup ${metadata.name} was made with restic, which is not supported: snapshot ${status.snapshotID} in the ` +
          `restic repository of namespace ${spec.pod.namespace} has to be deleted with restic`,
      );
    } else note(spec.pod.namespace, status.snapshotID);
  }
  for (const { pvcNamespace, snapshotDataMovementInfo: moved } of traces.volumes) {
    const id = moved?.["snapshotHandle"];
    const isOwn = ownMovers.has(String(moved?.["dataMover"] ?? ""));
    // Velero writes "unknown" where it does not know.
    if (isOwn && typeof id === "string" && id !== "unknown") note(pvcNamespace, id);
  }
  for (const { data = {} } of traces.notes)
    if ((data["repositoryType"] ?? "kopia") === "kopia")
      note(data["volumeNamespace"], data["snapshotID"]);
  const contents = inTarball("volumesnapshotcontents.snapshot.storage.k8s.io").filter(
    ({ metadata }) => isOurs(metadata),
  ) as VolumeSnapshotContent[];
  return { inRepositories: [...found.values()], contents, problems: [...new Set(problems)] };
}

/** By name, and by uid where it is told: the uid here, or that of the cluster where the backup was made. */
export function ownership({
  backup,
  stored,
}: Pick<BackupTraces, "backup" | "stored">): (metadata: ObjectMeta) => boolean {
  const name = labelValue(backup.metadata.name ?? "");
  const uids = new Set([backup.metadata.uid, stored?.metadata.uid]);
  return ({ labels: all = {} }) => {
    const uid = all[labels.backupUid];
    return all[labels.backupName] === name && (uid === undefined || uids.has(uid));
  };
}

/** Ids by namespace, so that each repository is opened once. */
export function byNamespace(snapshots: readonly RepositorySnapshot[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { id, volumeNamespace } of snapshots)
    groups.set(volumeNamespace, [...(groups.get(volumeNamespace) ?? []), id]);
  return groups;
}
