/**
 * Which objects of a backup a Restore brings back, and in which order: those that it names, and what these cannot do without. Pure.
 * What the tarball says is not trusted: objects whose names could mean another path of the API are refused.
 * Proof: test/restore/plan-restore.test.ts.
 * @module
 */
import { annotations, type PersistentVolumeClaim, type Pod, type Restore } from "@dm/crds";
import type { BackupItem } from "../bucket/backup-files.ts";
import { type FindResource, resourceName } from "../scope/resource-names.ts";
import { admits, isSelected } from "../scope/scope.ts";
import { type AnyObject, targetNamespace } from "./actions/action.ts";

export interface PlannedItem {
  /** Plural, with its group after a dot. */
  readonly resource: string;
  /** As it lies in the backup. */
  readonly source: AnyObject;
  readonly name: string;
  /** The one that it is restored into; empty for kinds without. */
  readonly namespace: string;
}

export interface PlannedKind {
  readonly resource: string;
  readonly items: readonly PlannedItem[];
}

export interface RestorePlan {
  readonly kinds: readonly PlannedKind[];
  readonly errors: readonly PlanMessage[];
  readonly warnings: readonly PlanMessage[];
}

export interface PlanMessage {
  readonly namespace: string;
  readonly message: string;
}

export const definitions = "customresourcedefinitions.apiextensions.k8s.io";
const uploads = "datauploads.velero.io";
/** Of the data mover of OADP 1.1 and 1.2. They mean work, and must not come back. */
export const volSyncBackups = "volumesnapshotbackups.datamover.oadp.openshift.io";
const volSyncRestores = "volumesnapshotrestores.datamover.oadp.openshift.io";
const snapshotGroup = "snapshot.storage.k8s.io";
const rbac = "rbac.authorization.k8s.io";

/** In this order; then all others by name; then the last ones. Velero's defaults, and what pods of OpenShift need first. */
const firstKinds = [
  "securitycontextconstraints.security.openshift.io",
  definitions,
  "namespaces",
  "storageclasses.storage.k8s.io",
  `volumesnapshotclasses.${snapshotGroup}`,
  `volumesnapshotcontents.${snapshotGroup}`,
  `volumesnapshots.${snapshotGroup}`,
  uploads,
  "persistentvolumes",
  "persistentvolumeclaims",
  `clusterroles.${rbac}`,
  `roles.${rbac}`,
  "serviceaccounts",
  `clusterrolebindings.${rbac}`,
  `rolebindings.${rbac}`,
  "secrets",
  "configmaps",
  "limitranges",
  "priorityclasses.scheduling.k8s.io",
  "pods",
  "replicasets.apps",
  "clusterclasses.cluster.x-k8s.io",
  "endpoints",
  "services",
];
const lastKinds = [
  "clusterbootstraps.run.tanzu.vmware.com",
  "clusters.cluster.x-k8s.io",
  "clusterresourcesets.addons.cluster.x-k8s.io",
  "apps.kappctrl.k14s.io",
  "packageinstalls.packaging.carvel.dev",
];

export interface KindOrder {
  readonly first: readonly string[];
  readonly last: readonly string[];
}

const usualOrder: KindOrder = { first: firstKinds, last: lastKinds };

/** Names of resources, and after a `-` those that come last, as Velero's flag has them. */
export function kindOrder(text: string | undefined, find: FindResource): KindOrder {
  if (!text) return usualOrder;
  const names = text.split(",").map((name) => name.trim());
  const known = (list: readonly string[]): string[] =>
    list.flatMap((name) => {
      const found = find(name);
      return name === "" ? [] : [found ? resourceName(found) : name];
    });
  const dash = names.indexOf("-");
  return dash < 0
    ? { first: known(names), last: [] }
    : { first: known(names.slice(0, dash)), last: known(names.slice(dash + 1)) };
}

/** `coversKind` says whether the lists of the Restore admit a resource. */
export function planRestore(
  items: readonly BackupItem[],
  restore: Restore,
  coversKind: (resource: string) => boolean,
  order: KindOrder = usualOrder,
): RestorePlan {
  const errors: PlanMessage[] = [];
  const warnings: PlanMessage[] = [];
  const byId = new Map<string, PlannedItem>();
  for (const { object, resource } of items) {
    if (resource === volSyncBackups || resource === volSyncRestores) {
      const { name, namespace = "" } = object.metadata;
      const message = `${resource}/${name}: volumes of the OADP 1.2 VolSync data mover are not restored`;
      warnings.push({ namespace: targetNamespace(restore, namespace), message });
      continue;
    }
    const { name = "", namespace = "" } = object.metadata;
    const problem = problemOf(resource, object as AnyObject);
    const target = targetNamespace(restore, namespace);
    const source = object as AnyObject;
    if (problem === undefined)
      byId.set(idOf(resource, namespace, name), { resource, source, name, namespace: target });
    else {
      const message = `error decoding ${JSON.stringify(idOf(resource, namespace, name))}: ${problem}`;
      errors.push({ namespace: "", message });
    }
  }
  const may = (item: PlannedItem): boolean =>
    item.resource === uploads || (coversKind(item.resource) && coversNamespace(restore, item));
  const chosen = new Set(
    [...byId.values()].filter((item) => may(item) && isChosen(restore, item) && !isOver(item)),
  );
  // A set is walked through to its end, also when it grows meanwhile.
  for (const item of chosen) {
    for (const { isNeeded, name, namespace, resource } of safelyRelated(item, restore)) {
      const related = byId.get(idOf(resource, namespace, name));
      if (related && may(related)) chosen.add(related);
      else if (related === undefined && isNeeded && coversKind(resource))
        warnings.push({
          namespace: targetNamespace(restore, namespace),
          message: `${item.resource}/${item.name}: ${resource}/${name} is not in the backup`,
        });
    }
  }
  const { alone, doubles } = apart(chosen);
  return { kinds: inOrder(alone, order), errors, warnings: [...warnings, ...doubles] };
}

/** Of several objects that would be one, because their namespaces are mapped into one, the first in the tarball is taken. */
function apart(items: Iterable<PlannedItem>): {
  readonly alone: readonly PlannedItem[];
  readonly doubles: readonly PlanMessage[];
} {
  const alone = new Map<string, PlannedItem>();
  const doubles: PlanMessage[] = [];
  for (const item of items) {
    const { name, namespace, resource, source } = item;
    const target = idOf(resource, namespace, name);
    if (alone.has(target)) {
      const which = idOf(resource, source.metadata.namespace ?? "", name);
      doubles.push({ namespace, message: `${which}: ${target} is restored in its place` });
    } else alone.set(target, item);
  }
  return { alone: [...alone.values()], doubles };
}

export const idOf = (resource: string, namespace: string, name: string): string =>
  [resource, ...(namespace ? [namespace] : []), name].join("/");

function inOrder(items: readonly PlannedItem[], { first, last }: KindOrder): PlannedKind[] {
  const kinds = Map.groupBy(items, ({ resource }) => resource);
  const fixed = new Set([...first, ...last]);
  const others = [...kinds.keys()].filter((resource) => !fixed.has(resource)).sort();
  return [...new Set([...first, ...others, ...last])].flatMap((resource) => {
    const list = kinds.get(resource);
    return list ? [{ resource, items: list }] : [];
  });
}

function coversNamespace({ spec = {} }: Restore, { source }: PlannedItem): boolean {
  const { namespace } = source.metadata;
  if (!namespace) return spec.includeClusterResources !== false;
  return admits(spec.includedNamespaces, spec.excludedNamespaces, namespace);
}

/** By itself, not because something else needs it. */
function isChosen({ spec = {} }: Restore, { resource, source }: PlannedItem): boolean {
  if (resource === uploads) return true;
  const { excludedNamespaces, includeClusterResources, includedNamespaces } = spec;
  const isLimited =
    Boolean(excludedNamespaces?.length) ||
    (Boolean(includedNamespaces?.length) && !includedNamespaces?.includes("*"));
  if (!source.metadata.namespace && isLimited && includeClusterResources !== true) return false;
  return isSelected(spec, source);
}

/** What has done its work is not done again. */
function isOver({ resource, source }: PlannedItem): boolean {
  const status = source["status"] as
    | { readonly phase?: string; readonly completionTime?: string }
    | undefined;
  if (resource === "pods") return status?.phase === "Succeeded" || status?.phase === "Failed";
  return resource === "jobs.batch" && Boolean(status?.completionTime);
}

interface Related {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** That it is missing is worth a warning. */
  readonly isNeeded?: boolean;
}

/** What the tarball calls a pod may be anything; it is refused when its turn comes. */
function safelyRelated(item: PlannedItem, restore: Restore): Related[] {
  try {
    return relatedTo(item, restore);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return [];
  }
}

function relatedTo({ resource, source }: PlannedItem, { spec }: Restore): Related[] {
  const { annotations: notes = {}, namespace = "" } = source.metadata;
  switch (resource) {
    case "pods": {
      const pod = (source as AnyObject & Pod).spec ?? {};
      const claims = (pod.volumes ?? []).flatMap(
        ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? [],
      );
      return [
        ...named("persistentvolumeclaims", namespace, claims, true),
        ...named("priorityclasses.scheduling.k8s.io", "", [pod.priorityClassName]),
      ];
    }
    case "persistentvolumeclaims": {
      const { spec: claim, status } = source as AnyObject & PersistentVolumeClaim;
      const isMoved = notes[annotations.dataUploadName] !== undefined;
      const snapshot =
        isMoved || spec?.restorePVs === false ? [] : [notes[annotations.volumeSnapshotName]];
      return [
        ...named("persistentvolumes", "", status?.phase === "Bound" ? [claim?.volumeName] : []),
        ...named(`volumesnapshots.${snapshotGroup}`, namespace, snapshot),
      ];
    }
    case `volumesnapshots.${snapshotGroup}`: {
      const status = source["status"] as { readonly boundVolumeSnapshotContentName?: string };
      const content = status?.boundVolumeSnapshotContentName;
      return named(`volumesnapshotcontents.${snapshotGroup}`, "", [content]);
    }
    case `volumesnapshotcontents.${snapshotGroup}`:
      return secretNamed(notes, "csi.storage.k8s.io/snapshotter-secret");
    case `volumesnapshotclasses.${snapshotGroup}`:
      return secretNamed(notes, "csi.storage.k8s.io/snapshotter-list-secret");
    default:
      return [];
  }
}

function named(
  resource: string,
  namespace: string,
  names: readonly (string | undefined)[],
  isNeeded = false,
): Related[] {
  return names.flatMap((name) => (name ? [{ resource, namespace, name, isNeeded }] : []));
}

function secretNamed(notes: Readonly<Record<string, string>>, prefix: string): Related[] {
  return named("secrets", notes[`${prefix}-namespace`] ?? "", [notes[`${prefix}-name`]]);
}

/** Objects nested deeper are refused by the API server too. */
const maxDepth = 100;
const resourcePattern = /^[a-z0-9-]+(\.[a-z0-9.-]+)?$/;
const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Why an object is not taken. */
function problemOf(resource: string, object: AnyObject): string | undefined {
  const { name = "", namespace = "" } = object.metadata;
  if (!resourcePattern.test(resource)) return "its resource is no name";
  if (!isPathSegment(name)) return "its name is no name";
  if (namespace !== "" && !dnsLabel.test(namespace)) return "its namespace is no name";
  const [group = "", version] =
    (object.apiVersion ?? "").split("/").length === 2
      ? (object.apiVersion ?? "").split("/")
      : ["", object.apiVersion];
  if (!version || !object.kind) return "it has no kind or version";
  if (!dnsLabel.test(version)) return "its version is no name";
  const [, ...rest] = resource.split(".");
  if (group !== rest.join(".")) return `its group is ${group}`;
  if (![object.metadata.labels ?? {}, object.metadata.annotations ?? {}].every(isTextMap))
    return "its labels or annotations are no texts";
  if (isDeeper(object, maxDepth)) return `it is nested more than ${maxDepth} levels deep`;
  return undefined;
}

/** As Kubernetes defines what can stand in a path. */
const isPathSegment = (name: string): boolean =>
  name !== "" && name !== "." && name !== ".." && name.length <= 253 && !/[/%\\\p{Cc}]/u.test(name);

const isTextMap = (map: unknown): boolean =>
  typeof map === "object" &&
  map !== null &&
  Object.values(map).every((value) => typeof value === "string");

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((one) => isDeeper(one, levels - 1));
}
