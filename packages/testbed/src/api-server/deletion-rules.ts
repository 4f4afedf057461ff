/**
 * How objects go: at once, after a time to stop in, or when the last finalizer is taken away.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import type { StoredObject } from "../kube-object.ts";
import { conflict } from "./api-error.ts";
import type { ApiKind } from "./api-kind.ts";

export interface DeleteOptions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** Nothing holds it: no finalizer, no time to stop in. */
export function mayGo(object: StoredObject): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    (object.kind !== "Namespace" || (object.spec?.finalizers ?? []).length === 0)
  );
}

/** @throws {ApiError} 409 */
export function checkPreconditions(
  kind: ApiKind,
  stored: StoredObject,
  options: DeleteOptions,
): void {
  const { metadata } = stored;
  if (options.uid && options.uid !== metadata.uid) {
    throw conflict(
      kind,
      metadata.name,
      `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${metadata.uid}`,
    );
  }
  if (options.resourceVersion && options.resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      kind,
      metadata.name,
      `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
    );
  }
}

/** Finalizers by which the garbage collector sees how dependents are to be treated. */
export function addDeletionFinalizers(object: StoredObject, options: DeleteOptions): void {
  const { metadata } = object;
  const finalizers = new Set(metadata.finalizers ?? []);
  const policy = options.propagationPolicy;
  if (policy === "Orphan") {
    finalizers.delete("foregroundDeletion");
    finalizers.add("orphan");
  } else if (policy === "Foreground") {
    finalizers.delete("orphan");
    finalizers.add("foregroundDeletion");
  } else if (policy === "Background") {
    finalizers.delete("orphan");
    finalizers.delete("foregroundDeletion");
  }
  if (finalizers.size > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;
}

/** Only pods on a node are given time; everything else goes at once. */
export function gracePeriodSeconds(
  resource: string,
  stored: StoredObject,
  options: DeleteOptions,
): number {
  if (resource !== "pods") return 0;
  const { spec, status } = stored;
  if (!spec?.nodeName || status?.phase === "Succeeded" || status?.phase === "Failed") return 0;
  return options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
}
