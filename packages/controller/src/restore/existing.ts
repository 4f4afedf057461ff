/**
 * What becomes of an object that is there already: it is left, with a warning when it differs, or patched when the Restore says so.
 * Service accounts, which every namespace has, get what they lack. Compared is what a restore sets; who manages which field is not.
 * Pure.
 * Proof: test/restore/existing.test.ts.
 * @module
 */
import { labels, labelValue, type Restore } from "@dm/crds";
import { mergePatchBetween, sameJson } from "../runtime/merge-patch.ts";
import type { AnyObject } from "./actions/action.ts";

export type ExistingDecision =
  | { readonly do: "leave"; readonly warning?: string | undefined }
  | {
      readonly do: "patch";
      readonly patch: object;
      readonly as: "updated" | "skipped";
      /** When the API server refuses the whole patch. */
      readonly labelsOnly?: object | undefined;
    };

export function decideExisting(
  restore: Restore,
  resource: string,
  wanted: AnyObject,
  found: AnyObject,
): ExistingDecision {
  const policy = restore.spec?.existingResourcePolicy ?? "";
  const plain = withoutOrigin(found);
  const current = withRestoreLabels(plain, restore);
  const labelsOnly = mergePatchBetween(plain, current);
  if (sameJson(current, wanted))
    return policy === "update" && labelsOnly
      ? { do: "patch", patch: labelsOnly, as: "skipped" }
      : { do: "leave" };
  if (resource === "serviceaccounts") {
    const patch = mergePatchBetween(current, mergedAccount(current, wanted));
    return patch ? { do: "patch", patch, as: "updated" } : { do: "leave" };
  }
  if (policy === "update") {
    const patch = mergePatchBetween(plain, wanted);
    return patch ? { do: "patch", patch, as: "updated", labelsOnly } : { do: "leave" };
  }
  const { kind, metadata } = wanted;
  const named = policy === "none" ? `${kind} "${metadata.name}"` : `${kind}:${metadata.name}`;
  return {
    do: "leave",
    warning: `could not restore, ${named} already exists. Warning: the in-cluster version is different than the backed-up version`,
  };
}

/** Whether this Restore has made it: a former one of the same name was gone before. Both times are the API server's. */
export function isMadeBy(
  { metadata: { creationTimestamp, name = "" } }: Restore,
  found: AnyObject,
): boolean {
  const { creationTimestamp: madeAt, labels: all } = found.metadata;
  if (all?.[labels.restoreName] !== labelValue(name)) return false;
  return Date.parse(madeAt ?? "") >= Date.parse(creationTimestamp ?? "");
}

const ofOrigin = [
  "generateName",
  "selfLink",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "ownerReferences",
  "managedFields",
];

/** The object without status, and without what only the cluster that it is in can say of it. */
export function withoutOrigin(object: AnyObject): AnyObject {
  const { status: _status, ...others } = object;
  const metadata = Object.entries(object.metadata).filter(([key]) => !ofOrigin.includes(key));
  return { ...others, metadata: Object.fromEntries(metadata) } as AnyObject;
}

export function withRestoreLabels(object: AnyObject, { metadata, spec }: Restore): AnyObject {
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: {
        ...object.metadata.labels,
        [labels.backupName]: labelValue(spec?.backupName ?? ""),
        [labels.restoreName]: labelValue(metadata.name ?? ""),
      },
    },
  };
}

/** What the one in the cluster says counts more. */
function mergedAccount(current: AnyObject, wanted: AnyObject): AnyObject {
  const merged = <T>(field: "secrets" | "imagePullSecrets"): T[] | undefined => {
    const ours = (current[field] ?? []) as (T & { readonly name?: string })[];
    const theirs = (wanted[field] ?? []) as typeof ours;
    const names = new Set(ours.map(({ name }) => name));
    const all = [...ours, ...theirs.filter(({ name }) => !names.has(name))];
    return all.length > 0 ? all : undefined;
  };
  const { annotations, labels: own } = current.metadata;
  const allAnnotations = { ...wanted.metadata.annotations, ...annotations };
  return {
    ...current,
    secrets: merged("secrets"),
    imagePullSecrets: merged("imagePullSecrets"),
    metadata: {
      ...current.metadata,
      labels: { ...wanted.metadata.labels, ...own },
      ...(Object.keys(allAnnotations).length > 0 && { annotations: allAnnotations }),
    },
  };
}
