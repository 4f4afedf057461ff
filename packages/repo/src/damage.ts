/**
 * Which errors tell of the data that was read, and not of the store, which may answer another time.
 * Proof: test/recover.test.ts, test/verify.test.ts.
 * @module
 */
import { type DmError, isDmError } from "@dm/core";

const ofTheStore: ReadonlySet<string> = new Set(["StorageError", "AccessError"]);

/** Damaged, missing or unknown; never that a store failed, refused, or is gone as a whole. */
export function isDamage(error: unknown): error is DmError {
  return isDmError(error) && !ofTheStore.has(error.name) && error.code !== "DM_STORE_NOT_FOUND";
}
