/**
 * The eleven content hashes of the Kopia repository format.
 * Format: docs/format/hashing.md. Proof: test/vectors.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";

export type HashAlgorithm =
  | "BLAKE2B-256"
  | "BLAKE2B-256-128"
  | "BLAKE2S-128"
  | "BLAKE2S-256"
  | "BLAKE3-256"
  | "BLAKE3-256-128"
  | "HMAC-SHA224"
  | "HMAC-SHA256"
  | "HMAC-SHA256-128"
  | "HMAC-SHA3-224"
  | "HMAC-SHA3-256";

/** The primitive below an algorithm; algorithms of one family and `fullLength` differ in truncation only. */
export type HashFamily =
  | "blake2b"
  | "blake2s"
  | "blake3"
  | "hmac-sha224"
  | "hmac-sha256"
  | "hmac-sha3-224"
  | "hmac-sha3-256";

export interface HashDescription {
  readonly name: HashAlgorithm;
  readonly family: HashFamily;
  /** Bytes that the primitive is asked for. */
  readonly fullLength: number;
  /** Bytes of a digest: the first of the primitive's. */
  readonly digestLength: number;
  /** Longest key, in bytes; undefined when any length is taken. */
  readonly maxKeyBytes: number | undefined;
  /** Shortest key. BLAKE2S-128 is refused unkeyed. */
  readonly minKeyBytes: number;
}

function describeAlgorithm(
  name: HashAlgorithm,
  family: HashFamily,
  fullLength: number,
  digestLength: number,
  maxKeyBytes?: number,
  minKeyBytes = 0,
): readonly [HashAlgorithm, HashDescription] {
  return [
    name,
    Object.freeze({ name, family, fullLength, digestLength, maxKeyBytes, minKeyBytes }),
  ];
}

/** By Kopia's name, in the order of the names. */
export const hashAlgorithms: Readonly<Record<HashAlgorithm, HashDescription>> = Object.freeze(
  Object.fromEntries([
    describeAlgorithm("BLAKE2B-256", "blake2b", 32, 32, 64),
    describeAlgorithm("BLAKE2B-256-128", "blake2b", 32, 16, 64),
    describeAlgorithm("BLAKE2S-128", "blake2s", 16, 16, 32, 1),
    describeAlgorithm("BLAKE2S-256", "blake2s", 32, 32, 32),
    describeAlgorithm("BLAKE3-256", "blake3", 32, 32),
    describeAlgorithm("BLAKE3-256-128", "blake3", 32, 16),
    describeAlgorithm("HMAC-SHA224", "hmac-sha224", 28, 28),
    describeAlgorithm("HMAC-SHA256", "hmac-sha256", 32, 32),
    describeAlgorithm("HMAC-SHA256-128", "hmac-sha256", 32, 16),
    describeAlgorithm("HMAC-SHA3-224", "hmac-sha3-224", 28, 28),
    describeAlgorithm("HMAC-SHA3-256", "hmac-sha3-256", 32, 32),
  ]) as Record<HashAlgorithm, HashDescription>,
);

/** What Kopia gives a new repository. */
export const defaultHashAlgorithm: HashAlgorithm = "BLAKE2B-256-128";

/** @throws {UnsupportedError} `DM_HASH_UNKNOWN` listing the known names */
export function hashDescription(name: string): HashDescription {
  if (Object.hasOwn(hashAlgorithms, name)) return hashAlgorithms[name as HashAlgorithm];
  const known = Object.keys(hashAlgorithms).join(", ");
  throw new UnsupportedError(
    "DM_HASH_UNKNOWN",
    `hash ${JSON.stringify(name)} is not known; known: ${known}`,
    { name },
  );
}
