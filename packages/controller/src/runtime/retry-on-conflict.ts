/**
 * Changing an object that others change too: read, change, write with the version read, and again when someone was faster.
 * Proof: test/runtime/objects.test.ts.
 * @module
 */
import { type Clock, systemClock } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import { createBackoff } from "./backoff.ts";
import type { KubeClient, ObjectKey, WriteOptions } from "./kube-client.ts";
import { isConflict, isNotFound } from "./kube-errors.ts";
import { sameJson } from "./merge-patch.ts";

export interface RetryOnConflictOptions extends WriteOptions {
  readonly attempts?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Told of each conflict. */
  readonly onConflict?: (() => void) | undefined;
}

export const defaultConflictAttempts = 10;

/**
 * `change` gets a copy of its own, changes it and returns it, or returns another one, or undefined to leave the object as it is.
 * It is asked anew for every state that it is to change, so it must look at that state. Everything it does not touch stays.
 *
 * Returns the object as it is afterwards; undefined when there is none, or `change` wanted nothing. An object that comes out
 * unchanged is not written.
 * @throws {ConflictError} `DM_KUBE_CONFLICT` when others were faster every time
 * @example
 * await retryOnConflict(client, dataUploads, key, (upload) => {
 *   if (isTerminal(upload)) return undefined;
 *   upload.status = { ...upload.status, phase: "Canceled" };
 *   return upload;
 * });
 */
export async function retryOnConflict<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  key: ObjectKey,
  change: (object: T) => T | undefined,
  options: RetryOnConflictOptions = {},
): Promise<T | undefined> {
  const { attempts = defaultConflictAttempts, clock = systemClock, signal, subresource } = options;
  const backoff = createBackoff({ firstMs: 10, maxMs: 1_000 });
  for (let attempt = 1; ; attempt += 1) {
    const read = await client.get(resource, key, { signal });
    if (!read) return undefined;
    const changed = change(structuredClone(read));
    if (!changed) return undefined;
    if (sameJson(changed, read)) return read;
    const { resourceVersion } = read.metadata;
    const object = {
      ...changed,
      metadata: { ...changed.metadata, ...(resourceVersion ? { resourceVersion } : {}) },
    };
    try {
      return await client.replace(resource, object, { signal, subresource });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (!isConflict(error) || attempt >= attempts) throw error;
      options.onConflict?.();
      await clock.sleep(backoff.nextMs(), { signal });
    }
  }
}
