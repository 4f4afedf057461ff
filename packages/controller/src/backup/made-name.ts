/**
 * Names of objects that are made for a Backup or Restore and one claim: the same each time, so that a second create meets the first.
 * Proof: test/backup/crash.test.ts.
 * @module
 */
import { createHash } from "node:crypto";

const digits = 10;
/** Other objects carry the name in a label. */
const maxLength = 63;

/**
 * `<prefix>-` and ten hexadecimal digits that stand for `parts`, where Velero has five random characters.
 * @example madeName("nightly", backupUid, claimUid) // "nightly-0b6f1c22a9"
 */
export function madeName(prefix: string, ...parts: readonly string[]): string {
  return `${prefix.slice(0, maxLength - digits - 1).replace(/[-.]+$/, "")}-${digest(parts)}`;
}

/** The label value by which only the restored volume of one claim is found: `<namespace>.<claim>.<five characters>`. */
export function shortDigest(...parts: readonly string[]): string {
  return digest(parts).slice(0, 5);
}

function digest(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, digits);
}
