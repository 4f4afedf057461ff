/**
 * Asks for the deletion of a Backup whose time is over: one request, however often this runs.
 * Proof: test/retention/collect-expired.test.ts, test/retention/crash.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import {
  type Backup,
  type BackupStorageLocation,
  backupStorageLocations,
  backups,
  type DeleteBackupRequest,
  deleteBackupRequests,
  labels,
  labelValue,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import { madeName } from "../backup/made-name.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { decideGc, untilExpiry } from "./decide-gc.ts";
import { type RetentionDeps, retentionSettings } from "./retention-deps.ts";

/** @param backup as a cache has it: nothing is asked before it expires */
export async function collectExpired(
  deps: Pick<RetentionDeps, "client" | "clock" | "logger" | "settings">,
  backup: Backup,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { clock, logger } = deps;
  const { gcPeriodMs } = retentionSettings(deps);
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const waitMs = untilExpiry(backup, nowMs, gcPeriodMs);
  if (waitMs === undefined) return {};
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  const location = await locationOf(deps, backup, options);
  const requests = await requestsFor(deps, backup, options);
  const decision = decideGc({ backup, location, requests }, nowMs, gcPeriodMs);
  const { name = "", namespace = "" } = backup.metadata;
  switch (decision.do) {
    case "wait":
      break;
    case "fail":
      logger.warn("Backup has expired and cannot be deleted", {
        backup: name,
        reason: decision.reason,
      });
      await setFailure(deps, backup, decision.reason, options);
      break;
    case "leave":
    case "request":
      if (decision.hasFailed) await setFailure(deps, backup, null, options);
      if (decision.do === "leave") break;
      logger.info("Backup has expired", { backup: name });
      await request(deps, name, namespace, backup, nowMs, options);
  }
  return { requeueAfterMs: gcPeriodMs };
}

async function locationOf(
  { client }: Pick<RetentionDeps, "client">,
  { metadata, spec }: Backup,
  options: KubeCallOptions,
): Promise<BackupStorageLocation | undefined | "unknown"> {
  const name = spec?.storageLocation ?? "";
  if (name === "") return undefined;
  try {
    const key = { namespace: metadata.namespace, name };
    return await client.get(backupStorageLocations, key, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    return "unknown";
  }
}

async function requestsFor(
  { client }: Pick<RetentionDeps, "client">,
  { metadata }: Backup,
  options: KubeCallOptions,
): Promise<DeleteBackupRequest[]> {
  const { name, namespace } = metadata;
  const all = await listAll(client, deleteBackupRequests, { ...options, namespace });
  return all.filter(({ spec }) => spec.backupName === name);
}

async function setFailure(
  { client }: Pick<RetentionDeps, "client">,
  { metadata }: Backup,
  reason: string | null,
  options: KubeCallOptions,
): Promise<void> {
  const { name = "", namespace } = metadata;
  if ((metadata.labels?.[labels.gcFailure] ?? null) === reason) return;
  const patch = { metadata: { labels: { [labels.gcFailure]: reason } } };
  try {
    await client.patch(backups, { namespace, name }, patch, options);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
  }
}

/** Its name is that of the hour: a second create meets the first, and a later one, after a failure, does not. */
async function request(
  { client, settings }: Pick<RetentionDeps, "client" | "settings">,
  name: string,
  namespace: string,
  { metadata: { uid = "" } }: Backup,
  nowMs: number,
  options: KubeCallOptions,
): Promise<void> {
  const { gcPeriodMs } = retentionSettings({ settings });
  const wanted: DeleteBackupRequest = {
    apiVersion: "velero.io/v1",
    kind: "DeleteBackupRequest",
    metadata: {
      name: madeName(name, uid, String(Math.floor(nowMs / gcPeriodMs))),
      namespace,
      labels: { [labels.backupName]: labelValue(name), [labels.backupUid]: uid },
    },
    spec: { backupName: name },
  };
  try {
    await client.create(deleteBackupRequests, wanted, options);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
  }
}
