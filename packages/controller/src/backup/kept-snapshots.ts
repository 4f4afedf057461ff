/**
 * Snapshots that are the backup themselves (`snapshotMoveData: false`). The storage has them at once, but may take hours until they
 * can be used: nobody's pods stand still for that, the Backup waits for them afterwards. Pure but for {@link keptOf}.
 * Proof: test/backup/kept-snapshots.test.ts.
 * @module
 */
import {
  annotations,
  type Backup,
  labels,
  labelValue,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { BackupItem, ItemIdentifier, ItemOperation } from "../bucket/backup-files.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import { resourceName } from "../scope/resource-names.ts";
import type { BackupRecord } from "./backup-record.ts";
import { contentOf, snapshotsOf } from "./made-objects.ts";
import { Messages } from "./messages.ts";

export interface KeptSnapshot {
  readonly snapshot: VolumeSnapshot;
  readonly content?: VolumeSnapshotContent | undefined;
}

const action = "velero.io/csi-volumesnapshot-backupper";
const gone = "its VolumeSnapshot is gone";

export async function keptOf(
  client: KubeClient,
  backup: Backup,
  options: KubeCallOptions,
): Promise<KeptSnapshot[]> {
  const kept: KeptSnapshot[] = [];
  for (const snapshot of await snapshotsOf(client, backup, options))
    if (!isDeleting(snapshot))
      kept.push({ snapshot, content: await contentOf(client, snapshot, options) });
  return kept;
}

export const isReady = ({ content, snapshot }: KeptSnapshot): boolean =>
  snapshot.status?.readyToUse === true && Boolean(content?.status?.snapshotHandle);

/** Why it will not become ready any more, when it is not. */
export function whyLate({ content, snapshot }: KeptSnapshot): string {
  const cause = snapshot.status?.error?.message ?? content?.status?.error?.message;
  const { name, namespace } = snapshot.metadata;
  const because = cause === undefined ? "" : `: ${cause}`;
  return `timed out waiting for VolumeSnapshot ${namespace}/${name} to be ready to use${because}`;
}

export function keptOperation(
  { metadata: backup }: Backup,
  { content, snapshot }: KeptSnapshot,
): ItemOperation {
  const { creationTimestamp = "", name = "", namespace = "" } = snapshot.metadata;
  const group = volumeSnapshots.group;
  const item: ItemIdentifier = {
    Group: group,
    Resource: volumeSnapshots.plural,
    Namespace: namespace,
    Name: name,
  };
  const ofContent: ItemIdentifier = {
    Group: group,
    Resource: volumeSnapshotContents.plural,
    Namespace: "",
    Name: content?.metadata.name ?? "",
  };
  return {
    spec: {
      backupName: backup.name ?? "",
      backupUID: backup.uid ?? "",
      backupItemAction: action,
      resourceIdentifier: item,
      operationID: `${namespace}/${name}/${creationTimestamp}`,
      postOperationItems: [item, ofContent],
    },
    status: { phase: "New", created: creationTimestamp },
  };
}

/** The record with the snapshots as they are now; what was settled before stays. */
export function completeKept(
  record: BackupRecord,
  kept: readonly KeptSnapshot[],
  now: string,
): BackupRecord {
  const byName = new Map(
    kept.map((one) => [`${one.snapshot.metadata.namespace}/${one.snapshot.metadata.name}`, one]),
  );
  const errors = new Messages(record.results.errors);
  const failed = new Set<string>();
  const operations = record.operations.map((operation): ItemOperation => {
    const { Name, Namespace, Resource } = operation.spec.resourceIdentifier;
    const seen = byName.get(`${Namespace}/${Name}`);
    if (Resource !== volumeSnapshots.plural || operation.status.phase !== "New") return operation;
    const error = seen === undefined ? gone : isReady(seen) ? undefined : whyLate(seen);
    if (error !== undefined) {
      errors.about(Namespace, `volumesnapshots/${Name}: ${error}`);
      failed.add(seen?.content?.metadata.name ?? "");
    }
    const phase = error === undefined ? "Completed" : "Failed";
    return {
      ...operation,
      status: { ...operation.status, phase, ...(error && { error }), updated: now },
    };
  });
  const contents = new Map(kept.map(({ content, snapshot }) => [content?.metadata.name, snapshot]));
  const volumes = record.volumes.map((info) => {
    const name = info.csiSnapshotInfo?.["vscName"] as string | undefined;
    const snapshot = contents.get(name);
    if (!snapshot || name === undefined) return info;
    const result = failed.has(name) ? ("failed" as const) : ("succeeded" as const);
    const ReadyToUse = snapshot.status?.readyToUse ?? null;
    const csiSnapshotInfo = { ...info.csiSnapshotInfo, ReadyToUse };
    return { ...info, result, completionTimestamp: now, csiSnapshotInfo };
  });
  return { operations, volumes, results: { ...record.results, errors: errors.all } };
}

/** As they lie in the backup. */
export function keptItems(backup: Backup, kept: readonly KeptSnapshot[]): BackupItem[] {
  return kept.filter(isReady).flatMap(({ content, snapshot }) =>
    content === undefined
      ? []
      : [
          {
            resource: resourceName(volumeSnapshotContents),
            version: volumeSnapshotContents.version,
            object: contentItem(backup, content),
          },
          {
            resource: resourceName(volumeSnapshots),
            version: volumeSnapshots.version,
            object: snapshotItem(backup, snapshot, content),
          },
        ],
  );
}

/** Its content: a deletion of the backup finds by the label what it may delete. */
export function contentItem(
  { metadata: backup }: Backup,
  content: VolumeSnapshotContent,
): VolumeSnapshotContent {
  const own = { ...content.metadata.labels, [labels.backupName]: labelValue(backup.name ?? "") };
  return { ...content, metadata: { ...content.metadata, labels: own } };
}

/** A snapshot that is kept, as it lies in the backup: with what a restore in another cluster needs. */
export function snapshotItem(
  { metadata: backup }: Backup,
  snapshot: VolumeSnapshot,
  { spec, status }: VolumeSnapshotContent,
): VolumeSnapshot {
  const size = status?.restoreSize;
  return {
    ...snapshot,
    metadata: {
      ...snapshot.metadata,
      annotations: {
        ...snapshot.metadata.annotations,
        [annotations.csiVolumeSnapshotHandle]: status?.snapshotHandle ?? "",
        [annotations.csiDriverName]: spec.driver,
        [annotations.csiDeletionPolicy]: spec.deletionPolicy,
        ...(size && { [annotations.csiVolumeSnapshotRestoreSize]: String(size) }),
      },
      labels: {
        ...snapshot.metadata.labels,
        [labels.backupName]: labelValue(backup.name ?? ""),
      },
    },
  };
}
