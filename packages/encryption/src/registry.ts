/**
 * The two content encryptions of the Kopia repository format, and the names that are history.
 * Format: docs/format/encryption.md. Proof: test/vectors.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";

export type EncryptionAlgorithm = "AES256-GCM-HMAC-SHA256" | "CHACHA20-POLY1305-HMAC-SHA256";

export type Cipher = "aes-256-gcm" | "chacha20-poly1305";

export interface EncryptionDescription {
  readonly name: EncryptionAlgorithm;
  readonly cipher: Cipher;
  /** Bytes that encryption adds: nonce 12, tag 16. */
  readonly overheadBytes: number;
}

export const nonceBytes = 12;
export const tagBytes = 16;
const overheadBytes = nonceBytes + tagBytes;

/** By Kopia's name. */
export const encryptionAlgorithms: Readonly<Record<EncryptionAlgorithm, EncryptionDescription>> =
  Object.freeze({
    "AES256-GCM-HMAC-SHA256": Object.freeze({
      name: "AES256-GCM-HMAC-SHA256",
      cipher: "aes-256-gcm",
      overheadBytes,
    }),
    "CHACHA20-POLY1305-HMAC-SHA256": Object.freeze({
      name: "CHACHA20-POLY1305-HMAC-SHA256",
      cipher: "chacha20-poly1305",
      overheadBytes,
    }),
  });

/** What Kopia gives a new repository. */
export const defaultEncryptionAlgorithm: EncryptionAlgorithm = "AES256-GCM-HMAC-SHA256";

/** Of early Kopia releases; present ones cannot open such repositories either. */
const historic: ReadonlySet<string> = new Set([
  "NONE",
  "SALSA20",
  "SALSA20-HMAC",
  "AES-128-CTR",
  "AES-192-CTR",
  "AES-256-CTR",
  "XCHACHA20-POLY1305",
  "XSALSA20",
  "XSALSA20-HMAC",
  "AES256-GCM-HMAC-SHA256-DEPRECATED",
]);

/** @throws {UnsupportedError} `DM_ENCRYPTION_UNKNOWN` listing the known names */
export function encryptionDescription(name: string): EncryptionDescription {
  if (Object.hasOwn(encryptionAlgorithms, name))
    return encryptionAlgorithms[name as EncryptionAlgorithm];
  const known = Object.keys(encryptionAlgorithms).join(", ");
  const what = historic.has(name) ? "was dropped from the format long ago" : "is not known";
  throw new UnsupportedError(
    "DM_ENCRYPTION_UNKNOWN",
    `encryption ${JSON.stringify(name)} ${what}; known: ${known}`,
    { name },
  );
}
