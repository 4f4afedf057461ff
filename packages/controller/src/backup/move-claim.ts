/**
 * One claim of a Backup, from its snapshot to its DataUpload. What only this claim is to blame for
 * comes back as a failure of it; what may pass is thrown.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { isDmError, parseGoDuration } from "@dm/core";
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
  type VolumeSnapshotClass,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isAlreadyExists, isNotFound } from "../runtime/kube-errors.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import {
  type ClaimDecision,
  decideClaim,
  type SeenClaim,
  type TakenSnapshot,
} from "./decide-claim.ts";
import { contentOf, snapshotName, uploadName } from "./made-objects.ts";

/** What became of a claim. */
export type ClaimOutcome =
  | Extract<ClaimDecision, { do: "skip" | "fail" | "keep" }>
  | ({ readonly do: "follow"; readonly upload: DataUpload } & TakenSnapshot);

type Step = ClaimOutcome | { readonly do: "wait" };

const wait: Step = { do: "wait" };

/**
 * Takes the snapshot, waits until the storage has it, and starts its DataUpload. Throws what may pass.
 * @example const outcome = await backUpClaim(deps, backup, { claim, volume }, classes, { signal });
 */
export async function backUpClaim(
  deps: BackupDeps,
  backup: Backup,
  { claim, volume }: Pick<SeenClaim, "claim" | "volume">,
  classes: readonly VolumeSnapshotClass[],
  options: KubeCallOptions,
): Promise<ClaimOutcome> {
  const { client, clock } = deps;
  const key = { namespace: claim.metadata.namespace, name: snapshotName(backup, claim) };
  const timeoutMs = parseGoDuration(backup.spec?.csiSnapshotTimeout ?? "") ?? 0;
  for (;;) {
    const snapshot = await client.get(volumeSnapshots, key, options);
    const content = await contentOf(client, snapshot, options);
    const seen = { claim, volume, snapshot, content };
    const decision = decideClaim(seen, backup, classes, { now: nowOf(deps), timeoutMs });
    const step = await moveClaim(deps, backup, seen, decision, options);
    if (step.do === "fail" && step.hadSnapshot && snapshot && isOurs(backup, snapshot))
      await dropSnapshot(client, snapshot, options);
    if (step.do !== "wait") return step;
    if (decision.do === "wait") await clock.sleep(settingsOf(deps).snapshotPollMs, options);
  }
}

const isOurs = ({ metadata: { uid } }: Backup, { metadata }: VolumeSnapshot): boolean =>
  metadata.labels?.[labels.backupUid] === uid;

async function moveClaim(
  deps: BackupDeps,
  backup: Backup,
  seen: SeenClaim,
  decision: ClaimDecision,
  options: KubeCallOptions,
): Promise<Step> {
  if (decision.do === "takeSnapshot") {
    const { className } = decision;
    return orFailure(false, () =>
      takeSnapshot(deps.client, backup, seen.claim, className, options),
    );
  }
  if (decision.do === "upload") {
    const { content, snapshot } = decision;
    return orFailure(true, () =>
      startUpload(deps, backup, seen.claim, { content, snapshot }, options),
    );
  }
  return decision as Step;
}

async function takeSnapshot(
  client: KubeClient,
  backup: Backup,
  claim: PersistentVolumeClaim,
  className: string,
  options: KubeCallOptions,
): Promise<Step> {
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
    if (there && !isOurs(backup, there))
      return foreign(`VolumeSnapshot ${namespace}/${name}`, false);
  }
  return wait;
}

async function startUpload(
  deps: BackupDeps,
  backup: Backup,
  claim: PersistentVolumeClaim,
  { content, snapshot }: TakenSnapshot,
  options: KubeCallOptions,
): Promise<Step> {
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
    return { do: "follow", upload: made, snapshot, content };
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const there = await deps.client.get(dataUploads, { namespace, name }, options);
    if (there === undefined) return wait;
    return operationOf(there) === dataUploadOperationId(backupUid, claimUid)
      ? { do: "follow", upload: there, snapshot, content }
      : foreign(`DataUpload ${namespace}/${name}`, true);
  }
}

/**
 * Keeps what the storage has of a snapshot, which is a backup now, and takes its objects away: nothing in the cluster may delete it
 * with them.
 */
export async function releaseSnapshot(
  client: KubeClient,
  snapshot: VolumeSnapshot,
  options: KubeCallOptions,
): Promise<void> {
  const content = await contentOf(client, snapshot, options);
  const contentKey = { name: content?.metadata.name ?? "" };
  if (content && content.spec.deletionPolicy !== "Retain") {
    const spec = { deletionPolicy: "Retain" };
    await client.patch(volumeSnapshotContents, contentKey, { spec }, options);
  }
  // It waits for its snapshot to go, which is found again until then.
  if (content) await client.delete(volumeSnapshotContents, contentKey, options);
  const { name = "", namespace, uid } = snapshot.metadata;
  await client.delete(volumeSnapshots, { namespace, name }, { ...options, uid });
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

function foreign(what: string, hadSnapshot: boolean): Step {
  return {
    do: "fail",
    message: `${what} is there already and was not made for this backup`,
    hadSnapshot,
  };
}

const refusals = ["DM_KUBE_INVALID", "DM_KUBE_FORBIDDEN", "DM_KUBE_NOT_FOUND"];

async function orFailure(hadSnapshot: boolean, work: () => Promise<Step>): Promise<Step> {
  try {
    return await work();
  } catch (error) {
    if (!isDmError(error) || !refusals.includes(error.code)) throw error;
    return { do: "fail", message: error.message, hadSnapshot };
  }
}
