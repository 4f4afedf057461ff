/**
 * Which kinds a Backup or Restore covers, in both styles of lists: one for all kinds, or one for each scope. Pure.
 * Proof: test/scope/resource-filter.test.ts.
 * @module
 */
import type { BackupSpec } from "@dm/crds";
import type { ApiResource } from "../runtime/api-discovery.ts";
import { findResources, resourceName } from "./resource-names.ts";
import { admits, type NameList } from "./scope.ts";

/** Whether a kind passes, by its name with its group (`deployments.apps`). */
export type ResourceFilter = (name: string) => boolean;

/**
 * The lists with their names resolved. A name that the cluster does not serve stays as it is, so that a list of nothing else
 * does not let everything pass.
 */
export function resourceFilter(
  included: NameList,
  excluded: NameList,
  resources: readonly ApiResource[],
): ResourceFilter {
  const [inclusions, exclusions] = [included, excluded].map(resolver(resources));
  return (name) => admits(inclusions, exclusions, name);
}

export interface ResourceScope {
  /** Its objects are looked for. */
  lists(resource: ApiResource): boolean;
  /** Its objects may be there: found by themselves, or needed by others. */
  permits(resource: ApiResource): boolean;
}

interface Lists
  extends KindLists,
    Pick<BackupSpec, "includedNamespaces" | "excludedNamespaces" | "includeClusterResources"> {}

/** In both styles. */
interface KindLists {
  readonly includedResources?: NameList;
  readonly excludedResources?: NameList;
  readonly includedNamespaceScopedResources?: NameList;
  readonly excludedNamespaceScopedResources?: NameList;
  readonly includedClusterScopedResources?: NameList;
  readonly excludedClusterScopedResources?: NameList;
}

/** Left out of every backup: snapshots are taken, not copied. Backups get them into their lists at the start. */
export const neverIncluded: readonly string[] = [
  "volumesnapshots.snapshot.storage.k8s.io",
  "volumesnapshotcontents.snapshot.storage.k8s.io",
];

/** As the lists of a Backup say. Namespaces themselves always pass unless they are excluded by name of their kind. */
export function resourceScope(given: Lists, resources: readonly ApiResource[]): ResourceScope {
  const isKnown = (name: string): boolean => !neverIncluded.includes(name);
  const spec: Lists = {
    ...given,
    excludedResources: given.excludedResources?.filter(isKnown),
    excludedNamespaceScopedResources: given.excludedNamespaceScopedResources?.filter(isKnown),
    excludedClusterScopedResources: given.excludedClusterScopedResources?.filter(isKnown),
  };
  const everywhere = isEverything(spec.includedNamespaces, spec.excludedNamespaces);
  return isByScope(spec)
    ? scopeByScope(spec, resources, everywhere)
    : scopeOfAll(spec, resources, everywhere);
}

export function isByScope(spec: Lists): boolean {
  return [
    spec.includedNamespaceScopedResources,
    spec.excludedNamespaceScopedResources,
    spec.includedClusterScopedResources,
    spec.excludedClusterScopedResources,
  ].some((list) => list?.length);
}

function scopeOfAll(
  spec: Lists,
  resources: readonly ApiResource[],
  everywhere: boolean,
): ResourceScope {
  const { includeClusterResources } = spec;
  const passes = resourceFilter(spec.includedResources, spec.excludedResources, resources);
  const permits = (resource: ApiResource): boolean =>
    (resource.namespaced || includeClusterResources !== false) && passes(resourceName(resource));
  return {
    permits,
    lists: (resource) =>
      permits(resource) &&
      (resource.namespaced ||
        isNamespaces(resource) ||
        includeClusterResources === true ||
        everywhere),
  };
}

function scopeByScope(
  spec: Lists,
  resources: readonly ApiResource[],
  everywhere: boolean,
): ResourceScope {
  const {
    excludedClusterScopedResources: outOfCluster,
    excludedNamespaceScopedResources: outOfNamespaces,
    includedClusterScopedResources: ofCluster,
    includedNamespaceScopedResources: ofNamespaces,
  } = spec;
  const passes = resourceFilter(ofNamespaces, outOfNamespaces, resources);
  const mayPass = resourceFilter(undefined, outOfCluster, resources);
  const isNamed = resourceFilter(ofCluster, outOfCluster, resources);
  const isWhole =
    everywhere &&
    isEverything(ofNamespaces, outOfNamespaces) &&
    !ofCluster?.length &&
    !outOfCluster?.length;
  const permits = (resource: ApiResource): boolean =>
    (resource.namespaced ? passes : mayPass)(resourceName(resource));
  return {
    permits,
    lists: (resource) =>
      permits(resource) &&
      (resource.namespaced ||
        isNamespaces(resource) ||
        isWhole ||
        (Boolean(ofCluster?.length) && isNamed(resourceName(resource)))),
  };
}

/** Whether the lists leave nothing out. */
export function isEverything(included: NameList, excluded: NameList): boolean {
  const list = included ?? [];
  return !excluded?.length && (list.length === 0 || (list.length === 1 && list[0] === "*"));
}

const isNamespaces = ({ group, plural }: ApiResource): boolean =>
  group === "" && plural === "namespaces";

function resolver(resources: readonly ApiResource[]): (list: NameList) => NameList {
  const find = findResources(resources);
  return (list) =>
    list?.map((name) => {
      const found = name.includes("*") ? undefined : find(name);
      return found ? resourceName(found) : name;
    });
}
