/**
 * Nonces by the handful: one call for random bytes costs 4 µs, a slice of a pool under 0.1 µs. No slice is handed out
 * twice, and a pool belongs to one instance in one thread.
 * @module
 */
import type { RandomBytes } from "@dm/core";
import { nonceBytes } from "./registry.ts";

const noncesPerFill = 4096;

export function noncePool(randomBytes: RandomBytes): () => Uint8Array {
  let pool: Uint8Array = new Uint8Array(0);
  let at = 0;
  return () => {
    if (at + nonceBytes > pool.length) {
      pool = randomBytes(nonceBytes * (pool.length === 0 ? 16 : noncesPerFill));
      at = 0;
    }
    at += nonceBytes;
    return pool.subarray(at - nonceBytes, at);
  };
}
