/**
 * One object as it changes: read once, then watched. Watches that end, break or go silent are begun again; an API server that is
 * away is asked again until it is back.
 * Proof: test/mover/follow-object.test.ts.
 * @module
 */
import { type Clock, isDmError, systemClock } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import type { KubeClient, ObjectKey } from "../runtime/kube-client.ts";

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly clock?: Clock | undefined;
  /** The server ends a watch then, and the object is read again; 120 by default. */
  readonly watchSeconds?: number | undefined;
}

const firstDelayMs = 500;
const maxDelayMs = 10_000;

/**
 * Yields the object whenever it has changed, and undefined when it is gone; ends with the signal.
 * @throws what the API says, unless asking again may help
 */
export async function* followObject<T extends KubeObject>(
  client: Pick<KubeClient, "get" | "watch">,
  resource: Resource<T>,
  key: ObjectKey,
  options: FollowOptions,
): AsyncGenerator<T | undefined> {
  const { clock = systemClock, signal, watchSeconds = 120 } = options;
  let delayMs = firstDelayMs;
  while (!signal.aborted) {
    try {
      const object = await client.get(resource, key, { signal });
      yield object;
      delayMs = firstDelayMs;
      const changes = client.watch(resource, {
        namespace: key.namespace,
        fieldSelector: `metadata.name=${key.name}`,
        resourceVersion: object?.metadata.resourceVersion ?? "0",
        timeoutSeconds: watchSeconds,
        signal,
      });
      for await (const { object: changed, type } of changes) {
        if (type === "BOOKMARK" || changed.metadata.name !== key.name) continue;
        yield type === "DELETED" ? undefined : changed;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!mayPass(error)) throw error;
    }
    if (signal.aborted) return;
    // Also a watch that ends at once must not become a storm of requests.
    await clock.sleep(delayMs, { signal }).catch(() => {});
    delayMs = Math.min(delayMs * 2, maxDelayMs);
  }
}

function mayPass(error: unknown): boolean {
  return isDmError(error, "DM_KUBE_UNAVAILABLE") || isDmError(error, "DM_KUBE_EXPIRED");
}
