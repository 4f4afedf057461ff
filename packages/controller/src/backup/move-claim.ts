/**
 * Carries out what was decided for one claim of a Backup: its snapshot, then its DataUpload. What only this claim is to blame for
 * comes back as a failure of it; what may pass is thrown.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type Backup,
  type DataUpload,
  dataUploadOperationId,
  dataUploads,
  labels,
  labelValue,
  newDataUpload,
  type PersistentVolumeClaim,
  type VolumeSnapshot,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isAlreadyExists, isNotFound } from "../runtime/kube-errors.ts";
import { type BackupDeps, settingsOf } from "./backup-deps.ts";
import type { ClaimDecision, SeenClaim } from "./decide-claim.ts";
import { contentOf, snapshotName, uploadName } from "./observe-backup.ts";
import { noteSource, sourceAnnotation } from "./source-note.ts";

/** Of a decision that left nothing to be done, or of the work. */
export type ClaimOutcome = Extract<ClaimDecision, { do: "follow" | "skip" | "fail" | "wait" }>;

const wait: ClaimOutcome = { do: "wait" };

export async function moveClaim(
  deps: BackupDeps,
  backup: Backup,
  seen: SeenClaim,
  decision: ClaimDecision,
  options: KubeCallOptions,
): Promise<ClaimOutcome> {
  if (decision.do === "takeSnapshot") {
    const { className } = decision;
    return orFailure(false, () =>
      takeSnapshot(deps.client, backup, seen.claim, className, options),
    );
  }
  if (decision.do === "upload")
    return orFailure(true, () => startUpload(deps, backup, seen, decision, options));
  return decision;
}

async function takeSnapshot(
  client: KubeClient,
  backup: Backup,
  claim: PersistentVolumeClaim,
  className: string,
  options: KubeCallOptions,
): Promise<ClaimOutcome> {
  const { name: backupName = "", uid: backupUid = "" } = backup.metadata;
  const { labels: own, name: claimName = "", namespace, uid: claimUid = "" } = claim.metadata;
  const name = snapshotName(backup, claim);
  const snapshot: VolumeSnapshot = {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshot",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        ...own,
        [labels.backupName]: labelValue(backupName),
        [labels.backupUid]: backupUid,
        [labels.pvcUid]: claimUid,
      },
    },
    spec: {
      source: { persistentVolumeClaimName: claimName },
      volumeSnapshotClassName: className,
    },
  };
  try {
    await client.create(volumeSnapshots, snapshot, options);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const there = await client.get(volumeSnapshots, { namespace, name }, options);
    if (there && there.metadata.labels?.[labels.backupUid] !== backupUid)
      return foreign(`VolumeSnapshot ${namespace}/${name}`, false);
  }
  return wait;
}

async function startUpload(
  deps: BackupDeps,
  backup: Backup,
  { claim, volume }: SeenClaim,
  { content, snapshot }: Extract<ClaimDecision, { do: "upload" }>,
  options: KubeCallOptions,
): Promise<ClaimOutcome> {
  const { name: backupName = "", namespace = "", uid: backupUid = "" } = backup.metadata;
  const {
    name: claimName = "",
    namespace: sourceNamespace = "",
    uid: claimUid = "",
  } = claim.metadata;
  const { spec = {} } = backup;
  const files = spec.uploaderConfig?.parallelFilesUpload ?? 0;
  const name = uploadName(backup, claim);
  const upload = newDataUpload({
    namespace,
    name,
    annotations: { [sourceAnnotation]: noteSource(claim, volume, content) },
    backup: { name: backupName, uid: backupUid },
    backupStorageLocation: spec.storageLocation ?? "",
    sourceNamespace,
    sourcePVC: claimName,
    sourcePVCUid: claimUid,
    csiSnapshot: {
      volumeSnapshot: snapshot.metadata.name ?? "",
      storageClass: claim.spec.storageClassName ?? "",
      snapshotClass: snapshot.spec.volumeSnapshotClassName ?? "",
      driver: content.spec.driver,
    },
    operationTimeout: spec.csiSnapshotTimeout,
    datamover: spec.datamover || settingsOf(deps).dataMover,
    dataMoverConfig: files > 0 ? { ParallelFilesUpload: String(files) } : undefined,
  });
  try {
    const made = await deps.client.create(dataUploads, upload, options);
    return { do: "follow", upload: made };
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const there = await deps.client.get(dataUploads, { namespace, name }, options);
    if (there === undefined) return wait;
    const isOurs = operationOf(there) === dataUploadOperationId(backupUid, claimUid);
    return isOurs
      ? { do: "follow", upload: there }
      : foreign(`DataUpload ${namespace}/${name}`, true);
  }
}

/** Deletes a snapshot of ours together with what the storage has of it, whatever its class says. */
export async function dropSnapshot(
  client: KubeClient,
  snapshot: VolumeSnapshot,
  options: KubeCallOptions,
): Promise<void> {
  const content = await contentOf(client, snapshot, options);
  if (content && content.spec.deletionPolicy !== "Delete") {
    const key = { name: content.metadata.name ?? "" };
    try {
      const spec = { deletionPolicy: "Delete" };
      await client.patch(volumeSnapshotContents, key, { spec }, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  const { name = "", namespace, uid } = snapshot.metadata;
  await client.delete(volumeSnapshots, { namespace, name }, { ...options, uid });
}

const operationOf = ({ metadata }: DataUpload): string | undefined =>
  metadata.labels?.[labels.asyncOperationId];

function foreign(what: string, hadSnapshot: boolean): ClaimOutcome {
  return {
    do: "fail",
    message: `${what} is there already and was not made for this backup`,
    hadSnapshot,
  };
}

const refusals = ["DM_KUBE_INVALID", "DM_KUBE_FORBIDDEN", "DM_KUBE_NOT_FOUND"];

async function orFailure(
  hadSnapshot: boolean,
  work: () => Promise<ClaimOutcome>,
): Promise<ClaimOutcome> {
  try {
    return await work();
  } catch (error) {
    if (!isDmError(error) || !refusals.includes(error.code)) throw error;
    return { do: "fail", message: error.message, hadSnapshot };
  }
}
