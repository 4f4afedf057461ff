/**
 * What a back-end offers: the two ciphers over borrowed bytes, and HMAC-SHA-256.
 * @module
 */
import type { Cipher } from "./registry.ts";

export interface Aead {
  readonly name: string;
  readonly ciphers: readonly Cipher[];
  /**
   * Writes `ciphertext || tag` to `output`, which has exactly room for both.
   */
  seal(
    cipher: Cipher,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    aad: Uint8Array,
    output: Uint8Array,
  ): void;
  /** Plaintext of `ciphertext || tag` (at least 16 bytes), or undefined when the tag does not match. */
  open(
    cipher: Cipher,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    aad: Uint8Array,
  ): Uint8Array | undefined;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
}
