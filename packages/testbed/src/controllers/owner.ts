/**
 * Who owns an object.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { StoredObject } from "../kube-object.ts";

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
