/**
 * Which errors tell of the data that was read, and not of the way to it: then the rest can still be read.
 * Proof: test/is-damage.test.ts, test/recover.test.ts, test/verify.test.ts.
 * @module
 */
import { type DmError, isDmError } from "@dm/core";

const ofData: ReadonlySet<string> = new Set([
  "FormatError",
  "IntegrityError",
  "NotFoundError",
  "UnsupportedError",
]);

/**
 * Damaged, missing or unknown; never that a store failed or refused, or that another client came first. A store that is gone
 * as a whole, its bucket or its folder, is no damage of what lay in it.
 */
export function isDamage(error: unknown): error is DmError {
  return isDmError(error) && ofData.has(error.name) && error.code !== "DM_STORE_NOT_FOUND";
}
