/**
 * Small facts about objects: finalizers, owners, conditions, deletion.
 * Proof: test/runtime/objects.test.ts.
 * @module
 */
import { apiVersionOf, type KubeObject, type OwnerReference, type Resource } from "@dm/crds";
import type { KubeClient, ObjectKey } from "./kube-client.ts";
import { type RetryOnConflictOptions, retryOnConflict } from "./retry-on-conflict.ts";

/** Whether someone has asked to delete it; it stays while it has finalizers. */
export function isDeleting({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionTimestamp !== null;
}

export function hasFinalizer({ metadata }: KubeObject, finalizer: string): boolean {
  return metadata.finalizers?.includes(finalizer) ?? false;
}

/**
 * Makes sure that the object stays until `removeFinalizer`. Returns the object with it; undefined when there is no object or it
 * is being deleted, which the API server lets nobody hold up any more.
 */
export function addFinalizer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  key: ObjectKey,
  finalizer: string,
  options?: RetryOnConflictOptions,
): Promise<T | undefined> {
  const change = (object: T): T | undefined => {
    if (hasFinalizer(object, finalizer)) return object;
    if (isDeleting(object)) return undefined;
    object.metadata.finalizers = [...(object.metadata.finalizers ?? []), finalizer];
    return object;
  };
  return retryOnConflict(client, resource, key, change, options);
}

/** Takes it away if it is there. An object that is being deleted and had no other is gone afterwards. */
export async function removeFinalizer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  key: ObjectKey,
  finalizer: string,
  options?: RetryOnConflictOptions,
): Promise<void> {
  const change = (object: T): T | undefined => {
    if (!hasFinalizer(object, finalizer)) return undefined;
    object.metadata.finalizers =
      object.metadata.finalizers?.filter((one) => one !== finalizer) ?? [];
    return object;
  };
  await retryOnConflict(client, resource, key, change, options);
}

/**
 * A reference to the owner, for an object in the same namespace (or for an owner without one): it goes when the owner goes.
 * @throws {TypeError} when the owner has not been stored yet and so has no uid
 */
export function ownerReferenceTo<T extends KubeObject>(
  resource: Resource<T>,
  owner: T,
  options: {
    /** It is the one that manages the object; default true. */
    readonly controller?: boolean | undefined;
    readonly blockOwnerDeletion?: boolean | undefined;
  } = {},
): OwnerReference {
  const { name, uid } = owner.metadata;
  if (!name || !uid) throw new TypeError(`the ${resource.kind} has no name or uid yet`);
  const { controller = true, blockOwnerDeletion } = options;
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name,
    uid,
    ...(controller ? { controller } : {}),
    ...(blockOwnerDeletion === undefined ? {} : { blockOwnerDeletion }),
  };
}

/** Keys of the owners of one kind, for {@link source}: changes of the owned object concern its owner. */
export function ownerKeys(object: KubeObject, resource: Resource): ObjectKey[] {
  const { namespace, ownerReferences = [] } = object.metadata;
  return ownerReferences
    .filter(
      ({ apiVersion, kind }) =>
        kind === resource.kind && apiVersion.split("/")[0] === apiVersionOf(resource).split("/")[0],
    )
    .map(({ name }) => (resource.namespaced ? { namespace, name } : { name }));
}

/** As in Kubernetes: `type` names it, `status` is True, False or Unknown. */
export interface ConditionState {
  type: string;
  status: string;
  /** CamelCase, for programs. */
  reason?: string;
  /** For people. */
  message?: string;
  lastTransitionTime?: string | null;
}

/**
 * The conditions with this one set. Its time of transition changes only with its status. The list itself when nothing changes,
 * so that one can ask `===`.
 */
export function withCondition<C extends ConditionState>(
  conditions: C[] | undefined,
  condition: C,
  now: Date,
): C[] {
  const list = conditions ?? [];
  const known = list.find(({ type }) => type === condition.type);
  if (
    known?.status === condition.status &&
    known.reason === condition.reason &&
    known.message === condition.message
  ) {
    return list;
  }
  const lastTransitionTime =
    known?.status === condition.status && known.lastTransitionTime
      ? known.lastTransitionTime
      : kubeTime(now);
  const set = { ...known, ...condition, lastTransitionTime };
  return known ? list.map((one) => (one === known ? set : one)) : [...list, set];
}

/** Whether the condition is there with status True. */
export function isTrue(conditions: readonly ConditionState[] | undefined, type: string): boolean {
  return conditions?.some((one) => one.type === type && one.status === "True") ?? false;
}

/** RFC 3339 in seconds, as the API writes times: `2026-11-22T21:13:49Z`. */
export function kubeTime(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}
