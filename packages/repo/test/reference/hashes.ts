/**
 * Content hashes by name: what a secret and a plaintext give.
 * @module
 */
import { createHmac } from "node:crypto";
import { blake2b, blake2s, blake3DeriveKey, blake3Keyed } from "./blake.ts";

type Hash = (secret: Uint8Array, data: Uint8Array) => Uint8Array;

const hmac =
  (name: string): Hash =>
  (secret, data) =>
    createHmac(name, secret).update(data).digest();

const blake3: Hash = (secret, data) =>
  blake3Keyed(
    data,
    secret.length < 32
      ? blake3DeriveKey("kopia blake3 derived key v1", secret)
      : secret.subarray(0, 32),
  );

const first16 =
  (hash: Hash): Hash =>
  (secret, data) =>
    hash(secret, data).subarray(0, 16);

const blake2b256: Hash = (secret, data) => blake2b(data, secret, 32);

export const hashes: Readonly<Record<string, Hash>> = {
  "BLAKE2B-256": blake2b256,
  "BLAKE2B-256-128": first16(blake2b256),
  "BLAKE2S-128": (secret, data) => blake2s(data, secret, 16),
  "BLAKE2S-256": (secret, data) => blake2s(data, secret, 32),
  "BLAKE3-256": blake3,
  "BLAKE3-256-128": first16(blake3),
  "HMAC-SHA224": hmac("sha224"),
  "HMAC-SHA256": hmac("sha256"),
  "HMAC-SHA256-128": first16(hmac("sha256")),
  "HMAC-SHA3-224": hmac("sha3-224"),
  "HMAC-SHA3-256": hmac("sha3-256"),
};
