/**
 * What a Restore makes of the claims in a backup: where each goes, what it looks like there, and which data it gets. Pure.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import {
  annotations,
  type DataDownload,
  type DataUpload,
  type DataUploadResult,
  labels,
  labelValue,
  type Namespace,
  newDataDownload,
  type PersistentVolumeClaim,
  type Restore,
} from "@dm/crds";
import { madeName, shortDigest } from "../backup/made-name.ts";
import type { BackupContents } from "../bucket/read-backup.ts";
import { admits, coversClaims, isSelected } from "../scope/scope.ts";

/** On a restored claim: which Restore made it. */
export const restoredBy = "dm.velero.io/restored-by";

export interface PlannedClaim {
  /** As it is in the backup. */
  readonly source: PersistentVolumeClaim;
  readonly namespace: string;
  readonly data:
    | { readonly from: "repository"; readonly result: DataUploadResult }
    | { readonly from: "nowhere"; readonly warning?: string | undefined }
    /** There should be some, and there is none: the claim is not made. */
    | { readonly from: "lost"; readonly error: string };
}

/** `location` is the one in which this cluster finds the backup. */
export function planClaims(
  contents: BackupContents,
  restore: Restore,
  location: string,
): PlannedClaim[] {
  const { spec = {} } = restore;
  if (!coversClaims(spec)) return [];
  const uploads = new Map(
    itemsOf<DataUpload>(contents, "datauploads.velero.io").map((one) => [
      `${one.metadata.namespace}/${one.metadata.name}`,
      one,
    ]),
  );
  return itemsOf<PersistentVolumeClaim>(contents, "persistentvolumeclaims")
    .filter(
      (claim) =>
        admits(spec.includedNamespaces, spec.excludedNamespaces, claim.metadata.namespace ?? "") &&
        isSelected(spec, claim),
    )
    .map((source) => ({
      source,
      namespace: targetNamespace(restore, source.metadata.namespace ?? ""),
      data: dataOf(source, restore, uploads, location),
    }));
}

function itemsOf<T>({ items }: BackupContents, resource: string): T[] {
  return items.filter((item) => item.resource === resource).map(({ object }) => object as T);
}

function targetNamespace({ spec }: Restore, source: string): string {
  const mapping = spec?.namespaceMapping ?? {};
  return Object.hasOwn(mapping, source) ? (mapping[source] ?? source) : source;
}

function dataOf(
  { metadata }: PersistentVolumeClaim,
  { spec }: Restore,
  uploads: ReadonlyMap<string, DataUpload>,
  location: string,
): PlannedClaim["data"] {
  if (spec?.restorePVs === false) return { from: "nowhere" };
  const name = metadata.annotations?.[annotations.dataUploadName];
  if (!name)
    return {
      from: "nowhere",
      warning: "the backup has no data of it that was moved: it is restored empty",
    };
  const upload = uploads.get(name);
  if (upload === undefined) return lost(`its DataUpload ${name} is not in the backup`);
  const { phase, snapshotID } = upload.status ?? {};
  if (!snapshotID || phase !== "Completed")
    return lost(`its DataUpload ${name} is ${phase ?? "New"} and left no snapshot to restore`);
  return { from: "repository", result: resultOf(upload, location) };
}

const lost = (error: string): PlannedClaim["data"] => ({ from: "lost", error });

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

/** Of the cluster that the claim came from: what the storage of this one decides anew. */
const leftBehind = new Set([
  annotations.bindCompleted,
  annotations.boundByController,
  annotations.selectedNode,
  annotations.dataUploadName,
  annotations.volumeSnapshotName,
  annotations.mustIncludeAdditionalItems,
  annotations.skippedNoCSIPV,
  "volume.kubernetes.io/storage-provisioner",
  "volume.beta.kubernetes.io/storage-provisioner",
] as string[]);

export function restoredClaim({ data, namespace, source }: PlannedClaim, restore: Restore) {
  const { name: restoreName = "", uid: restoreUid = "" } = restore.metadata;
  const { metadata, spec } = source;
  const { dataSource: _source, dataSourceRef: _ref, selector, volumeName: _volume, ...kept } = spec;
  const others = Object.entries(metadata.annotations ?? {}).filter(([key]) => !leftBehind.has(key));
  const { [labels.volumeSnapshotName]: _snapshot, ...ownLabels } = metadata.labels ?? {};
  const claim: PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: metadata.name ?? "",
      namespace,
      labels: {
        ...ownLabels,
        [labels.backupName]: labelValue(restore.spec?.backupName ?? ""),
        [labels.restoreName]: labelValue(restoreName),
      },
      annotations: { ...Object.fromEntries(others), [restoredBy]: restoreUid },
    },
    spec: {
      ...kept,
      // No volume but the restored one may be bound to it.
      ...(data.from === "repository"
        ? {
            selector: {
              matchLabels: { [labels.dynamicPVRestore]: boundLabel(source, namespace, restoreUid) },
            },
          }
        : selector && { selector }),
    },
  };
  return claim;
}

function boundLabel({ metadata }: PersistentVolumeClaim, namespace: string, restoreUid: string) {
  const { name = "", uid = "" } = metadata;
  return labelValue(`${namespace}.${name}.${shortDigest(restoreUid, uid, namespace)}`);
}

/** Named after the source, so that it is found again whatever becomes of the target. */
export const downloadName = ({ metadata }: Restore, { source }: PlannedClaim): string =>
  madeName(metadata.name ?? "", metadata.uid ?? "", sourceUid(source));

/** Claims that were backed up by hand may lack a uid. */
const sourceUid = ({ metadata }: PersistentVolumeClaim): string =>
  metadata.uid ?? `${metadata.namespace}/${metadata.name}`;

export function downloadFor(
  restore: Restore,
  plan: PlannedClaim,
  result: DataUploadResult,
  {
    dataMover,
    operationTimeout,
  }: { readonly dataMover: string; readonly operationTimeout: string | undefined },
): DataDownload {
  const { name = "", namespace = "", uid = "" } = restore.metadata;
  const { parallelFilesDownload = 0, writeSparseFiles } = restore.spec?.uploaderConfig ?? {};
  const config = {
    ...(writeSparseFiles && { WriteSparseFiles: "true" }),
    ...(parallelFilesDownload > 0 && { ParallelFilesDownload: String(parallelFilesDownload) }),
  };
  // Data of Velero's own mover lies in a repository that ours reads.
  const isBuiltIn = !result.datamover || result.datamover === "velero";
  return newDataDownload({
    namespace,
    name: downloadName(restore, plan),
    restore: { name, uid },
    result: isBuiltIn ? { ...result, datamover: dataMover } : result,
    targetNamespace: plan.namespace,
    targetPVC: plan.source.metadata.name ?? "",
    targetPVCUid: sourceUid(plan.source).replaceAll("/", "."),
    operationTimeout,
    dataMoverConfig: Object.keys(config).length > 0 ? config : undefined,
  });
}

/** A namespace to make on demand, as the backup has it. */
export function restoredNamespace(contents: BackupContents, source: string, name: string) {
  const found = itemsOf<Namespace>(contents, "namespaces").find(
    ({ metadata }) => metadata.name === source,
  );
  const { "kubernetes.io/metadata.name": _own, ...ownLabels } = found?.metadata.labels ?? {};
  const namespace: Namespace = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name,
      ...(Object.keys(ownLabels).length > 0 && { labels: ownLabels }),
      ...(found?.metadata.annotations && { annotations: found.metadata.annotations }),
    },
  };
  return namespace;
}
