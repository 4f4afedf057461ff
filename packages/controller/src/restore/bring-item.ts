/**
 * Brings one object of a backup back: its namespace, the object, and what belongs to it: a DataDownload, PodVolumeRestores, a status.
 * What this Restore has made before is found by its labels and not made again. What only this object is to blame for comes back as its
 * outcome; what may pass for all is thrown.
 * Proof: test/restore/restore-objects.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type DataDownload,
  dataDownloads,
  type PersistentVolumeClaim,
  type Pod,
  type PodVolumeBackup,
  type PodVolumeRestore,
  persistentVolumeClaims,
  podVolumeRestores,
  type Resource,
  type Restore,
} from "@dm/crds";
import { settingsOf } from "../backup/backup-deps.ts";
import type { BackupLog } from "../backup/backup-log.ts";
import { podVolumeRestoresFor } from "../pod-volume/index.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isAlreadyExists, isNotFound } from "../runtime/kube-errors.ts";
import { keyOf, keyText } from "../runtime/object-key.ts";
import { isDeleting } from "../runtime/objects.ts";
import { type ActionContext, type AnyObject, Leave } from "./actions/action.ts";
import { downloadFor } from "./claim-download.ts";
import { decideExisting } from "./existing.ts";
import type { Namespaces } from "./namespaces.ts";
import { definitions, idOf, type PlannedItem } from "./plan-restore.ts";
import { volumesOfPod } from "./pod-volumes.ts";
import { prepareItem } from "./prepare-item.ts";
import type { ModifierRule } from "./resource-modifier.ts";
import type { RestoreDeps } from "./restore-deps.ts";

export interface BringContext {
  readonly deps: RestoreDeps;
  readonly restore: Restore;
  readonly known: Omit<ActionContext, "source" | "namespace" | "exists">;
  readonly modifiers: readonly ModifierRule[];
  readonly namespaces: Namespaces;
  /** Whether the status of a resource comes back too. */
  readonly coversStatus: (resource: string) => boolean;
  /** Of the Backup. */
  readonly csiSnapshotTimeout: string | undefined;
  /** In which this cluster finds the backup. */
  readonly location: string;
  readonly log: BackupLog;
  readonly options: KubeCallOptions;
}

export type ItemAction = "created" | "updated" | "skipped" | "failed";

export interface ItemOutcome {
  readonly item: PlannedItem;
  /** `wait`: something is in the way that may pass; `errors` say what. */
  readonly action: ItemAction | "wait";
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Some objects get new names. */
  readonly createdName?: string | undefined;
  /** When what is in the way began, if that was after the start of the Restore. */
  readonly since?: string | undefined;
  /** It is on its way out. */
  readonly isEnding?: boolean | undefined;
}

type Result = Pick<ItemOutcome, "action" | "since" | "isEnding" | "createdName"> & {
  readonly errors?: readonly string[];
  readonly warnings?: readonly string[];
};

/** `made` are the objects that this Restore has made already, by their keys. */
export async function bringItem(
  context: BringContext,
  item: PlannedItem,
  resource: Resource<AnyObject>,
  made: ReadonlyMap<string, AnyObject>,
): Promise<ItemOutcome> {
  const result = await bringOne(context, item, resource, made).catch((error: unknown): Result => {
    if (!isDmError(error)) throw error;
    if (isOfItem(error)) return failed(restoringError(item, error.message));
    if (isServerTrouble(error)) return waitFor(item, error.message);
    throw error;
  });
  const { action, errors = [], warnings = [] } = result;
  const fields = { name: item.name, namespace: item.namespace, groupResource: item.resource };
  if (action !== "wait") context.log.info(`Restored item: ${action}`, fields);
  return { ...result, item, errors, warnings };
}

async function bringOne(
  context: BringContext,
  item: PlannedItem,
  resource: Resource<AnyObject>,
  madeBefore: ReadonlyMap<string, AnyObject>,
): Promise<Result> {
  const { deps, known, modifiers, namespaces, options } = context;
  const mayBeThere = item.resource === "persistentvolumeclaims" && !madeBefore.has(keyText(item));
  // Nothing is moved into a claim that is there.
  const there = mayBeThere ? await deps.client.get(resource, item, options) : undefined;
  if (there && isDeleting(there)) return waitForEnd(item, there);
  const prepared = prepareItem(item, { ...known, exists: there !== undefined }, modifiers);
  if (prepared instanceof Leave) return leave(item, prepared);
  const { errors, object } = prepared;
  if (item.namespace !== "") {
    const source = item.source.metadata.namespace ?? "";
    if ((await namespaces.ensure(item.namespace, source)) === "waiting")
      return {
        ...waitFor(item, `namespace ${item.namespace} is still being deleted`),
        isEnding: true,
      };
  }
  const made = madeBefore.get(keyText(keyOf(object)));
  const created = made ?? (there ? undefined : await create(context, resource, object));
  if (created !== undefined && !(created instanceof Existing)) {
    const more = await complete(context, item, resource, created);
    const { name } = created.metadata;
    return { ...more, createdName: name, errors: [...errors, ...(more.errors ?? [])] };
  }
  const found = created?.object ?? there;
  if (found === undefined) return waitFor(item, "another one came and went");
  if (isDeleting(found)) return waitForEnd(item, found);
  const settled = await settleExisting(context, item, resource, object, found);
  return { ...settled, errors: [...errors, ...(settled.errors ?? [])] };
}

/** It is there, and was not made by this Restore. */
class Existing {
  readonly object: AnyObject | undefined;

  constructor(object: AnyObject | undefined) {
    this.object = object;
  }
}

async function create(
  { deps: { client }, options }: BringContext,
  resource: Resource<AnyObject>,
  object: AnyObject,
): Promise<AnyObject | Existing> {
  try {
    return await client.create(resource, object, options);
  } catch (error) {
    if (!isDmError(error) || !(isOfItem(error) || isAlreadyExists(error))) throw error;
    // A refusal may come first: of a port, say, that the object itself holds.
    const { name = "", namespace } = object.metadata;
    const found = await client.get(resource, { namespace, name }, options).catch(() => undefined);
    if (found === undefined && !isAlreadyExists(error)) throw error;
    return new Existing(found);
  }
}

async function settleExisting(
  { deps: { client }, options, restore }: BringContext,
  item: PlannedItem,
  resource: Resource<AnyObject>,
  wanted: AnyObject,
  found: AnyObject,
): Promise<Result> {
  const decision = decideExisting(restore, item.resource, wanted, found);
  if (decision.do === "leave")
    return decision.warning
      ? { action: "failed", warnings: [decision.warning] }
      : { action: "skipped" };
  const { name = "", namespace } = wanted.metadata;
  const key = { namespace, name };
  try {
    await client.patch(resource, key, decision.patch, options);
    return { action: decision.as };
  } catch (error) {
    if (!isDmError(error) || !isOfItem(error)) throw error;
    if (decision.labelsOnly) await client.patch(resource, key, decision.labelsOnly, options);
    return { action: "failed", warnings: [error.message] };
  }
}

/** What belongs to an object that this Restore has made. */
async function complete(
  context: BringContext,
  item: PlannedItem,
  resource: Resource<AnyObject>,
  made: AnyObject,
): Promise<Result> {
  const warnings = await restoreStatus(context, item, resource, made);
  switch (item.resource) {
    case definitions: {
      const since = made.metadata.creationTimestamp;
      const isServed = isEstablished(made) || (await isServedNow(context, item, resource));
      if (isServed) return { action: "created", since };
      const reason = `the CRD ${item.name} is not available to use for custom resources`;
      return { action: "wait", errors: [reason], since };
    }
    case "persistentvolumeclaims":
      return { ...(await startDownload(context, item, warnings)) };
    case "pods":
      return startPodVolumes(context, item, made as AnyObject & Pod, warnings);
    default:
      return { action: "created", warnings };
  }
}

async function restoreStatus(
  { coversStatus, deps: { client }, options }: BringContext,
  item: PlannedItem,
  resource: Resource<AnyObject>,
  made: AnyObject,
): Promise<string[]> {
  const { resource: name, source } = item;
  const wish = source.metadata.annotations?.[statusAnnotation]?.trim().toLowerCase();
  const isWanted = wish === "true" || (wish !== "false" && coversStatus(name));
  const { status } = source;
  if (!isWanted || status === undefined) return [];
  const { name: own = "", namespace } = made.metadata;
  try {
    const key = { namespace, name: own };
    await client.patch(resource, key, { status }, { ...options, subresource: "status" });
    return [];
  } catch (error) {
    if (!isDmError(error) || !isOfItem(error)) throw error;
    return [`${titleOf(item)}: its status could not be restored: ${error.message}`];
  }
}

const statusAnnotation = "velero.io/restore-status";

async function isServedNow(
  { deps: { client }, options }: BringContext,
  { name }: PlannedItem,
  resource: Resource<AnyObject>,
): Promise<boolean> {
  const now = await client.get(resource, { name }, options);
  return now !== undefined && isEstablished(now);
}

function isEstablished(definition: AnyObject): boolean {
  const { conditions = [] } = (definition["status"] ?? {}) as {
    readonly conditions?: readonly { readonly type?: string; readonly status?: string }[];
  };
  const isTrue = (wanted: string): boolean =>
    conditions.some(({ status, type }) => type === wanted && status === "True");
  return isTrue("Established") && isTrue("NamesAccepted");
}

async function startDownload(
  { csiSnapshotTimeout, deps, known, options, restore }: BringContext,
  item: PlannedItem,
  warnings: readonly string[],
): Promise<Result> {
  const claim = item.source as AnyObject & PersistentVolumeClaim;
  const data = known.volumes.dataOf(claim);
  if (data.from !== "repository")
    return {
      action: "created",
      warnings:
        data.from === "nowhere" && data.warning
          ? [...warnings, `${titleOf(item)}: ${data.warning}`]
          : warnings,
    };
  const download = downloadFor(restore, claim, item.namespace, data.result, {
    dataMover: settingsOf(deps).dataMover,
    operationTimeout: csiSnapshotTimeout,
  });
  const problem = await createOwned(deps, dataDownloads, download, restore, options);
  return { action: "created", warnings, ...(problem && { errors: [problem] }) };
}

async function startPodVolumes(
  { deps, known, location, options, restore }: BringContext,
  item: PlannedItem,
  pod: AnyObject & Pod,
  warnings: readonly string[],
): Promise<Result> {
  const sourceNamespace = item.source.metadata.namespace ?? "";
  const { refused, restorable } = volumesOfPod(known.podVolumes, pod, sourceNamespace);
  const errors = refused.map(
    ({ reason, volume }) => `${titleOf(item)}: volume ${volume}: ${reason}`,
  );
  const claims = await claimsOf(deps, pod, restorable, options);
  const about = { sourceNamespace, location, claims };
  const due = podVolumeRestoresFor(restore, pod, restorable, about);
  for (const one of due) {
    const problem = await createOwned(deps, podVolumeRestores, one, restore, options);
    if (problem) errors.push(problem);
  }
  return { action: "created", errors, warnings };
}

/** Those of volumes, by name, as far as they are there. */
async function claimsOf(
  { client }: RestoreDeps,
  { metadata: { namespace }, spec: { volumes = [] } }: Pod,
  backedUp: readonly PodVolumeBackup[],
  options: KubeCallOptions,
): Promise<Map<string, PersistentVolumeClaim>> {
  const due = new Set(backedUp.map(({ spec: { volume } }) => volume));
  const found = new Map<string, PersistentVolumeClaim>();
  for (const { name, persistentVolumeClaim } of volumes) {
    if (!persistentVolumeClaim || !due.has(name)) continue;
    const key = { namespace, name: persistentVolumeClaim.claimName };
    const claim = await client.get(persistentVolumeClaims, key, options);
    if (claim) found.set(key.name, claim);
  }
  return found;
}

/** Returns why it is not there. */
async function createOwned<T extends DataDownload | PodVolumeRestore>(
  { client }: RestoreDeps,
  resource: Resource<T>,
  object: T,
  { metadata: { uid } }: Restore,
  options: KubeCallOptions,
): Promise<string | undefined> {
  try {
    await client.create(resource, object, options);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { name = "", namespace } = object.metadata;
    const there = await client.get(resource, { namespace, name }, options);
    const isOurs = there?.metadata.ownerReferences?.some((owner) => owner.uid === uid);
    if (there && !isOurs)
      return `${resource.kind} ${name} is there already and was not made for this restore`;
  }
  return undefined;
}

const titleOf = ({ name, namespace, resource }: PlannedItem): string =>
  idOf(resource, namespace, name);

const failed = (error: string): Result => ({ action: "failed", errors: [error] });

function leave(item: PlannedItem, { as, reason }: Leave): Result {
  return as === "skipped"
    ? { action: "skipped" }
    : failed(`error preparing ${titleOf(item)}: ${reason}`);
}

const waitFor = (item: PlannedItem, reason: string): Result => ({
  action: "wait",
  errors: [restoringError(item, reason)],
});

/** As Velero words it. */
export const restoringError = (item: PlannedItem, reason: string): string =>
  `error restoring ${titleOf(item)}: ${reason}`;

const waitForEnd = (item: PlannedItem, { metadata }: AnyObject): Result => ({
  ...waitFor(item, "the old one is still being deleted"),
  since: metadata.deletionTimestamp,
  isEnding: true,
});

/** The server has understood, and says no to this object. */
export const isOfItem = (error: unknown): boolean =>
  isDmError(error, "DM_KUBE_INVALID") || isDmError(error, "DM_KUBE_FORBIDDEN") || isNotFound(error);

/** The server is there, but cannot do this: an admission webhook or an API behind it does not answer, say. */
export const isServerTrouble = (error: unknown): boolean =>
  isDmError(error, "DM_KUBE_UNAVAILABLE") &&
  (error.details["reason"] === "InternalError" || error.details["httpStatus"] === 503);
