/**
 * The BackupStorageLocation controller: asks the store from time to time and after each change, and says in the phase whether it can be
 * used; and sees to it that one location at most is the default. Credentials and certificates are read anew each time.
 * Proof: test/repository/reconcile-storage-location.test.ts.
 * @module
 */
import { isDmError, nsPerMs, parseGoDuration } from "@dm/core";
import { type BackupStorageLocation, backupStorageLocations } from "@dm/crds";
import { listVeleroFolders } from "@dm/snapshot/velero";
import { listAll } from "../backup/list-all.ts";
import { checkTopLevel } from "../bucket/list-folders.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { kubeTime } from "../runtime/objects.ts";
import type { RepositoryDeps } from "./repository-deps.ts";
import { scrubbed } from "./scrub.ts";
import { readStorageLocation } from "./storage-location.ts";

export interface StorageLocationDeps
  extends Pick<RepositoryDeps, "client" | "clock" | "environment" | "logger"> {
  /** For locations that do not say; a minute by default. */
  readonly validationFrequencyMs?: number | undefined;
  readonly metrics?: Metrics | undefined;
}

/** By client, then by uid: what was asked about last. A process that has just begun asks anew when it is time. */
const askedSpecs = new WeakMap<KubeClient, Map<string, string>>();

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
  const waitMs = hasChanged(client, object)
    ? 0
    : untilValidation(object, nowMs, deps.validationFrequencyMs ?? defaultFrequencyMs);
  if (waitMs === undefined) return {};
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  await keepOneDefault(deps, key, options);
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
  remember(client, object);
  deps.metrics
    ?.gauge("velero_backup_location_status_gauge", "1: the location can be used, 0: it cannot")
    .set(problem === undefined ? 1 : 0, { backup_location_name: key.name });
  const frequencyMs = frequencyOf(object, deps.validationFrequencyMs ?? defaultFrequencyMs);
  return frequencyMs > 0 ? { requeueAfterMs: frequencyMs } : {};
}

function hasChanged(client: KubeClient, { metadata, spec }: BackupStorageLocation): boolean {
  const asked = askedSpecs.get(client)?.get(metadata.uid ?? "");
  return asked !== undefined && asked !== askedText(spec);
}

function remember(client: KubeClient, { metadata, spec }: BackupStorageLocation): void {
  const asked = askedSpecs.get(client) ?? new Map<string, string>();
  asked.set(metadata.uid ?? "", askedText(spec));
  askedSpecs.set(client, asked);
}

const askedText = ({ default: _, ...spec }: BackupStorageLocation["spec"]): string =>
  JSON.stringify(spec);

async function keepOneDefault(
  { client, logger }: StorageLocationDeps,
  { namespace }: ObjectKey,
  options: KubeCallOptions,
): Promise<void> {
  const all = await listAll(client, backupStorageLocations, { ...options, namespace });
  for (const { metadata } of extraDefaults(all)) {
    const { name = "" } = metadata;
    logger.warn("Location is not the default any more, a younger one is", { name });
    const patch = { spec: { default: false } };
    await client.patch(backupStorageLocations, { namespace, name }, patch, options);
  }
}

/** Of several default locations all but the youngest, as Velero decides. */
export function extraDefaults(all: readonly BackupStorageLocation[]): BackupStorageLocation[] {
  const createdMs = ({ metadata }: BackupStorageLocation): number =>
    Date.parse(metadata.creationTimestamp ?? "") || 0;
  const defaults = all.filter(({ spec }) => spec.default === true);
  return defaults
    .sort((a, b) => createdMs(b) - createdMs(a) || (a.metadata.name! < b.metadata.name! ? -1 : 1))
    .slice(1);
}

/** Undefined for never, 0 for now. What was never asked about is asked about once, however rarely that shall be. */
export function untilValidation(
  object: BackupStorageLocation,
  nowMs: number,
  standardMs: number,
): number | undefined {
  const frequencyMs = frequencyOf(object, standardMs);
  const { lastValidationTime, phase } = object.status ?? {};
  const lastMs = Date.parse(lastValidationTime ?? "");
  if (!phase || Number.isNaN(lastMs)) return 0;
  if (frequencyMs <= 0) return undefined;
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
    const found = await listVeleroFolders(location, [], {
      credentials,
      environment,
      attempts,
      timeoutMs,
      clock,
      logger,
      signal,
    });
    checkTopLevel(found);
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (isDmError(error) && error.code.startsWith("DM_KUBE_")) throw error;
    return scrubbed(error instanceof Error ? error.message : String(error), secrets);
  }
}
