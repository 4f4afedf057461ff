/**
 * Node's own OpenSSL for HMAC: it uses the CPU's SHA instructions.
 * @module
 */
import { nodeBuiltin } from "@dm/core";
import type { HashBackend } from "./backend.ts";
import type { HashFamily } from "./registry.ts";

const digests: Readonly<Partial<Record<HashFamily, string>>> = {
  "hmac-sha224": "sha224",
  "hmac-sha256": "sha256",
  "hmac-sha3-224": "sha3-224",
  "hmac-sha3-256": "sha3-256",
};

/** Undefined where there is no Node. */
export function nodeBackend(): HashBackend | undefined {
  const crypto = nodeBuiltin<typeof import("node:crypto")>("node:crypto");
  if (!crypto?.createHmac) return undefined;
  const available = new Set(crypto.getHashes());
  const families = (Object.keys(digests) as HashFamily[]).filter((family) =>
    available.has(digests[family]!),
  );
  return {
    name: "node",
    families,
    prepare({ family }, key) {
      const digest = digests[family]!;
      const secret = crypto.createSecretKey(key);
      return {
        hash(data) {
          const result = crypto.createHmac(digest, secret).update(data).digest();
          // A small Buffer may share its memory with others; the caller gets bytes of its own.
          return Uint8Array.from(result);
        },
      };
    },
  };
}
