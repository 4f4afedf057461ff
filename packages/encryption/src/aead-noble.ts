/**
 * The portable back-end: @noble/ciphers and @noble/hashes, plain JavaScript. Slow (30-100 MB/s), and the oracle of tests.
 * @module
 */
import { gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import type { Aead } from "./aead.ts";
import type { Cipher } from "./registry.ts";

const make = (
  cipher: Cipher,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
): ReturnType<typeof gcm> =>
  cipher === "aes-256-gcm" ? gcm(key, nonce, aad) : chacha20poly1305(key, nonce, aad);

export const nobleAead: Aead = {
  name: "noble",
  ciphers: ["aes-256-gcm", "chacha20-poly1305"],
  seal(cipher, key, nonce, plaintext, aad, output) {
    output.set(make(cipher, key, nonce, aad).encrypt(plaintext));
  },
  open(cipher, key, nonce, sealed, aad) {
    const state = make(cipher, key, nonce, aad);
    try {
      return state.decrypt(sealed);
    } catch {
      // Lengths are checked by the caller: what is left is a tag that does not match.
      return undefined;
    }
  },
  hmacSha256: (key, data) => hmac(sha256, key, data),
};
