/**
 * The DeleteBackupRequest controller: looks, decides (`decide-deletion.ts`), and does one thing. A crash anywhere is repaired by
 * running again.
 * Proof: test/retention/delete-backup.test.ts, test/retention/crash.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import {
  type Backup,
  backupStorageLocations,
  backups,
  type DataUpload,
  type DeleteBackupRequest,
  dataUploads,
  deleteBackupRequests,
  labels,
  labelValue,
  podVolumeBackups,
  restores,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { decideDeletion, type RequestDecision, type SeenRequest } from "./decide-deletion.ts";
import { deleteBackup } from "./delete-backup.ts";
import { type RetentionDeps, retentionSettings } from "./retention-deps.ts";

export async function reconcileDeleteRequest(
  deps: RetentionDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const request = await deps.client.get(deleteBackupRequests, key, options);
  if (request === undefined || request.metadata.deletionTimestamp) return {};
  const seen = await observe(deps, request, options);
  const decision = decideDeletion(seen, Number(deps.clock.nowNs() / nsPerMs));
  return perform(deps, request, decision, options);
}

async function observe(
  deps: RetentionDeps,
  request: DeleteBackupRequest,
  options: KubeCallOptions,
): Promise<SeenRequest> {
  const { client } = deps;
  const { namespace } = request.metadata;
  const { backupName } = request.spec;
  const { cancelTimeoutMs, requestMaxAgeMs: maxAgeMs } = retentionSettings(deps);
  const limits = { maxAgeMs, cancelTimeoutMs };
  const nothing = { request, others: [], restores: [], movements: [], limits };
  const absent = { ...nothing, backup: undefined, location: undefined };
  if (request.status?.phase === "Processed" || !backupName) return absent;
  const all = await listAll(client, deleteBackupRequests, { ...options, namespace });
  const others = all.filter(
    ({ metadata, spec }) =>
      spec.backupName === backupName &&
      metadata.name !== request.metadata.name &&
      !metadata.deletionTimestamp,
  );
  const backup = await client.get(backups, { namespace, name: backupName }, options);
  if (backup === undefined) return { ...absent, others };
  const name = backup.spec?.storageLocation ?? "";
  const location =
    name === ""
      ? undefined
      : await client.get(backupStorageLocations, { namespace, name }, options);
  const labelSelector = `${labels.backupName}=${labelValue(backupName)}`;
  const ofBackup = { ...options, namespace, labelSelector };
  const made = await listAll(client, restores, { ...options, namespace });
  return {
    ...nothing,
    others,
    backup,
    location,
    restores: made.filter(({ spec }) => spec?.backupName === backupName),
    movements: [
      ...(await listAll(client, dataUploads, ofBackup)),
      ...(await listAll(client, podVolumeBackups, ofBackup)),
    ],
  };
}

async function perform(
  deps: RetentionDeps,
  request: DeleteBackupRequest,
  decision: RequestDecision,
  options: KubeCallOptions,
): Promise<ReconcileResult> {
  const { client, logger } = deps;
  const { pollMs, requestMaxAgeMs } = retentionSettings(deps);
  switch (decision.do) {
    case "wait":
      return { requeueAfterMs: decision.ms };
    case "forget":
      await remove(deps, request, options);
      return {};
    case "refuse":
      await process(deps, request, [decision.reason], options);
      return { requeueAfterMs: requestMaxAgeMs };
    case "finish":
      await removeAll(deps, request, options);
      return {};
    case "cancel":
      for (const movement of decision.movements) {
        const { name = "", namespace } = movement.metadata;
        const resource = movement.kind === "DataUpload" ? dataUploads : podVolumeBackups;
        const patch = {
          spec: { cancel: true },
          status: { message: "the backup is being deleted" },
        };
        logger.info("Cancelled movement of a backup to delete", { kind: movement.kind, name });
        await client.patch<DataUpload>(
          resource as typeof dataUploads,
          { namespace, name },
          patch,
          options,
        );
      }
      return { requeueAfterMs: pollMs };
    case "delete": {
      for (const other of decision.others) await remove(deps, other, options);
      const backup = await begin(deps, request, decision.backup, options);
      const end = await deleteBackup(deps, backup, options);
      if (!end.isDone) return { requeueAfterMs: pollMs };
      count(deps, backup, end.errors.length === 0 ? "success" : "failure");
      if (end.errors.length > 0) {
        logger.warn("Could not delete backup", {
          backup: backup.metadata.name,
          errors: end.errors,
        });
        await process(deps, request, end.errors, options);
        return { requeueAfterMs: requestMaxAgeMs };
      }
      logger.info("Deleted backup", { backup: backup.metadata.name });
      await process(deps, request, [], options);
      await removeAll(deps, request, options);
      return {};
    }
  }
}

/** From here on everybody sees that the backup goes. */
async function begin(
  deps: RetentionDeps,
  { metadata, status }: DeleteBackupRequest,
  backup: Backup,
  options: KubeCallOptions,
): Promise<Backup> {
  const { client } = deps;
  const { name = "", namespace } = metadata;
  const wanted = {
    [labels.backupName]: labelValue(backup.metadata.name ?? ""),
    [labels.backupUid]: backup.metadata.uid ?? "",
  };
  const isLabelled = Object.entries(wanted).every(
    ([key, value]) => metadata.labels?.[key] === value,
  );
  if (status?.phase !== "InProgress" || !isLabelled) {
    const patch = { metadata: { labels: wanted }, status: { phase: "InProgress" } };
    await client.patch(deleteBackupRequests, { namespace, name }, patch, options);
  }
  if (backup.status?.phase === "Deleting") return backup;
  count(deps, backup, "attempt");
  const { resourceVersion } = backup.metadata;
  const key = { namespace, name: backup.metadata.name ?? "" };
  // With the version that was decided on: a backup that has changed is looked at again.
  const patch = { metadata: { resourceVersion }, status: { phase: "Deleting" } };
  return client.patch(backups, key, patch, options);
}

async function process(
  { client }: RetentionDeps,
  { metadata }: DeleteBackupRequest,
  errors: readonly string[],
  options: KubeCallOptions,
): Promise<void> {
  const { name = "", namespace } = metadata;
  const patch = { status: { phase: "Processed", errors } };
  try {
    await client.patch(deleteBackupRequests, { namespace, name }, patch, options);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
  }
}

async function removeAll(
  deps: RetentionDeps,
  request: DeleteBackupRequest,
  options: KubeCallOptions,
): Promise<void> {
  const { namespace } = request.metadata;
  const all = await listAll(deps.client, deleteBackupRequests, { ...options, namespace });
  for (const one of all)
    if (one.spec.backupName === request.spec.backupName) await remove(deps, one, options);
}

async function remove(
  { client }: RetentionDeps,
  { metadata }: DeleteBackupRequest,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "", namespace, uid } = metadata;
  await client.delete(deleteBackupRequests, { namespace, name }, { ...options, uid });
}

function count(
  { metrics }: RetentionDeps,
  { metadata }: Backup,
  what: "attempt" | "failure" | "success",
): void {
  const schedule = metadata.labels?.[labels.scheduleName] ?? "";
  metrics
    ?.counter(`velero_backup_deletion_${what}_total`, `Deletions of backups: ${what}`)
    .increase({ schedule });
}
