/**
 * The DataDownload of one claim. Named after the restore and the claim, so that a second create meets the first. Pure.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import {
  type DataDownload,
  type DataUploadResult,
  labelValue,
  newDataDownload,
  type PersistentVolumeClaim,
  type Restore,
} from "@dm/crds";
import { madeName, shortDigest } from "../backup/made-name.ts";

/** Named after the source, so that it is found again whatever becomes of the target. */
export const downloadName = ({ metadata }: Restore, source: PersistentVolumeClaim): string =>
  madeName(metadata.name ?? "", metadata.uid ?? "", sourceUid(source));

/** The value of the label by which the claim is bound to no volume but the restored one. */
export function boundLabel(
  { metadata: { name = "", ...metadata } }: PersistentVolumeClaim,
  namespace: string,
  { metadata: { uid = "" } }: Restore,
): string {
  return labelValue(`${namespace}.${name}.${shortDigest(uid, metadata.uid ?? "", namespace)}`);
}

export function downloadFor(
  restore: Restore,
  source: PersistentVolumeClaim,
  namespace: string,
  result: DataUploadResult,
  {
    dataMover,
    operationTimeout,
  }: { readonly dataMover: string; readonly operationTimeout: string | undefined },
): DataDownload {
  const { name = "", namespace: own = "", uid = "" } = restore.metadata;
  const { parallelFilesDownload = 0, writeSparseFiles } = restore.spec?.uploaderConfig ?? {};
  const config = {
    ...(writeSparseFiles && { WriteSparseFiles: "true" }),
    ...(parallelFilesDownload > 0 && { ParallelFilesDownload: String(parallelFilesDownload) }),
  };
  // Data of Velero's own mover lies in a repository that ours reads.
  const isBuiltIn = !result.datamover || result.datamover === "velero";
  return newDataDownload({
    namespace: own,
    name: downloadName(restore, source),
    restore: { name, uid },
    result: isBuiltIn ? { ...result, datamover: dataMover } : result,
    targetNamespace: namespace,
    targetPVC: source.metadata.name ?? "",
    targetPVCUid: sourceUid(source).replaceAll("/", "."),
    operationTimeout,
    dataMoverConfig: Object.keys(config).length > 0 ? config : undefined,
  });
}

/** Claims that were backed up by hand may lack a uid. */
const sourceUid = ({ metadata }: PersistentVolumeClaim): string =>
  metadata.uid ?? `${metadata.namespace}/${metadata.name}`;
