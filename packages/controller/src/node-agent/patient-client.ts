/**
 * A client that asks again at once, a few times, when the API server has a bad moment. One look at an object takes a dozen calls:
 * without this, a server that refuses a few of them would hardly ever let a look end, and each would begin from the start.
 * Proof: test/node-agent/patient-client.test.ts.
 * @module
 */
import type { Clock } from "@dm/core";
import type { KubeClient } from "../runtime/kube-client.ts";
import { isUnavailable, retryAfterMsOf } from "../runtime/kube-errors.ts";

export interface PatientClientOptions {
  readonly clock: Clock;
  /** Of each call, the first one counted. */
  readonly attempts?: number | undefined;
  /** Before the second attempt; doubles. */
  readonly firstDelayMs?: number | undefined;
}

/** A server that asks for more is left alone for longer than a call may take. */
const longestDelayMs = 5_000;

/**
 * Watches pass through. What was written although its answer was lost is met again: as a conflict, or as what exists already,
 * which the caller has to expect anyway.
 * @example const patient = patientClient(client, { clock: systemClock });
 */
export function patientClient(client: KubeClient, options: PatientClientOptions): KubeClient {
  const { clock, attempts = 4, firstDelayMs = 100 } = options;
  const patiently = async <R>(signal: AbortSignal | undefined, call: () => Promise<R>) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        const delayMs = retryAfterMsOf(error) ?? firstDelayMs * 2 ** (attempt - 1);
        if (!isUnavailable(error) || attempt >= attempts || delayMs > longestDelayMs) throw error;
        await clock.sleep(delayMs, { signal });
      }
    }
  };
  return {
    get: (resource, key, callOptions) =>
      patiently(callOptions?.signal, () => client.get(resource, key, callOptions)),
    list: (resource, listOptions) =>
      patiently(listOptions?.signal, () => client.list(resource, listOptions)),
    create: (resource, object, callOptions) =>
      patiently(callOptions?.signal, () => client.create(resource, object, callOptions)),
    replace: (resource, object, writeOptions) =>
      patiently(writeOptions?.signal, () => client.replace(resource, object, writeOptions)),
    patch: (resource, key, patch, writeOptions) =>
      patiently(writeOptions?.signal, () => client.patch(resource, key, patch, writeOptions)),
    delete: (resource, key, deleteOptions) =>
      patiently(deleteOptions?.signal, () => client.delete(resource, key, deleteOptions)),
    watch: (resource, watchOptions) => client.watch(resource, watchOptions),
  };
}
