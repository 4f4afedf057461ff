/**
 * What is written down of a Backup's volumes and of what went wrong: first when the last volume is under way, then again with what
 * became of each. Pure.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import {
  annotations,
  type Backup,
  type DataUpload,
  dataUploadOperationId,
  labels,
  labelValue,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type PodVolumeBackup,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
} from "@dm/crds";
import type {
  ItemIdentifier,
  ItemOperation,
  ResultMessages,
  Results,
  VolumeInfo,
} from "../bucket/backup-files.ts";
import type { Followed } from "./follow.ts";
import type { ClaimOutcome } from "./move-claim.ts";

export interface SettledClaim {
  readonly claim: PersistentVolumeClaim;
  readonly volume?: PersistentVolume | undefined;
  readonly outcome: ClaimOutcome | { readonly do: "files" };
}

/** Everything of a backup that changes when its data has been moved. */
export interface BackupRecord {
  readonly operations: readonly ItemOperation[];
  readonly volumes: readonly VolumeInfo[];
  readonly results: Results;
}

const action = "velero.io/csi-pvc-backupper";
const unknown = "unknown";

export function recordVolumes(
  backup: Backup,
  settled: readonly SettledClaim[],
  podVolumes: readonly PodVolumeBackup[],
): Pick<BackupRecord, "operations" | "volumes"> {
  const byClaim = new Map(
    podVolumes.map((one) => [one.metadata.labels?.[labels.pvcUid] ?? one.metadata.uid, one]),
  );
  const operations = settled.flatMap(({ claim, outcome }) =>
    outcome.do === "follow" ? [operationOf(backup, claim, outcome.upload)] : [],
  );
  const volumes = settled.map((one) => volumeInfo(one, byClaim.get(one.claim.metadata.uid ?? "")));
  const ofPods = podVolumes.filter(({ metadata }) => !metadata.labels?.[labels.pvcUid]);
  return { operations, volumes: [...volumes, ...ofPods.map(podVolumeInfo)] };
}

/** The claim as it lies in the backup: a restore finds by it what was taken of its volume. */
export function claimItem(
  { metadata: backup }: Backup,
  claim: PersistentVolumeClaim,
  outcome: SettledClaim["outcome"],
): PersistentVolumeClaim {
  if (outcome.do !== "follow" && outcome.do !== "keep") return claim;
  const { annotations: notes, labels: own } = claim.metadata;
  const snapshot = outcome.snapshot.metadata.name ?? "";
  const upload = outcome.do === "follow" ? outcome.upload.metadata : undefined;
  return {
    ...claim,
    metadata: {
      ...claim.metadata,
      annotations: {
        ...notes,
        ...(upload && { [annotations.dataUploadName]: `${upload.namespace}/${upload.name}` }),
        [annotations.volumeSnapshotName]: snapshot,
        [annotations.mustIncludeAdditionalItems]: "true",
      },
      labels: {
        ...own,
        [labels.volumeSnapshotName]: labelValue(snapshot),
        [labels.backupName]: labelValue(backup.name ?? ""),
      },
    },
  };
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

/** The record with the DataUploads as they ended. */
export function completeRecord(
  record: BackupRecord,
  uploads: readonly DataUpload[],
  followed: Followed<DataUpload>,
): BackupRecord {
  const byOperation = new Map(
    uploads.map((one) => [one.metadata.labels?.[labels.asyncOperationId] ?? "", one]),
  );
  const failures = new Map(followed.failed.map(({ message, object }) => [object, message]));
  const errors = new Messages(record.results.errors);
  const operations = record.operations.map((operation): ItemOperation => {
    const { operationID, resourceIdentifier } = operation.spec;
    const upload = byOperation.get(operationID);
    const error = upload
      ? failures.get(upload)
      : `no DataUpload found with label ${labels.asyncOperationId}=${operationID}`;
    if (error !== undefined)
      errors.about(
        resourceIdentifier.Namespace,
        `persistentvolumeclaims/${resourceIdentifier.Name}: ${error}`,
      );
    return { ...operation, status: operationStatus(operation.status, upload, error) };
  });
  const volumes = record.volumes.map((info) => {
    const id = info.snapshotDataMovementInfo?.["operationID"];
    const upload = typeof id === "string" ? byOperation.get(id) : undefined;
    return upload ? movedInfo(info, upload) : info;
  });
  return { operations, volumes, results: { ...record.results, errors: errors.all } };
}

export function countMessages({ cluster, namespaces = {}, velero }: ResultMessages): number {
  const lists = [velero, cluster, ...Object.values(namespaces)];
  return lists.reduce((sum, list) => sum + (list?.length ?? 0), 0);
}

/** Messages by what they concern, each once: a record may be completed twice. */
export class Messages {
  readonly #lists: Record<string, string[]> = {};
  readonly #namespaces: Record<string, string[]> = {};

  constructor({ namespaces = {}, ...lists }: ResultMessages = {}) {
    for (const [name, list] of Object.entries(lists)) this.#lists[name] = [...(list ?? [])];
    for (const [name, list] of Object.entries(namespaces)) this.#namespaces[name] = [...list];
  }

  /** Without a namespace, about the cluster. */
  about(namespace: string, message: string): void {
    const lists = namespace === "" ? this.#lists : this.#namespaces;
    const key = namespace === "" ? "cluster" : namespace;
    lists[key] ??= [];
    const list = lists[key];
    if (!list.includes(message)) list.push(message);
  }

  get all(): ResultMessages {
    const hasAny = Object.keys(this.#namespaces).length > 0;
    return hasAny ? { ...this.#lists, namespaces: this.#namespaces } : { ...this.#lists };
  }
}

function operationOf(
  { metadata: backup }: Backup,
  { metadata: claim }: PersistentVolumeClaim,
  { metadata: upload }: DataUpload,
): ItemOperation {
  const item: ItemIdentifier = {
    Group: "",
    Resource: "persistentvolumeclaims",
    Namespace: claim.namespace ?? "",
    Name: claim.name ?? "",
  };
  const after: ItemIdentifier = {
    Group: "velero.io",
    Resource: "datauploads",
    Namespace: upload.namespace ?? "",
    Name: upload.name ?? "",
  };
  return {
    spec: {
      backupName: backup.name ?? "",
      backupUID: backup.uid ?? "",
      backupItemAction: action,
      resourceIdentifier: item,
      operationID: dataUploadOperationId(backup.uid ?? "", claim.uid ?? ""),
      postOperationItems: [after],
    },
    status: { phase: "New", created: upload.creationTimestamp },
  };
}

function operationStatus(
  before: ItemOperation["status"],
  upload: DataUpload | undefined,
  error: string | undefined,
): ItemOperation["status"] {
  const { completionTimestamp, phase, progress, startTimestamp } = upload?.status ?? {};
  return {
    ...before,
    phase: error === undefined ? "Completed" : "Failed",
    ...(error === undefined ? {} : { error }),
    ...(progress && { nCompleted: progress.bytesDone ?? 0, nTotal: progress.totalBytes ?? 0 }),
    operationUnits: "Bytes",
    ...(phase && { description: phase }),
    ...(startTimestamp && { started: startTimestamp }),
    ...(completionTimestamp && { updated: completionTimestamp }),
  };
}

function volumeInfo(
  { claim, outcome, volume }: SettledClaim,
  podVolume: PodVolumeBackup | undefined,
): VolumeInfo {
  const { name = "", namespace = "" } = claim.metadata;
  const common = {
    pvcName: name,
    pvcNamespace: namespace,
    pvName: claim.spec.volumeName || unknown,
    snapshotDataMoved: false,
    preserveLocalSnapshot: false,
    skipped: false,
    ...(volume && {
      pvInfo: {
        reclaimPolicy: volume.spec.persistentVolumeReclaimPolicy ?? "",
        labels: volume.metadata.labels ?? {},
      },
    }),
  };
  if (podVolume) return { ...podVolumeInfo(podVolume), ...common };
  if (outcome.do === "files")
    return { ...common, skipped: true, skippedReason: "podvolume: it was not taken" };
  if (outcome.do === "skip" || outcome.do === "fail") {
    const skippedReason = outcome.do === "fail" ? outcome.message : outcome.why;
    return { ...common, skipped: true, skippedReason };
  }
  const { content, snapshot } = outcome;
  const upload = outcome.do === "follow" ? outcome.upload : undefined;
  const operationID = upload?.metadata.labels?.[labels.asyncOperationId];
  const info: VolumeInfo = {
    ...common,
    backupMethod: "CSISnapshot",
    snapshotDataMoved: upload !== undefined,
    ...(!upload && { preserveLocalSnapshot: true, result: "succeeded" }),
    ...(content.metadata.creationTimestamp && {
      startTimestamp: content.metadata.creationTimestamp,
    }),
    csiSnapshotInfo: {
      snapshotHandle: content.status?.snapshotHandle || unknown,
      size: content.status?.restoreSize ?? 0,
      driver: content.spec.driver || unknown,
      vscName: content.metadata.name || unknown,
      ...(operationID && { operationID }),
      ReadyToUse: snapshot.status?.readyToUse ?? null,
    },
  };
  return upload ? movedInfo(info, upload) : info;
}

function movedInfo(info: VolumeInfo, { metadata, spec, status }: DataUpload): VolumeInfo {
  const { completionTimestamp, phase } = status ?? {};
  return {
    ...info,
    ...(completionTimestamp && {
      completionTimestamp,
      result: phase === "Completed" ? "succeeded" : "failed",
    }),
    snapshotDataMovementInfo: {
      dataMover: spec.datamover || "velero",
      uploaderType: "kopia",
      retainedSnapshot: spec.csiSnapshot?.volumeSnapshot || unknown,
      snapshotHandle: status?.snapshotID ?? "",
      operationID: metadata.labels?.[labels.asyncOperationId] ?? unknown,
      size: status?.progress?.totalBytes ?? 0,
      ...(status?.incrementalBytes && { incrementalSize: status.incrementalBytes }),
      Phase: phase ?? "New",
    },
  };
}

function podVolumeInfo({ spec, status }: PodVolumeBackup): VolumeInfo {
  const { completionTimestamp, phase, progress, startTimestamp } = status ?? {};
  return {
    backupMethod: "PodVolumeBackup",
    snapshotDataMoved: false,
    preserveLocalSnapshot: false,
    skipped: false,
    ...(startTimestamp && { startTimestamp }),
    ...(completionTimestamp && { completionTimestamp }),
    result: phase === "Completed" ? "succeeded" : "failed",
    pvbInfo: {
      ...(status?.snapshotID && { snapshotHandle: status.snapshotID }),
      ...(progress?.totalBytes && { size: progress.totalBytes }),
      ...(status?.incrementalBytes && { incrementalSize: status.incrementalBytes }),
      uploaderType: spec.uploaderType ?? "kopia",
      volumeName: spec.volume,
      podName: spec.pod.name ?? "",
      podNamespace: spec.pod.namespace ?? "",
      nodeName: spec.node,
      Phase: phase ?? "New",
    },
  };
}
