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
} from "@dm/crds";
import type { ItemIdentifier, ItemOperation, Results, VolumeInfo } from "../bucket/backup-files.ts";
import type { Followed } from "./follow.ts";
import { keptOperation } from "./kept-snapshots.ts";
import { Messages } from "./messages.ts";
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
  const operations = settled.flatMap(({ claim, outcome }) => {
    if (outcome.do === "follow") return [operationOf(backup, claim, outcome.upload)];
    return outcome.do === "keep" ? [keptOperation(backup, outcome)] : [];
  });
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
    preserveLocalSnapshot: upload === undefined,
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
