/**
 * The DownloadRequest controller: gives a URL for a file of a backup or restore, for ten minutes; then the request goes.
 *
 * As Velero does it, with one difference: a request that can never be answered (no such backup, a directory as location) is Processed
 * without a URL at once, with the reason in an Event and in the log, because its kind has no field for one. Velero leaves it New
 * until its end. Either way the client says that it got no URL.
 * Proof: test/requests/download-request.test.ts.
 * @module
 */
import { isDmError, nsPerMs, type StorageError } from "@dm/core";
import {
  backupStorageLocations,
  backups,
  type DownloadRequest,
  downloadRequests,
  restores,
} from "@dm/crds";
import type { BackupPath } from "../bucket/sign-url.ts";
import { scrubbed } from "../repository/scrub.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import { downloadPath } from "./download-target.ts";
import type { RequestDeps } from "./request-deps.ts";

export const downloadLifetimeMs = 10 * 60_000;

export async function reconcileDownloadRequest(
  deps: RequestDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock, events, logger } = deps;
  const request = await client.get(downloadRequests, key, options);
  if (request === undefined || request.metadata.deletionTimestamp) return {};
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const { expiration, phase } = request.status ?? {};
  if (phase === "Processed") {
    const leftMs = (Date.parse(expiration ?? "") || nowMs) - nowMs;
    if (leftMs > 0) return { requeueAfterMs: Math.min(leftMs, downloadLifetimeMs) };
    await client.delete(downloadRequests, key, { ...options, uid: request.metadata.uid });
    return {};
  }
  const answer = await answerOf(deps, request, options);
  const status = {
    phase: "Processed",
    expiration: kubeTime(new Date(nowMs + downloadLifetimeMs)),
    ...("url" in answer && { downloadURL: answer.url }),
  };
  await client.patch(downloadRequests, key, { status }, options);
  if ("reason" in answer) {
    const { kind, name } = request.spec.target;
    logger.warn("Could not give a URL for a download", { kind, name, reason: answer.reason });
    const event = { type: "Warning", reason: "DownloadRefused", message: answer.reason } as const;
    events?.record(downloadRequests, request, event);
  }
  return { requeueAfterMs: downloadLifetimeMs };
}

type Answer = { readonly url: string } | { readonly reason: string };

async function answerOf(
  deps: RequestDeps,
  request: DownloadRequest,
  options: KubeCallOptions,
): Promise<Answer> {
  const { kind, name } = request.spec.target;
  const path = downloadPath(kind, name);
  if (path === undefined) return { reason: `unsupported download target kind "${kind}"` };
  const location = await locationOf(deps, request, path, options);
  if ("reason" in location) return location;
  try {
    const sign = { ...options, lifetimeMs: downloadLifetimeMs };
    return { url: await deps.signUrl(location, path, sign) };
  } catch (error) {
    options.signal?.throwIfAborted();
    // What may pass is tried again.
    if (!isDmError(error) || (error as Partial<StorageError>).retryable) throw error;
    if (error.code === "DM_KUBE_UNAVAILABLE") throw error;
    return { reason: scrubbed(error.message, []) };
  }
}

async function locationOf(
  { client }: RequestDeps,
  { metadata: { namespace }, spec }: DownloadRequest,
  [folder, name]: BackupPath,
  options: KubeCallOptions,
): Promise<ObjectKey | { readonly reason: string }> {
  let backupName = name;
  if (folder === "restores") {
    const restore = await client.get(restores, { namespace, name: spec.target.name }, options);
    if (restore === undefined) return { reason: `restore ${name} does not exist` };
    backupName = restore.spec?.backupName ?? "";
    if (backupName === "") return { reason: `restore ${name} names no backup yet` };
  }
  const backup = await client.get(backups, { namespace, name: backupName }, options);
  if (backup === undefined) return { reason: `backup ${backupName} does not exist` };
  const key = { namespace, name: backup.spec?.storageLocation ?? "" };
  const location =
    key.name === "" ? undefined : await client.get(backupStorageLocations, key, options);
  if (location === undefined) return { reason: `backup storage location ${key.name} not found` };
  return key;
}
