/**
 * The two ways in which stored bytes cannot be decrypted.
 * @module
 */
import { FormatError, IntegrityError } from "@dm/core";

export function truncated(length: number, neededBytes: number): FormatError {
  return new FormatError(
    "DM_CIPHERTEXT_TRUNCATED",
    `${length} encrypted bytes, at least ${neededBytes} are needed`,
    { length },
  );
}

/** Altered bytes, another key or other associated data: the three cannot be told apart. */
export function notAuthentic(length: number): IntegrityError {
  return new IntegrityError(
    "DM_DECRYPT_FAILED",
    `authentication of ${length} encrypted bytes failed`,
    { length },
  );
}
