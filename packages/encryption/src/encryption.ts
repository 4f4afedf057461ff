/**
 * Content encryption: a key for each content, `HMAC-SHA256(S, iv)` with `S = HKDF(masterKey, salt "encryption")`, and
 * `nonce(12) || AEAD(key, nonce, plaintext, AAD = iv) || tag(16)`.
 * Format: docs/format/encryption.md. Proof: test/vectors.test.ts.
 * @module
 */
import { type RandomBytes, systemRandomBytes, utf8Encode } from "@dm/core";
import { aeadBackend, aeadBackends } from "./backends.ts";
import { notAuthentic, truncated } from "./failures.ts";
import { hkdfSha256 } from "./key-derivation.ts";
import { noncePool } from "./nonce-pool.ts";
import {
  type EncryptionAlgorithm,
  encryptionAlgorithms,
  encryptionDescription,
  nonceBytes,
} from "./registry.ts";

export interface EncryptOptions {
  /** 12 bytes. For tests: a nonce must never be used twice with one iv. Random by default. */
  readonly nonce?: Uint8Array | undefined;
  /** Where to write; at least `plaintext.length + overheadBytes` long, apart from `plaintext`. The result is a view of it. */
  readonly output?: Uint8Array | undefined;
}

export interface EncryptItem extends EncryptOptions {
  readonly plaintext: Uint8Array;
  readonly iv: Uint8Array;
}

/** One algorithm with the keys of one repository. */
export interface ContentEncryption {
  readonly algorithm: EncryptionAlgorithm;
  readonly overheadBytes: number;
  /** The back-end in use. */
  readonly backend: string;
  /**
   * Encrypts one content. `iv` (16 bytes and more, from the content's hash) decides the key and is authenticated.
   * Inputs are borrowed for the call; without `output` the result is the caller's.
   * @throws {RangeError} for an `output` that is too short, or a nonce that has not 12 bytes
   */
  encrypt(plaintext: Uint8Array, iv: Uint8Array, options?: EncryptOptions): Uint8Array;
  /**
   * The plaintext, the caller's own. Nothing of it is handed out before the tag has been verified.
   * @throws {FormatError} `DM_CIPHERTEXT_TRUNCATED` when shorter than the overhead
   * @throws {IntegrityError} `DM_DECRYPT_FAILED` when the tag does not match: altered bytes, another iv or another key
   */
  decrypt(stored: Uint8Array, iv: Uint8Array): Uint8Array;
  /** Encrypts many contents in one call, in their order. */
  encryptMany(items: readonly EncryptItem[]): Uint8Array[];
}

export interface CreateEncryptionOptions {
  /** Pins a back-end by name (see {@link describeEncryption}) instead of the fastest. */
  readonly backend?: string | undefined;
  readonly randomBytes?: RandomBytes | undefined;
}

const contentSalt = utf8Encode("encryption");

/**
 * Makes a content encryption. Costs one key derivation (20 µs); the keys stay inside.
 * @throws {UnsupportedError} `DM_ENCRYPTION_UNKNOWN`, `DM_ENCRYPTION_BACKEND_UNKNOWN`
 * @example const stored = createEncryption("AES256-GCM-HMAC-SHA256", masterKey).encrypt(plaintext, iv);
 */
export function createEncryption(
  algorithm: string,
  masterKey: Uint8Array,
  options: CreateEncryptionOptions = {},
): ContentEncryption {
  const { cipher, name, overheadBytes } = encryptionDescription(algorithm);
  const backend = aeadBackend(cipher, options.backend);
  const secret = hkdfSha256(masterKey, { salt: contentSalt, info: new Uint8Array(0), length: 32 });
  const nextNonce = noncePool(options.randomBytes ?? systemRandomBytes);

  const encrypt = (plaintext: Uint8Array, iv: Uint8Array, how: EncryptOptions = {}): Uint8Array => {
    const length = plaintext.length + overheadBytes;
    const { output = new Uint8Array(length), nonce = nextNonce() } = how;
    if (output.length < length)
      throw new RangeError(`output of ${output.length} bytes, ${length} are needed`);
    if (nonce.length !== nonceBytes)
      throw new RangeError(`nonce of ${nonce.length} bytes, ${nonceBytes} are needed`);
    output.set(nonce);
    backend.seal(
      cipher,
      backend.hmacSha256(secret, iv),
      nonce,
      plaintext,
      iv,
      output.subarray(nonceBytes, length),
    );
    return output.subarray(0, length);
  };

  return {
    algorithm: name,
    overheadBytes,
    backend: backend.name,
    encrypt,
    encryptMany: (items) => items.map((item) => encrypt(item.plaintext, item.iv, item)),
    decrypt(stored, iv) {
      if (stored.length < overheadBytes) throw truncated(stored.length, overheadBytes);
      const nonce = stored.subarray(0, nonceBytes);
      const key = backend.hmacSha256(secret, iv);
      const plaintext = backend.open(cipher, key, nonce, stored.subarray(nonceBytes), iv);
      if (plaintext) return plaintext;
      throw notAuthentic(stored.length);
    },
  };
}

export interface EncryptionBackends {
  readonly algorithm: EncryptionAlgorithm;
  /** The back-end that `createEncryption` takes. */
  readonly backend: string;
  /** All that work here, fastest first. */
  readonly available: readonly string[];
}

/** Which back-end each algorithm uses on this machine. */
export function describeEncryption(): EncryptionBackends[] {
  return Object.values(encryptionAlgorithms).map(({ cipher, name }) => {
    const available = aeadBackends(cipher).map((backend) => backend.name);
    return { algorithm: name, backend: available[0]!, available };
  });
}
