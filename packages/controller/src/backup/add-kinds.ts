/**
 * Every other object that is covered, kind by kind as it is read: no more than a page of them is in memory.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { Backup, KubeObject, Resource } from "@dm/crds";
import type { ApiResource } from "../runtime/api-discovery.ts";
import { isNotFound } from "../runtime/kube-errors.ts";
import { neverIncluded } from "../scope/resource-filter.ts";
import { resourceName } from "../scope/resource-names.ts";
import { isSelected, plainNames } from "../scope/scope.ts";
import { addError, addItem, type BackupRun, isLeftOut } from "./backup-run.ts";
import { itemNeeds } from "./item-needs.ts";
import { listPages } from "./list-all.ts";

/** Those in covered namespaces that nothing keeps out of the backup. */
export async function* coveredPages<T extends KubeObject>(
  run: BackupRun,
  resource: Resource<T>,
): AsyncGenerator<T[]> {
  const { backup, deps, namespaces, options } = run;
  const byName = resource.namespaced ? plainNames(backup.spec?.includedNamespaces) : undefined;
  const places = byName ? byName.filter((name) => namespaces.has(name)) : [undefined];
  const isCovered = ({ metadata }: T): boolean =>
    !resource.namespaced || namespaces.has(metadata.namespace ?? "");
  for (const namespace of places)
    for await (const page of listPages(deps.client, resource, { ...options, namespace }))
      yield page.filter((object) => isCovered(object) && !isLeftOut(object));
}

/** What one group has taken over from another: it is there twice. */
const twins: Readonly<Record<string, string>> = {
  "events.events.k8s.io": "events",
  "deployments.extensions": "deployments.apps",
  "daemonsets.extensions": "daemonsets.apps",
  "replicasets.extensions": "replicasets.apps",
  "networkpolicies.extensions": "networkpolicies.networking.k8s.io",
};
const done = new Set(["pods", "persistentvolumeclaims", ...neverIncluded]);

export async function addOtherKinds(run: BackupRun): Promise<void> {
  const isThere = (name: string | undefined): boolean =>
    name !== undefined && run.resources.some((one) => resourceName(one) === name);
  const kinds = run.resources.filter(
    (resource) =>
      !done.has(resourceName(resource)) &&
      !isThere(twins[resourceName(resource)]) &&
      ["list", "create", "get", "delete"].every((verb) => resource.verbs.includes(verb)) &&
      run.scope.lists(resource),
  );
  const isNamespaces = (kind: ApiResource): boolean => resourceName(kind) === "namespaces";
  // With a selector, a namespace is there for what is selected in it.
  const isByContents = isEverywhere(run.backup) && hasSelector(run.backup);
  for (const kind of kinds) if (!isByContents || !isNamespaces(kind)) await addKind(run, kind);
  const namespaces = kinds.find(isNamespaces);
  if (isByContents && namespaces) await addKind(run, namespaces);
}

const hasSelector = ({ spec }: Backup): boolean =>
  Boolean(spec?.labelSelector || spec?.orLabelSelectors?.length);

const isEverywhere = ({ spec }: Backup): boolean =>
  plainNames(spec?.includedNamespaces) === undefined && !spec?.excludedNamespaces?.length;

async function addKind(run: BackupRun, kind: ApiResource): Promise<void> {
  const spec = run.backup.spec ?? {};
  const resource = resourceName(kind);
  let count = 0;
  const isWanted = (object: KubeObject): boolean => {
    if (resource !== "namespaces") return isSelected(spec, object);
    const { name = "" } = object.metadata;
    if (!run.namespaces.has(name)) return false;
    if (!isEverywhere(run.backup) || !hasSelector(run.backup)) return true;
    return isSelected(spec, object) || run.archive.hasNamespace(name);
  };
  try {
    for await (const page of coveredPages(run, kind))
      for (const object of page)
        if (isWanted(object) && (await addWithNeeds(run, kind, object))) count++;
  } catch (error) {
    run.options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    if (!isNotFound(error)) {
      run.log.error("Error listing items", { resource, error: error.message });
      run.errors.about("", `${resource}: error listing items: ${error.message}`);
    }
  }
  if (count > 0) run.log.info("Backed up items", { resource, count });
}

/** An object after those that it needs. */
export async function addWithNeeds(
  run: BackupRun,
  resource: Resource,
  object: KubeObject,
): Promise<boolean> {
  if (run.archive.has(resource, object)) return false;
  try {
    for (const need of await itemNeeds(run, resource, object))
      await addItem(run, need.resource, need.object);
  } catch (error) {
    if (!isDmError(error)) throw error;
    addError(run, [resource, object], `what it needs cannot be read: ${error.message}`);
  }
  return addItem(run, resource, object);
}

/** The definition of each custom resource in the backup, unless all definitions are there anyway, or are not wanted. */
export async function addDefinitions(run: BackupRun): Promise<void> {
  const definitions = run.find("customresourcedefinitions.apiextensions.k8s.io");
  if (!definitions || !run.scope.permits(definitions)) return;
  if (run.scope.lists(definitions) && !hasSelector(run.backup)) return;
  const names = run.archive.resources.filter((name) => name.includes(".")).sort();
  for (const name of names) {
    const found = await run.deps.client.get(definitions, { name }, run.options);
    if (found) await addItem(run, definitions, found);
  }
}
