/**
 * Keys: from a password (scrypt, PBKDF2), from another key (HKDF), and the plain pieces that the format blob needs.
 * Sources: RFC 7914, RFC 8018, RFC 5869, NIST SP 800-38D. Format: docs/format/encryption.md. Proof: test/keys.test.ts.
 * @module
 */
import { FormatError, nodeBuiltin, UnsupportedError, utf8Encode } from "@dm/core";
import { pbkdf2Async } from "@noble/hashes/pbkdf2.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { aeadBackend } from "./backends.ts";
import { notAuthentic, truncated } from "./failures.ts";
import { nonceBytes, tagBytes } from "./registry.ts";

export type KeyDerivationAlgorithm = "scrypt-65536-8-1" | "pbkdf2-sha256-600000";

export interface KeyDerivationDescription {
  readonly name: KeyDerivationAlgorithm;
  /** Bytes of the derived key. */
  readonly keyBytes: number;
}

/** By Kopia's name. */
export const keyDerivationAlgorithms: Readonly<
  Record<KeyDerivationAlgorithm, KeyDerivationDescription>
> = Object.freeze({
  "scrypt-65536-8-1": Object.freeze({ name: "scrypt-65536-8-1", keyBytes: 32 }),
  "pbkdf2-sha256-600000": Object.freeze({ name: "pbkdf2-sha256-600000", keyBytes: 32 }),
});

export const defaultKeyDerivationAlgorithm: KeyDerivationAlgorithm = "scrypt-65536-8-1";

const aes = "aes-256-gcm";
const keyBytes = 32;
const minSaltBytes = 16;
const scryptCost = { N: 65536, r: 8, p: 1 };
const scryptMemoryBytes = 128 << 20;
const pbkdf2Iterations = 600_000;

export interface DerivePasswordKeyOptions {
  readonly algorithm: string;
  /** At least 16 bytes. */
  readonly salt: Uint8Array;
  /** Looked at before the work begins and after it; the work itself cannot be stopped. */
  readonly signal?: AbortSignal | undefined;
  /** Pins a back-end by name: `node` or `noble`. */
  readonly backend?: string | undefined;
}

/**
 * The key of a password, 32 bytes. Slow by intent: about 0.3 s in Node, off the main thread; seconds in a browser.
 * Takes 64 MiB of memory while it runs with scrypt.
 * @throws {UnsupportedError} `DM_KEY_DERIVATION_UNKNOWN`, `DM_ENCRYPTION_BACKEND_UNKNOWN`
 * @throws {FormatError} `DM_SALT_TOO_SHORT`
 * @example const key = await derivePasswordKey(password, { algorithm: "scrypt-65536-8-1", salt: uniqueId });
 */
export async function derivePasswordKey(
  password: string,
  options: DerivePasswordKeyOptions,
): Promise<Uint8Array> {
  const { algorithm, backend, salt, signal } = options;
  // TextEncoder would take `undefined`, as from an unset variable, for an empty text.
  if (typeof password !== "string") throw new TypeError("a password must be a string");
  if (!Object.hasOwn(keyDerivationAlgorithms, algorithm)) {
    const known = Object.keys(keyDerivationAlgorithms).join(", ");
    throw new UnsupportedError(
      "DM_KEY_DERIVATION_UNKNOWN",
      `key derivation ${JSON.stringify(algorithm)} is not known; known: ${known}`,
      { name: algorithm },
    );
  }
  if (salt.length < minSaltBytes) {
    throw new FormatError(
      "DM_SALT_TOO_SHORT",
      `salt of ${salt.length} bytes, at least ${minSaltBytes} are needed`,
      {
        length: salt.length,
      },
    );
  }
  signal?.throwIfAborted();
  const bytes = utf8Encode(password);
  const { name } = aeadBackend(aes, backend);
  const node = name === "node" ? nodeBuiltin<NodeCrypto>("node:crypto") : undefined;
  const derive = algorithm === "scrypt-65536-8-1" ? scrypt : pbkdf2;
  const key = await derive(node, bytes, salt);
  signal?.throwIfAborted();
  return key;
}

type NodeCrypto = typeof import("node:crypto");

function scrypt(
  node: NodeCrypto | undefined,
  password: Uint8Array,
  salt: Uint8Array,
): Promise<Uint8Array> {
  if (!node?.scrypt)
    return scryptAsync(password, salt, {
      ...scryptCost,
      dkLen: keyBytes,
      maxmem: scryptMemoryBytes,
    });
  return new Promise((resolve, reject) => {
    node.scrypt(
      password,
      salt,
      keyBytes,
      { ...scryptCost, maxmem: scryptMemoryBytes },
      (error, key) => {
        if (error) reject(error);
        else resolve(Uint8Array.from(key));
      },
    );
  });
}

function pbkdf2(
  node: NodeCrypto | undefined,
  password: Uint8Array,
  salt: Uint8Array,
): Promise<Uint8Array> {
  if (!node?.pbkdf2)
    return pbkdf2Async(sha256, password, salt, { c: pbkdf2Iterations, dkLen: keyBytes });
  return new Promise((resolve, reject) => {
    node.pbkdf2(password, salt, pbkdf2Iterations, keyBytes, "sha256", (error, key) => {
      if (error) reject(error);
      else resolve(Uint8Array.from(key));
    });
  });
}

/** HMAC-SHA-256, 32 bytes. */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return aeadBackend(aes).hmacSha256(key, data);
}

export interface HkdfOptions {
  readonly salt: Uint8Array;
  readonly info: Uint8Array;
  /** Bytes wanted, at most 255 × 32. */
  readonly length: number;
}

/** HKDF (RFC 5869) with SHA-256: extract, then expand. */
export function hkdfSha256(inputKey: Uint8Array, options: HkdfOptions): Uint8Array {
  const { info, length, salt } = options;
  if (!(length >= 0 && length <= 255 * 32))
    throw new RangeError(`HKDF-SHA-256 gives 0 to ${255 * 32} bytes, not ${length}`);
  const pseudoRandomKey = hmacSha256(salt.length === 0 ? new Uint8Array(32) : salt, inputKey);
  const output = new Uint8Array(length);
  let block = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += 32, counter++) {
    const input = new Uint8Array(block.length + info.length + 1);
    input.set(block);
    input.set(info, block.length);
    input[input.length - 1] = counter;
    block = Uint8Array.from(hmacSha256(pseudoRandomKey, input));
    output.set(block.subarray(0, Math.min(32, length - at)), at);
  }
  return output;
}

/**
 * AES-256-GCM: `ciphertext || tag`. The nonce must be new for the key.
 * @throws {RangeError} for a key that has not 32 bytes, or a nonce that has not 12
 */
export function aes256GcmSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array {
  checkKey(key);
  if (nonce.length !== nonceBytes) throw new RangeError(`nonce of ${nonce.length} bytes`);
  const sealed = new Uint8Array(plaintext.length + tagBytes);
  aeadBackend(aes).seal(aes, key, nonce, plaintext, associatedData, sealed);
  return sealed;
}

/**
 * Plaintext of `ciphertext || tag`.
 * @throws {FormatError} `DM_CIPHERTEXT_TRUNCATED` when the tag or the nonce is not all there
 * @throws {IntegrityError} `DM_DECRYPT_FAILED`
 * @throws {RangeError} for a key that has not 32 bytes
 */
export function aes256GcmOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array {
  checkKey(key);
  if (sealed.length < tagBytes || nonce.length !== nonceBytes)
    throw truncated(nonce.length + sealed.length, nonceBytes + tagBytes);
  const plaintext = aeadBackend(aes).open(aes, key, nonce, sealed, associatedData);
  if (plaintext) return plaintext;
  throw notAuthentic(sealed.length);
}

function checkKey(key: Uint8Array): void {
  if (key.length !== keyBytes) throw new RangeError(`AES-256 key of ${key.length} bytes`);
}
