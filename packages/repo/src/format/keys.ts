/**
 * Keys derived for one purpose. Where the password may change they hang on a stored secret, else on the password.
 * Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts.
 * @module
 */
import { utf8Encode } from "@dm/core";
import { hkdfSha256 } from "@dm/encryption";
import type { RepositoryFormat } from "./repository-format.ts";

/** `maintenance schedule` seals `kopia.maintenance`; `local-cache-integrity` tags the entries of the local cache. */
export type KeyPurpose = "maintenance schedule" | "local-cache-integrity";

/**
 * A key for one purpose. Costs two HMACs.
 * @param opened the opened format, of which `uniqueId`, `passwordKey` and `format` count
 * @param length bytes: 32 for the maintenance schedule, 16 for the local cache
 */
export function deriveRepositoryKey(
  opened: {
    readonly uniqueId: Uint8Array;
    readonly passwordKey: Uint8Array;
    readonly format: RepositoryFormat;
  },
  purpose: KeyPurpose,
  length: number,
): Uint8Array {
  const { format, passwordKey, uniqueId } = opened;
  const stored = purpose === "local-cache-integrity" ? format.secret : format.masterKey;
  const root = format.enablePasswordChange ? stored : passwordKey;
  return hkdfSha256(root, { salt: uniqueId, info: utf8Encode(purpose), length });
}
