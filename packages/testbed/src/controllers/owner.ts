/**
 * Who owns an object. Controllers take over what nobody owns and they select, as after a restore.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { keyOf } from "./controller.ts";
import { matchesSelector } from "./selector.ts";

type OwnerReference = NonNullable<StoredObject["metadata"]["ownerReferences"]>[number];

export function controllerReference(owner: StoredObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(object: StoredObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** Key of the controller of this kind that owns the object, for watches of what it owns. */
export function ownerKeys(object: StoredObject, kind: string): string[] {
  const owner = controllerOf(object);
  if (owner?.kind !== kind) return [];
  return [`${object.metadata.namespace ?? ""}/${owner.name}`];
}

/** Keys of objects of `ownerResource` that would adopt this one, which has no controller; for watches beside {@link ownerKeys}. */
export function adopterKeys(
  api: ClusterApi,
  object: StoredObject,
  ownerResource: string,
): string[] {
  if (controllerOf(object) !== undefined || object.metadata.deletionTimestamp) return [];
  return api
    .list(ownerResource, object.metadata.namespace)
    .filter(({ spec }) => matchesSelector(spec?.selector, object.metadata.labels))
    .map(keyOf);
}

/** Makes the owner the controller of every object that it selects and that has none. */
export function adoptOrphans(
  api: ClusterApi,
  owner: StoredObject,
  resource: string,
  fits: (object: StoredObject) => boolean = () => true,
): void {
  const { namespace = "" } = owner.metadata;
  const isOrphan = (object: StoredObject): boolean =>
    controllerOf(object) === undefined &&
    object.metadata.deletionTimestamp === undefined &&
    matchesSelector(owner.spec?.selector, object.metadata.labels) &&
    fits(object);
  for (const orphan of api.list(resource, namespace).filter(isOrphan)) {
    api.modify(resource, namespace, orphan.metadata.name, (object) => {
      if (!isOrphan(object)) return;
      const others = object.metadata.ownerReferences ?? [];
      object.metadata.ownerReferences = [...others, controllerReference(owner)];
    });
  }
}
