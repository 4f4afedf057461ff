/**
 * The portable back-end: @noble/hashes, plain JavaScript, everywhere. Slow (20-100 MB/s), and the oracle of the tests.
 * @module
 */
import { blake2b, blake2s } from "@noble/hashes/blake2.js";
import { blake3 } from "@noble/hashes/blake3.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha224, sha256 } from "@noble/hashes/sha2.js";
import { sha3_224, sha3_256 } from "@noble/hashes/sha3.js";
import type { HashBackend, KeyedHash } from "./backend.ts";
import type { HashDescription } from "./registry.ts";

function keyedHash({ family, fullLength: dkLen }: HashDescription, key: Uint8Array): KeyedHash {
  const keyed = key.length === 0 ? { dkLen } : { dkLen, key };
  switch (family) {
    case "blake2b":
      return (data) => blake2b(data, keyed);
    case "blake2s":
      return (data) => blake2s(data, keyed);
    case "blake3":
      return (data) => blake3(data, { key });
    case "hmac-sha224":
      return (data) => hmac(sha224, key, data);
    case "hmac-sha256":
      return (data) => hmac(sha256, key, data);
    case "hmac-sha3-224":
      return (data) => hmac(sha3_224, key, data);
    case "hmac-sha3-256":
      return (data) => hmac(sha3_256, key, data);
  }
}

export const nobleBackend: HashBackend = {
  name: "noble",
  families: [
    "blake2b",
    "blake2s",
    "blake3",
    "hmac-sha224",
    "hmac-sha256",
    "hmac-sha3-224",
    "hmac-sha3-256",
  ],
  prepare: (description, key) => ({ hash: keyedHash(description, key) }),
};
