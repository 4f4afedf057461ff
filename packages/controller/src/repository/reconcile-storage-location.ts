/**
 * The BackupStorageLocation controller: asks the store from time to time, and says in the phase whether it can be used.
 * Proof: test/repository/reconcile-storage-location.test.ts.
 * @module
 */
import { isDmError, nsPerMs, parseGoDuration } from "@dm/core";
import { type BackupStorageLocation, backupStorageLocations } from "@dm/crds";
import { checkVeleroLocation } from "@dm/snapshot/velero";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import type { RepositoryDeps } from "./repository-deps.ts";
import { scrubbed } from "./scrub.ts";
import { readStorageLocation } from "./storage-location.ts";

export interface StorageLocationDeps
  extends Pick<RepositoryDeps, "client" | "clock" | "environment" | "logger"> {
  /** For locations that do not say; a minute by default. */
  readonly validationFrequencyMs?: number | undefined;
}

const defaultFrequencyMs = 60_000;
/** A check is given up after a few of these: the next one comes soon. */
const attempts = 3;
const timeoutMs = 10_000;

/** One look at one location, when it is time for it. */
export async function reconcileStorageLocation(
  deps: StorageLocationDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock } = deps;
  const object = await client.get(backupStorageLocations, key, options);
  if (object === undefined || object.metadata.deletionTimestamp) return {};
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const waitMs = untilValidation(object, nowMs, deps.validationFrequencyMs ?? defaultFrequencyMs);
  if (waitMs === undefined) return {};
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  const problem = await problemOf(deps, key, options);
  const phase = problem === undefined ? "Available" : "Unavailable";
  if (phase !== object.status?.phase)
    deps.logger.info("Storage location changed", { name: key.name, phase, reason: problem });
  const status = {
    phase,
    message: problem ?? "",
    lastValidationTime: kubeTime(new Date(Number(clock.nowNs() / nsPerMs))),
  };
  await client.patch(backupStorageLocations, key, { status }, options);
  return { requeueAfterMs: frequencyOf(object, deps.validationFrequencyMs ?? defaultFrequencyMs) };
}

/** Undefined for never, 0 for now. */
export function untilValidation(
  object: BackupStorageLocation,
  nowMs: number,
  standardMs: number,
): number | undefined {
  const frequencyMs = frequencyOf(object, standardMs);
  if (frequencyMs <= 0) return undefined;
  const { lastValidationTime, phase } = object.status ?? {};
  const lastMs = Date.parse(lastValidationTime ?? "");
  if (!phase || Number.isNaN(lastMs)) return 0;
  // Also after a clock was set back.
  return Math.min(Math.max(0, lastMs + frequencyMs - nowMs), frequencyMs);
}

function frequencyOf({ spec }: BackupStorageLocation, standardMs: number): number {
  return spec.validationFrequency
    ? (parseGoDuration(spec.validationFrequency) ?? standardMs)
    : standardMs;
}

/** Why it cannot be used, without secrets; undefined when it can. */
async function problemOf(
  { client, clock, environment, logger }: StorageLocationDeps,
  key: ObjectKey,
  { signal }: KubeCallOptions,
): Promise<string | undefined> {
  const secrets: string[] = [];
  try {
    const { credentials, location } = await readStorageLocation(client, key, { signal });
    if (credentials) secrets.push(await credentials());
    await checkVeleroLocation(location, {
      credentials,
      environment,
      attempts,
      timeoutMs,
      clock,
      logger,
      signal,
    });
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (isDmError(error) && error.code.startsWith("DM_KUBE_")) throw error;
    return scrubbed(error instanceof Error ? error.message : String(error), secrets);
  }
}
