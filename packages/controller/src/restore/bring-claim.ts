/**
 * Brings one claim of a backup back: its namespace, the claim, its DataDownload. What is there already is found, not made again.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type DataDownload,
  dataDownloads,
  type Namespace,
  namespaces,
  persistentVolumeClaims,
  type Restore,
} from "@dm/crds";
import { type BackupDeps, settingsOf } from "../backup/backup-deps.ts";
import type { BackupContents } from "../bucket/read-backup.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isAlreadyExists } from "../runtime/kube-errors.ts";
import { isDeleting } from "../runtime/objects.ts";
import {
  downloadFor,
  type PlannedClaim,
  restoredBy,
  restoredClaim,
  restoredNamespace,
} from "./restore-plan.ts";

export type BringOutcome =
  | { readonly do: "follow" }
  | { readonly do: "made"; readonly warning?: string | undefined }
  | { readonly do: "leave"; readonly warning: string }
  | { readonly do: "fail"; readonly message: string }
  /** Something of the name is on its way out. */
  | { readonly do: "wait"; readonly forWhat: string };

export interface BringContext {
  readonly deps: BackupDeps;
  readonly restore: Restore;
  readonly contents: BackupContents;
  /** By name. */
  readonly downloads: ReadonlyMap<string, DataDownload>;
  readonly options: KubeCallOptions;
}

export async function bringClaim(
  context: BringContext,
  plan: PlannedClaim,
  downloadName: string,
): Promise<BringOutcome> {
  if (context.downloads.has(downloadName)) return { do: "follow" };
  if (plan.data.from === "lost") return { do: "fail", message: plan.data.error };
  try {
    return (await prepareNamespace(context, plan)) ?? (await makeClaim(context, plan));
  } catch (error) {
    if (!isDmError(error) || !refusals.includes(error.code)) throw error;
    return { do: "fail", message: error.message };
  }
}

const refusals = ["DM_KUBE_INVALID", "DM_KUBE_FORBIDDEN", "DM_KUBE_NOT_FOUND"];

async function prepareNamespace(
  { contents, deps: { client }, options }: BringContext,
  { namespace, source }: PlannedClaim,
): Promise<BringOutcome | undefined> {
  const found = await client.get(namespaces, { name: namespace }, options);
  if (found)
    return isLeaving(found) ? { do: "wait", forWhat: `namespace ${namespace}` } : undefined;
  const made = restoredNamespace(contents, source.metadata.namespace ?? "", namespace);
  try {
    await client.create(namespaces, made, options);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  return undefined;
}

const isLeaving = (namespace: Namespace): boolean =>
  isDeleting(namespace) || namespace.status?.phase === "Terminating";

async function makeClaim(context: BringContext, plan: PlannedClaim): Promise<BringOutcome> {
  const { deps, options, restore } = context;
  const { client } = deps;
  const { name = "" } = plan.source.metadata;
  const { namespace } = plan;
  const key = { namespace, name };
  let found = await client.get(persistentVolumeClaims, key, options);
  if (found === undefined) {
    try {
      found = await client.create(persistentVolumeClaims, restoredClaim(plan, restore), options);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      return { do: "wait", forWhat: `PersistentVolumeClaim ${namespace}/${name}` };
    }
  }
  if (isDeleting(found))
    return { do: "wait", forWhat: `PersistentVolumeClaim ${namespace}/${name}` };
  if (found.metadata.annotations?.[restoredBy] !== restore.metadata.uid)
    return {
      do: "leave",
      warning:
        `could not restore, PersistentVolumeClaim "${name}" already exists. Warning: the in-cluster version is different ` +
        "than the backed-up version",
    };
  if (plan.data.from !== "repository")
    return { do: "made", warning: plan.data.from === "nowhere" ? plan.data.warning : undefined };
  const download = downloadFor(restore, plan, plan.data.result, {
    dataMover: settingsOf(deps).dataMover,
    operationTimeout: context.contents.backup.spec?.csiSnapshotTimeout,
  });
  try {
    await client.create(dataDownloads, download, options);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const there = await client.get(
      dataDownloads,
      { namespace: download.metadata.namespace, name: download.metadata.name ?? "" },
      options,
    );
    const isOurs = there?.metadata.ownerReferences?.some(({ uid }) => uid === restore.metadata.uid);
    if (there && !isOurs)
      return {
        do: "fail",
        message: `DataDownload ${download.metadata.name} is there already and was not made for this restore`,
      };
  }
  return { do: "follow" };
}
