/**
 * Which errors say something about the object at hand, and which only about this moment.
 * Proof: test/node-agent/transient.test.ts.
 * @module
 */
import { isDmError, type StorageError } from "@dm/core";

const momentary = [
  "DM_KUBE_UNAVAILABLE",
  "DM_KUBE_CONFLICT",
  "DM_KUBE_EXPIRED",
  // Tokens are rotated; the client reads its own again.
  "DM_KUBE_UNAUTHORIZED",
];

/** Whether trying again later may help: no reason to let the object fail. An abort is neither. */
export function isTransient(error: unknown, signal?: AbortSignal): boolean {
  if (signal?.aborted) return true;
  if (!isDmError(error)) return false;
  if (momentary.includes(error.code)) return true;
  return (error as Partial<StorageError>).retryable === true;
}
