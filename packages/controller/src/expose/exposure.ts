/**
 * What the steps of one exposer have in common: whose objects they are, how long a deletion may take, and the few ways in which
 * objects are made, found and removed so that any of it can be repeated.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/crash.test.ts.
 * @module
 */
import {
  ConflictError,
  type DmError,
  isDmError,
  type Logger,
  nsPerMs,
  parseGoDuration,
  StorageError,
  silentLogger,
} from "@dm/core";
import {
  apiVersionOf,
  type KubeObject,
  type OwnerReference,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaims,
  pods,
  type Resource,
} from "@dm/crds";
import type { DataPathKind } from "../mover/data-path-kind.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import type { Step } from "./exposer.ts";
import type { ExposerContext } from "./exposer-context.ts";

/** Annotations and a label of our own, on objects that have no owner reference or outlive us. */
export const marks = {
  /** Annotation of the copied VolumeSnapshot and its content, label of a restored volume: uid of the object it is for. */
  owner: "dm.velero.io/owner-uid",
  /** On the copied VolumeSnapshot: which one it was copied from, and what cannot be read any more once that is gone. */
  sourceSnapshot: "dm.velero.io/source-snapshot-uid",
  sourceContent: "dm.velero.io/source-content",
  restoreSize: "dm.velero.io/restore-size",
  /** On the copied VolumeSnapshot during clean-up: the volume that has to go first, and since when it may. */
  volume: "dm.velero.io/volume",
  releasedAt: "dm.velero.io/released-at",
  /** On a restored volume: its reclaim policy as it was, and since when it waits for the target claim. */
  reclaimPolicy: "dm.velero.io/reclaim-policy",
  rebindingSince: "dm.velero.io/rebinding-since",
} as const;

export interface Exposure {
  readonly context: ExposerContext;
  readonly kind: DataPathKind;
  readonly owner: OwnerReference;
  /** Of every object that is made: they are named like the owner. */
  readonly key: ObjectKey & { readonly namespace: string };
  readonly operationTimeoutMs: number;
  readonly logger: Logger;
}

const defaultOperationTimeoutMs = 600_000;
const defaultCleanUpTimeoutMs = 60_000;

export function exposureOf<T extends KubeObject & { spec: { operationTimeout?: string } }>(
  context: ExposerContext,
  resource: Resource<T>,
  object: T,
): Exposure {
  const { name = "", uid = "" } = object.metadata;
  const timeoutMs = parseGoDuration(object.spec.operationTimeout ?? "") ?? 0;
  return {
    context,
    kind: resource.kind as DataPathKind,
    owner: {
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      name,
      uid,
      controller: true,
    },
    key: { namespace: context.namespace, name },
    operationTimeoutMs: timeoutMs > 0 ? timeoutMs : defaultOperationTimeoutMs,
    logger: context.logger ?? silentLogger,
  };
}

export const done: Step = { done: true };

export function waiting(reason: string): Step {
  return { done: false, reason };
}

export function isOwned(object: KubeObject, owner: OwnerReference): boolean {
  return object.metadata.ownerReferences?.some(({ uid }) => uid === owner.uid) ?? false;
}

export function isMarked(object: KubeObject, owner: OwnerReference): boolean {
  return object.metadata.annotations?.[marks.owner] === owner.uid;
}

export function textOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

/** An object of the name that ours should have. Taking it over or deleting it would harm whoever made it. */
export function foreignObject(exposure: Exposure, kind: string): ConflictError {
  const { owner, key } = exposure;
  return new ConflictError(
    "DM_EXPOSE_FOREIGN_OBJECT",
    `${kind} ${textOf(key)} exists already and does not belong to ${owner.kind} ${textOf(key)}`,
    { kind, ...key },
  );
}

export async function ownPod(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<Pod | undefined> {
  const pod = await exposure.context.client.get(pods, exposure.key, options);
  return pod !== undefined && isOwned(pod, exposure.owner) ? pod : undefined;
}

export async function ownClaim(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<PersistentVolumeClaim | undefined> {
  const { client } = exposure.context;
  const claim = await client.get(persistentVolumeClaims, exposure.key, options);
  return claim !== undefined && isOwned(claim, exposure.owner) ? claim : undefined;
}

/**
 * Creates the object, or answers with the one that is there when `isOurs` says so.
 * @throws {ConflictError} `DM_EXPOSE_FOREIGN_OBJECT`
 */
export async function createOrTake<T extends KubeObject>(
  exposure: Exposure,
  resource: Resource<T>,
  object: T,
  isOurs: (found: T) => boolean,
  options: KubeCallOptions,
): Promise<T> {
  const { client } = exposure.context;
  const { namespace, name = "" } = object.metadata;
  try {
    return await client.create(resource, object, options);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    const found = await client.get(resource, { namespace, name }, options);
    // Gone, or going: the next call sees what became of it.
    if (found === undefined || isDeleting(found)) throw error;
    if (isOurs(found)) return found;
    throw foreignObject(exposure, resource.kind);
  }
}

/** What the API answers when another writer was faster: the object has changed, is there already, or has just gone. */
const raced: ReadonlySet<string> = new Set([
  "DM_KUBE_CONFLICT",
  "DM_KUBE_ALREADY_EXISTS",
  "DM_KUBE_NOT_FOUND",
]);

/** Runs one call of an exposer. Who met another writer is told to come again: the next call reads anew. */
export async function stepOf(work: () => Promise<Step>): Promise<Step> {
  try {
    return await work();
  } catch (error) {
    if (isDmError(error) && raced.has(error.code)) return waiting(error.message);
    throw error;
  }
}

/** Whether it is what these steps themselves call the end. What the API refuses may be mended and tried again. */
export function isEnd(error: unknown): error is DmError {
  return isDmError(error) && /^DM_(EXPOSE|REBIND)_/.test(error.code);
}

/** An end takes away what was made before it; what then is still there is left to the caller's clean-up. */
export async function orRollBack(
  { key, logger }: Exposure,
  expose: () => Promise<Step>,
  cleanUp: () => Promise<Step>,
): Promise<Step> {
  try {
    return await expose();
  } catch (error) {
    if (!isEnd(error)) throw error;
    await cleanUp().catch((failure: unknown) =>
      logger.warn("Left a failed exposure to clean-up", { name: key.name, error: failure }),
    );
    throw error;
  }
}

/** Gone, or since when it is being deleted and what keeps it. */
export type Vanishing =
  | { readonly gone: true }
  | { readonly gone: false; readonly forMs: number; readonly finalizers: readonly string[] };

/** Asks for the deletion of exactly this object, unless it was asked for, and tells how far that is. */
export async function vanish<T extends KubeObject>(
  exposure: Exposure,
  resource: Resource<T>,
  object: T | undefined,
  options: KubeCallOptions & { readonly gracePeriodSeconds?: number },
): Promise<Vanishing> {
  if (object === undefined) return { gone: true };
  const { client } = exposure.context;
  const { namespace, name = "", uid } = object.metadata;
  let left: T | undefined = object;
  if (isDeleting(object) === false) {
    try {
      await client.delete(resource, { namespace, name }, { ...options, uid });
    } catch (error) {
      // Not this object any more, but another one of its name.
      if (isDmError(error, "DM_KUBE_CONFLICT")) return { gone: true };
      throw error;
    }
    left = await client.get(resource, { namespace, name }, options);
  }
  if (left === undefined || left.metadata.uid !== uid) return { gone: true };
  const since = Date.parse(left.metadata.deletionTimestamp ?? "");
  const forMs = Number.isNaN(since) ? 0 : nowMs(exposure) - since;
  return { gone: false, forMs, finalizers: left.metadata.finalizers ?? [] };
}

/**
 * `vanish` for what `expose` and `rebind` need gone: a deletion longer than the operation timeout is the end.
 * @throws {StorageError} `DM_EXPOSE_DELETION_STUCK` with the finalizers that hold the object.
 */
export async function assureGone<T extends KubeObject>(
  exposure: Exposure,
  resource: Resource<T>,
  object: T | undefined,
  words: { readonly kind: string; readonly short: string },
  options: KubeCallOptions & { readonly gracePeriodSeconds?: number },
): Promise<Step> {
  const vanishing = await vanish(exposure, resource, object, options);
  if (vanishing.gone) return done;
  const { namespace, name = "" } = object?.metadata ?? {};
  if (vanishing.forMs >= exposure.operationTimeoutMs)
    throw new StorageError(
      "DM_EXPOSE_DELETION_STUCK",
      `timeout to assure ${words.kind} ${name} is deleted, finalizers in ${words.short} [${vanishing.finalizers.join(" ")}]`,
      { kind: words.kind, namespace, name, finalizers: vanishing.finalizers },
    );
  return waiting(`${words.kind} ${textOf({ namespace, name })} is being deleted`);
}

/** `vanish` for clean-up: whether to wait on. A deletion that takes too long is logged and left to the cluster. */
export async function vanishOrGoOn<T extends KubeObject>(
  exposure: Exposure,
  resource: Resource<T>,
  object: T | undefined,
  options: KubeCallOptions & { readonly gracePeriodSeconds?: number },
): Promise<boolean> {
  const vanishing = await vanish(exposure, resource, object, options);
  if (vanishing.gone) return true;
  if (vanishing.forMs < cleanUpTimeoutMs(exposure)) return false;
  exposure.logger.warn("Gave up waiting for a deletion", {
    kind: resource.kind,
    name: object?.metadata.name,
    finalizers: vanishing.finalizers,
  });
  return true;
}

export function cleanUpTimeoutMs(exposure: Exposure): number {
  return exposure.context.cleanUpTimeoutMs ?? defaultCleanUpTimeoutMs;
}

export function isDeleting(object: KubeObject): boolean {
  return (object.metadata.deletionTimestamp ?? "") !== "";
}

export function nowMs(exposure: Exposure): number {
  return Number(exposure.context.clock.nowNs() / nsPerMs);
}
