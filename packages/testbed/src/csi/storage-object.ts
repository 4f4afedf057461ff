/**
 * Small questions about claims, volumes and their metadata, and small changes of them.
 * Proof: test/csi/provisioner.test.ts.
 * @module
 */
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { annotations, resources } from "./storage-names.ts";

export function annotationOf(object: StoredObject, name: string): string | undefined {
  return object.metadata.annotations?.[name];
}

export function isDeleting(object: StoredObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: StoredObject, name: string): boolean {
  return object.metadata.finalizers?.includes(name) ?? false;
}

/** Adds what is missing; a stored object that already has it is not written. */
export function addFinalizer(
  api: ClusterApi,
  resource: string,
  object: StoredObject,
  ...names: readonly string[]
): void {
  const missing = names.filter((name) => !hasFinalizer(object, name));
  if (missing.length === 0 || isDeleting(object)) return;
  const { namespace = "", name } = object.metadata;
  api.modify(resource, namespace, name, (stored) => {
    if (isDeleting(stored) || stored.metadata.uid !== object.metadata.uid) return;
    stored.metadata.finalizers = [...new Set([...(stored.metadata.finalizers ?? []), ...missing])];
  });
}

export function removeFinalizer(
  api: ClusterApi,
  resource: string,
  object: StoredObject,
  ...names: readonly string[]
): void {
  if (!names.some((name) => hasFinalizer(object, name))) return;
  const { namespace = "", name } = object.metadata;
  api.modify(resource, namespace, name, (stored) => {
    if (stored.metadata.uid !== object.metadata.uid) return;
    const left = (stored.metadata.finalizers ?? []).filter((each) => !names.includes(each));
    if (left.length > 0) stored.metadata.finalizers = left;
    else delete stored.metadata.finalizers;
  });
}

/** A reference as binders write it. */
export function referenceTo(object: StoredObject): Json {
  const { namespace, name, uid, resourceVersion } = object.metadata;
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    namespace,
    name,
    uid,
    resourceVersion,
  };
}

export function claimKey(claim: StoredObject): string {
  return `${claim.metadata.namespace}/${claim.metadata.name}`;
}

/** The class of that name, or the default one for a claim that names none (`""` is none on purpose). */
export function storageClassOf(api: ClusterApi, claim: StoredObject): StoredObject | undefined {
  const name: string | undefined = claim.spec.storageClassName;
  if (name === undefined || name === null) return defaultStorageClass(api);
  return name === "" ? undefined : api.get(resources.storageClasses, "", name);
}

/** The newest of those marked as default. */
export function defaultStorageClass(api: ClusterApi): StoredObject | undefined {
  return api
    .list(resources.storageClasses)
    .filter((each) => annotationOf(each, annotations.defaultStorageClass) === "true")
    .sort((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp))
    .at(-1);
}

export function isDelayed(storageClass: StoredObject | undefined): boolean {
  return storageClass?.["volumeBindingMode"] === "WaitForFirstConsumer";
}

/** Names of the claims that a pod's volumes use, ephemeral ones included. */
export function claimNamesOf(pod: StoredObject): string[] {
  const names: string[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    if (volume.persistentVolumeClaim) names.push(volume.persistentVolumeClaim.claimName);
    else if (volume.ephemeral) names.push(`${pod.metadata.name}-${volume.name}`);
  }
  return names;
}
