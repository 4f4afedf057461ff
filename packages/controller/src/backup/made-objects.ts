/**
 * What a Backup has made in the cluster, found again by its labels, and under which names.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import {
  type Backup,
  type DataUpload,
  dataUploads,
  type KubeObject,
  labels,
  type PersistentVolumeClaim,
  type PodVolumeBackup,
  podVolumeBackups,
  type Resource,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isNotFound } from "../runtime/kube-errors.ts";
import { listAll } from "./list-all.ts";
import { madeName } from "./made-name.ts";

export const snapshotName = ({ metadata: backup }: Backup, { metadata }: PersistentVolumeClaim) =>
  madeName(`velero-${metadata.name}`, backup.uid ?? "", metadata.uid ?? "");

export const uploadName = ({ metadata: backup }: Backup, { metadata }: PersistentVolumeClaim) =>
  madeName(backup.name ?? "", backup.uid ?? "", metadata.uid ?? "");

export const uploadsOf = (
  client: KubeClient,
  backup: Backup,
  options: KubeCallOptions,
): Promise<DataUpload[]> =>
  madeFor(client, backup, dataUploads, backup.metadata.namespace, options);

export const podVolumeBackupsOf = (
  client: KubeClient,
  backup: Backup,
  options: KubeCallOptions,
): Promise<PodVolumeBackup[]> =>
  madeFor(client, backup, podVolumeBackups, backup.metadata.namespace, options);

/** None where the cluster takes no snapshots. */
export async function snapshotsOf(
  client: KubeClient,
  backup: Backup,
  options: KubeCallOptions,
): Promise<VolumeSnapshot[]> {
  try {
    return await madeFor(client, backup, volumeSnapshots, undefined, options);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return [];
  }
}

function madeFor<T extends KubeObject>(
  client: KubeClient,
  { metadata: { uid } }: Backup,
  resource: Resource<T>,
  namespace: string | undefined,
  { signal }: KubeCallOptions,
): Promise<T[]> {
  const labelSelector = `${labels.backupUid}=${uid}`;
  return listAll(client, resource, { namespace, labelSelector, signal });
}

export async function contentOf(
  client: KubeClient,
  snapshot: VolumeSnapshot | undefined,
  options: KubeCallOptions,
): Promise<VolumeSnapshotContent | undefined> {
  const name = snapshot?.status?.boundVolumeSnapshotContentName;
  return name ? client.get(volumeSnapshotContents, { name }, options) : undefined;
}
