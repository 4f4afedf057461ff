/**
 * Node's own OpenSSL, which uses the CPU's AES instructions.
 * @module
 */
import type {
  CipherChaCha20Poly1305,
  CipherGCM,
  DecipherChaCha20Poly1305,
  DecipherGCM,
} from "node:crypto";
import { copyBytes, nodeBuiltin } from "@dm/core";
import type { Aead } from "./aead.ts";
import { type Cipher, tagBytes } from "./registry.ts";

/**
 * Bytes handed to one update. Each result is memory of its own; beyond malloc's 128 KiB threshold that is a fresh
 * mapping, whose page faults cost more than the cipher does.
 */
const pieceBytes = 64 << 10;

/**
 * Gives the memory of a result back at once. Left to the garbage collector, results pile up to a full collection for every
 * 30 MB or so: 0.5 GB/s of 0.9 were lost to it (64 KiB pieces of 8 MiB, Node 26).
 */
function release(piece: Uint8Array): void {
  const { buffer } = piece;
  // Only memory that nothing else lies in.
  if (buffer.byteLength === piece.length) (buffer as ArrayBuffer).transfer(0);
}

type NodeCrypto = typeof import("node:crypto");

/** Undefined where there is no Node. */
export function nodeAead(): Aead | undefined {
  const crypto = nodeBuiltin<NodeCrypto>("node:crypto");
  if (!crypto?.createCipheriv) return undefined;
  // OpenSSL with a policy, or another library in its place, may lack ChaCha20-Poly1305.
  const offered = new Set(crypto.getCiphers());
  const ciphers = (["aes-256-gcm", "chacha20-poly1305"] as const).filter((it) => offered.has(it));
  const options = { authTagLength: tagBytes };
  const encryptor = (
    cipher: Cipher,
    key: Uint8Array,
    nonce: Uint8Array,
  ): CipherGCM | CipherChaCha20Poly1305 =>
    cipher === "aes-256-gcm"
      ? crypto.createCipheriv(cipher, key, nonce, options)
      : crypto.createCipheriv(cipher, key, nonce, options);
  const decryptor = (
    cipher: Cipher,
    key: Uint8Array,
    nonce: Uint8Array,
  ): DecipherGCM | DecipherChaCha20Poly1305 =>
    cipher === "aes-256-gcm"
      ? crypto.createDecipheriv(cipher, key, nonce, options)
      : crypto.createDecipheriv(cipher, key, nonce, options);
  return {
    name: "node",
    ciphers,
    seal(cipher, key, nonce, plaintext, aad, output) {
      const state = encryptor(cipher, key, nonce);
      state.setAAD(aad, { plaintextLength: plaintext.length });
      let at = 0;
      while (at < plaintext.length) {
        const piece = state.update(plaintext.subarray(at, at + pieceBytes));
        copyBytes(piece, output, at);
        at += piece.length;
        release(piece);
      }
      state.final();
      output.set(state.getAuthTag(), at);
    },
    open(cipher, key, nonce, sealed, aad) {
      const length = sealed.length - tagBytes;
      const state = decryptor(cipher, key, nonce);
      state.setAAD(aad, { plaintextLength: length });
      state.setAuthTag(sealed.subarray(length));
      let plaintext: Uint8Array;
      if (length <= pieceBytes) {
        // Memory of its own already: no copy.
        const { buffer, byteOffset } = state.update(sealed.subarray(0, length));
        plaintext = new Uint8Array(buffer, byteOffset, length);
      } else {
        plaintext = new Uint8Array(length);
        for (let at = 0; at < length; at += pieceBytes) {
          const piece = state.update(sealed.subarray(at, Math.min(at + pieceBytes, length)));
          plaintext.set(piece, at);
          release(piece);
        }
      }
      try {
        state.final();
      } catch {
        return undefined;
      }
      return plaintext;
    },
    hmacSha256(key, data) {
      return Uint8Array.from(crypto.createHmac("sha256", key).update(data).digest());
    },
  };
}
