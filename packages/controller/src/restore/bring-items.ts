/**
 * One pass over everything that a Restore brings back: custom resource definitions first, until they are served, then all other kinds
 * in their order, several objects of a kind at a time.
 * Proof: test/restore/reconcile-restore.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import { labels, labelValue, type PodVolumeBackup, type Resource, type Restore } from "@dm/crds";
import { nowOf, settingsOf } from "../backup/backup-deps.ts";
import type { BackupLog } from "../backup/backup-log.ts";
import { listAll } from "../backup/list-all.ts";
import type { BackupContents } from "../bucket/read-backup.ts";
import type { ApiResource } from "../runtime/api-discovery.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { keyOf, keyText } from "../runtime/object-key.ts";
import { resourceFilter } from "../scope/resource-filter.ts";
import { findResources, resourceName } from "../scope/resource-names.ts";
import { type AnyObject, targetNamespace } from "./actions/action.ts";
import {
  type BringContext,
  bringItem,
  type ItemOutcome,
  isOfItem,
  isServerTrouble,
  restoringError,
} from "./bring-item.ts";
import { isMadeBy } from "./existing.ts";
import { restoredNamespaces } from "./namespaces.ts";
import {
  definitions,
  kindOrder,
  type PlannedItem,
  type PlannedKind,
  planRestore,
  type RestorePlan,
} from "./plan-restore.ts";
import { configuredWait } from "./pod-volumes.ts";
import type { ModifierRule } from "./resource-modifier.ts";
import { readRestoreConfig } from "./restore-config.ts";
import type { RestoreDeps } from "./restore-deps.ts";
import { planVolumes } from "./volumes.ts";

/** Objects of one kind that are made at once. */
const concurrency = 8;

export interface BringOptions extends KubeCallOptions {
  readonly contents: BackupContents;
  readonly podVolumeBackups: readonly PodVolumeBackup[];
  readonly location: string;
  readonly modifiers: readonly ModifierRule[];
  readonly log: BackupLog;
  /** Told now and then. */
  readonly onProgress: (restored: number, total: number) => Promise<void>;
}

export type Brought =
  | {
      readonly isWaiting: false;
      readonly plan: RestorePlan;
      readonly outcomes: readonly ItemOutcome[];
      readonly madeNamespaces: readonly string[];
    }
  /** Something that may pass is in the way. */
  | { readonly isWaiting: true };

export async function bringItems(
  deps: RestoreDeps,
  restore: Restore,
  { onProgress, ...options }: BringOptions,
): Promise<Brought> {
  const { contents, location, log, modifiers, podVolumeBackups, signal } = options;
  const { client, discovery } = deps;
  const served = await discovery.resources({ signal });
  const { excludedResources, includedResources } = restore.spec ?? {};
  const covers = resourceFilter(includedResources, excludedResources, served);
  const hasVolumes = covers("persistentvolumeclaims") && covers("persistentvolumes");
  const settings = await readRestoreConfig(client, restore.metadata.namespace ?? "", { signal });
  const context: BringContext = {
    deps,
    restore,
    known: {
      restore,
      volumes: planVolumes(contents, restore, podVolumeBackups, location),
      podVolumes: {
        backedUp: hasVolumes ? podVolumeBackups : [],
        wait: deps.restoreWait && configuredWait(deps.restoreWait, settings.podVolumeWait),
      },
      settings,
    },
    modifiers,
    namespaces: restoredNamespaces(client, restore, contents.items, { signal }),
    coversStatus: statusFilter(restore, served),
    csiSnapshotTimeout: contents.backup.spec?.csiSnapshotTimeout,
    location,
    log,
    options: { signal },
  };
  const order = kindOrder(deps.resourcePriorities, findResources(served));
  const plan = planRestore(contents.items, restore, covers, order);
  const total = plan.kinds.reduce((sum, { items }) => sum + items.length, 0);
  const outcomes: ItemOutcome[] = [];
  const bring = async (kind: PlannedKind, kinds: readonly ApiResource[]): Promise<void> => {
    const known = outcomes.filter(({ item }) => item.resource === definitions);
    for (const one of await bringKind(context, kind, kinds, known)) outcomes.push(one);
    await onProgress(outcomes.length, total);
  };
  const isDefinitions = ({ resource }: PlannedKind): boolean => resource === definitions;
  for (const kind of plan.kinds.filter(isDefinitions)) await bring(kind, served);
  const mayWait = waits(deps, restore);
  if (outcomes.some(mayWait)) return { isWaiting: true };
  // Kinds that came with them are served now.
  const all = outcomes.length > 0 ? await discovery.resources({ signal }) : served;
  for (const kind of plan.kinds.filter((one) => !isDefinitions(one))) await bring(kind, all);
  if (outcomes.some(mayWait)) return { isWaiting: true };
  return {
    isWaiting: false,
    plan,
    outcomes: outcomes.map((one) => (one.action === "wait" ? { ...one, action: "failed" } : one)),
    madeNamespaces: context.namespaces.made(),
  };
}

/** A status comes back only of kinds that the Restore names. */
function statusFilter(
  { spec }: Restore,
  served: readonly ApiResource[],
): (resource: string) => boolean {
  const { excludedResources, includedResources } = spec?.restoreStatus ?? {};
  return spec?.restoreStatus
    ? resourceFilter(includedResources, excludedResources, served)
    : () => false;
}

/** Whether it is worth waiting for what is in the way of an object; after some time it is not. */
function waits(deps: RestoreDeps, { status }: Restore): (outcome: ItemOutcome) => boolean {
  const nowMs = nowOf(deps).getTime();
  const startedMs = Date.parse(status?.startTimestamp ?? "");
  const { resourceTimeoutMs } = settingsOf(deps);
  const { terminatingTimeoutMs = resourceTimeoutMs } = deps;
  return ({ action, isEnding, since = "" }) =>
    action === "wait" &&
    nowMs - Math.max(startedMs, Date.parse(since) || startedMs) <
      (isEnding ? terminatingTimeoutMs : resourceTimeoutMs);
}

async function bringKind(
  context: BringContext,
  { items, resource }: PlannedKind,
  served: readonly ApiResource[],
  defined: readonly ItemOutcome[],
): Promise<ItemOutcome[]> {
  const api = served.find((one) => resourceName(one) === resource);
  if (api === undefined) {
    context.log.info("resource cannot be resolved via discovery", { resource });
    // Servers tell of a new kind some time after it is established.
    const definition = defined.find(({ item }) => item.name === resource);
    return items.map((item) => notServed(item, definition));
  }
  const isNamespaces = resource === "namespaces";
  const made = isNamespaces ? new Map<string, AnyObject>() : await madeBefore(context, api);
  if (made instanceof Error) return items.map((item) => waiting(item, made.message));
  const outcomes = await mapConcurrent(
    items,
    async (item): Promise<ItemOutcome[]> => {
      if (isNamespaces) return bringNamespace(context, item);
      const version = item.source.apiVersion?.split("/").at(-1);
      const kind = resourceAt(api, version);
      return [await bringItem(context, item, kind, made)];
    },
    { concurrency, signal: context.options.signal },
  );
  return outcomes.flat();
}

/** What an earlier pass of this Restore has made; or why that cannot be said now. */
async function madeBefore(
  { deps: { client }, options, restore }: BringContext,
  api: ApiResource,
): Promise<Map<string, AnyObject> | Error> {
  if (!api.verbs.includes("list")) return new Map();
  const labelSelector = `${labels.restoreName}=${labelValue(restore.metadata.name ?? "")}`;
  try {
    const found = await listAll(client, resourceAt(api), { ...options, labelSelector });
    const ours = found.filter((one) => isMadeBy(restore, one));
    return new Map(ours.map((one) => [keyText(keyOf(one)), one]));
  } catch (error) {
    // Each object will be told no in its turn.
    if (isOfItem(error)) return new Map();
    if (isServerTrouble(error)) return error as Error;
    throw error;
  }
}

/** Objects are made at the version that they were backed up at. */
function resourceAt(api: ApiResource, version = api.version): Resource<AnyObject> {
  const { group, kind, namespaced, plural } = api;
  return { group, version, kind, plural, namespaced };
}

/** Namespaces are no items of their own in Velero's lists, but for those that were made. */
async function bringNamespace(
  { namespaces, restore }: BringContext,
  item: PlannedItem,
): Promise<ItemOutcome[]> {
  const target = targetNamespace(restore, item.name);
  try {
    if ((await namespaces.ensure(target, item.name)) !== "waiting") return [];
  } catch (error) {
    if (!isDmError(error)) throw error;
    if (isServerTrouble(error)) return [waiting(item, error.message)];
    if (!isOfItem(error)) throw error;
    return [{ ...waiting(item, error.message), action: "failed" }];
  }
  const errors = [`namespace ${target} is still being deleted`];
  return [{ item, action: "wait", errors, warnings: [], isEnding: true }];
}

function notServed(item: PlannedItem, definition: ItemOutcome | undefined): ItemOutcome {
  const outcome = waiting(item, "the server could not find the requested resource");
  return definition ? { ...outcome, since: definition.since } : { ...outcome, action: "failed" };
}

const waiting = (item: PlannedItem, reason: string): ItemOutcome => ({
  item,
  action: "wait",
  errors: [restoringError(item, reason)],
  warnings: [],
});
