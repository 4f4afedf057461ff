/**
 * From a repository's secret to the key of a hash. BLAKE3 takes 32 bytes: of a longer secret the first 32, of a shorter
 * one a key derived from it. Format: docs/format/hashing.md. Proof: test/vectors.test.ts.
 * @module
 */
import { utf8Encode } from "@dm/core";
import { blake3 } from "@noble/hashes/blake3.js";
import type { HashDescription } from "./registry.ts";

const blake3Context = utf8Encode("kopia blake3 derived key v1");
const blake3KeyBytes = 32;

/** @throws {RangeError} for a key length that the algorithm refuses */
export function hashKey(description: HashDescription, secret: Uint8Array): Uint8Array {
  const { family, maxKeyBytes, minKeyBytes, name } = description;
  if (secret.length < minKeyBytes || (maxKeyBytes !== undefined && secret.length > maxKeyBytes)) {
    throw new RangeError(
      `${name} takes a key of ${minKeyBytes} to ${maxKeyBytes} bytes, not ${secret.length}`,
    );
  }
  if (family !== "blake3") return secret.slice();
  if (secret.length >= blake3KeyBytes) return secret.slice(0, blake3KeyBytes);
  return blake3(secret, { context: blake3Context });
}
