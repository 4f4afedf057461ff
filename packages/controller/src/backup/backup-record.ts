/**
 * What is written down of a Backup: first when the last claim is under way, then again with what became of each. Pure.
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
  type Namespace,
  type PersistentVolumeClaim,
} from "@dm/crds";
import type {
  BackupItem,
  ItemIdentifier,
  ItemOperation,
  ResultMessages,
  Results,
  VolumeInfo,
} from "../bucket/backup-files.ts";
import { withItem } from "../bucket/backup-files.ts";
import type { Followed } from "./follow.ts";
import type { ClaimOutcome } from "./move-claim.ts";
import { sourceAnnotation, sourceOf, withoutManagedFields } from "./source-note.ts";

export interface SettledClaim {
  readonly claim: PersistentVolumeClaim;
  readonly outcome: Exclude<ClaimOutcome, { do: "wait" }>;
}

/** Everything of a backup but the Backup itself. */
export interface BackupRecord {
  readonly items: readonly BackupItem[];
  readonly operations: readonly ItemOperation[];
  readonly volumes: readonly VolumeInfo[];
  readonly results: Results;
}

const action = "velero.io/csi-pvc-backupper";
const unknown = "unknown";

export function recordBackup(
  backup: Backup,
  settled: readonly SettledClaim[],
  seen: {
    readonly namespaces: readonly Namespace[];
    readonly missingNamespaces: readonly string[];
  },
): BackupRecord {
  const errors = new Messages();
  const warnings = new Messages();
  for (const name of seen.missingNamespaces)
    warnings.about(name, `namespace ${name} does not exist`);
  for (const { claim, outcome } of settled) {
    const { name, namespace = "" } = claim.metadata;
    if (outcome.do === "fail")
      errors.about(namespace, `persistentvolumeclaims/${name}: ${outcome.message}`);
    if (outcome.do === "skip" && outcome.why === "no CSI volume")
      warnings.about(
        namespace,
        `persistentvolumeclaims/${name}: its volume is of no CSI driver, its data is not in the backup`,
      );
  }
  const uploads = settled.flatMap(({ claim, outcome }) =>
    outcome.do === "follow" ? [{ claim, upload: outcome.upload }] : [],
  );
  return {
    items: [
      ...seen.namespaces.map((object) => ({
        resource: "namespaces",
        version: "v1",
        object: withoutManagedFields(object),
      })),
      ...settled.map((one) => claimItem(backup, one)),
    ],
    operations: uploads.map(({ claim, upload }) => operationOf(backup, claim, upload)),
    volumes: settled.map(volumeInfo),
    results: { errors: errors.all, warnings: warnings.all },
  };
}

/** The record with the DataUploads as they ended: what a restore needs. */
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
  let { items } = record;
  const operations = record.operations.map((operation): ItemOperation => {
    const { operationID, resourceIdentifier } = operation.spec;
    const upload = byOperation.get(operationID);
    const error = upload
      ? failures.get(upload)
      : `no DataUpload found with label ${labels.asyncOperationId}=${operationID}`;
    if (upload) {
      const object = withoutNote(upload);
      items = withItem(items, { resource: "datauploads.velero.io", version: "v2alpha1", object });
    }
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
  return { items, operations, volumes, results: { ...record.results, errors: errors.all } };
}

export function countMessages({ cluster, namespaces = {}, velero }: ResultMessages): number {
  const lists = [velero, cluster, ...Object.values(namespaces)];
  return lists.reduce((sum, list) => sum + (list?.length ?? 0), 0);
}

/** Messages by namespace, each once: a record may be completed twice. */
export class Messages {
  readonly #all: { readonly [K in keyof ResultMessages]: ResultMessages[K] };
  readonly #namespaces: Record<string, string[]> = {};

  constructor(start: ResultMessages = {}) {
    this.#all = start;
    for (const [name, list] of Object.entries(start.namespaces ?? {}))
      this.#namespaces[name] = [...list];
  }

  about(namespace: string, message: string): void {
    this.#namespaces[namespace] ??= [];
    const list = this.#namespaces[namespace];
    if (!list.includes(message)) list.push(message);
  }

  get all(): ResultMessages {
    const hasAny = Object.keys(this.#namespaces).length > 0;
    return hasAny ? { ...this.#all, namespaces: this.#namespaces } : this.#all;
  }
}

function claimItem(backup: Backup, { claim, outcome }: SettledClaim): BackupItem {
  const object = structuredClone(withoutManagedFields(claim));
  const added = { labels: {}, annotations: {} } as Record<"labels" | "annotations", object>;
  if (outcome.do === "follow") {
    const { metadata, spec } = outcome.upload;
    const snapshot = spec.csiSnapshot?.volumeSnapshot ?? "";
    added.annotations = {
      [annotations.dataUploadName]: `${metadata.namespace}/${metadata.name}`,
      [annotations.volumeSnapshotName]: snapshot,
      [annotations.mustIncludeAdditionalItems]: "true",
    };
    added.labels = {
      [labels.volumeSnapshotName]: labelValue(snapshot),
      [labels.backupName]: labelValue(backup.metadata.name ?? ""),
    };
  } else if (outcome.do === "skip" && outcome.why === "no CSI volume")
    added.annotations = { [annotations.skippedNoCSIPV]: "true" };
  object.metadata.labels = { ...object.metadata.labels, ...added.labels };
  object.metadata.annotations = { ...object.metadata.annotations, ...added.annotations };
  return { resource: "persistentvolumeclaims", version: "v1", object };
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

function volumeInfo({ claim, outcome }: SettledClaim): VolumeInfo {
  const { name = "", namespace = "" } = claim.metadata;
  const common = {
    pvcName: name,
    pvcNamespace: namespace,
    pvName: claim.spec.volumeName || unknown,
    preserveLocalSnapshot: false,
  };
  if (outcome.do !== "follow") {
    const skippedReason = outcome.do === "fail" ? outcome.message : outcome.why;
    return { ...common, backupMethod: "", snapshotDataMoved: false, skipped: true, skippedReason };
  }
  const { upload } = outcome;
  const note = sourceOf(upload);
  const operationID = upload.metadata.labels?.[labels.asyncOperationId] ?? unknown;
  return movedInfo(
    {
      ...common,
      backupMethod: "CSISnapshot",
      snapshotDataMoved: true,
      skipped: false,
      ...(note?.snapshot.takenAt && { startTimestamp: note.snapshot.takenAt }),
      csiSnapshotInfo: {
        snapshotHandle: note?.snapshot.handle || unknown,
        size: note?.snapshot.size ?? 0,
        driver: upload.spec.csiSnapshot?.driver || unknown,
        vscName: note?.snapshot.content || unknown,
        operationID,
        ReadyToUse: true,
      },
      ...(note && {
        pvInfo: { reclaimPolicy: note.volume.reclaimPolicy, labels: note.volume.labels },
      }),
    },
    upload,
  );
}

function movedInfo(info: VolumeInfo, { metadata, spec, status }: DataUpload): VolumeInfo {
  return {
    ...info,
    snapshotDataMovementInfo: {
      dataMover: spec.datamover || "velero",
      uploaderType: "kopia",
      retainedSnapshot: unknown,
      snapshotHandle: status?.snapshotID || unknown,
      operationID: metadata.labels?.[labels.asyncOperationId] ?? unknown,
      size: status?.progress?.totalBytes ?? 0,
      incrementalSize: status?.incrementalBytes ?? 0,
      Phase: status?.phase ?? "New",
    },
  };
}

function withoutNote(upload: DataUpload): DataUpload {
  const object = structuredClone(withoutManagedFields(upload));
  delete object.metadata.annotations?.[sourceAnnotation];
  return object;
}
