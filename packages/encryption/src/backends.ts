/**
 * The back-ends that work here, fastest first.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { Aead } from "./aead.ts";
import { nobleAead } from "./aead-noble.ts";
import { nodeAead } from "./aead-node.ts";
import type { Cipher } from "./registry.ts";

let known: readonly Aead[] | undefined;

export function aeadBackends(cipher: Cipher): readonly Aead[] {
  known ??= [nodeAead(), nobleAead].filter((backend) => backend !== undefined);
  return known.filter(({ ciphers }) => ciphers.includes(cipher));
}

/** @throws {UnsupportedError} `DM_ENCRYPTION_BACKEND_UNKNOWN` */
export function aeadBackend(cipher: Cipher, name?: string): Aead {
  const candidates = aeadBackends(cipher);
  const found =
    name === undefined ? candidates[0] : candidates.find((backend) => backend.name === name);
  if (found) return found;
  const names = candidates.map((backend) => backend.name).join(", ");
  throw new UnsupportedError(
    "DM_ENCRYPTION_BACKEND_UNKNOWN",
    `back-end ${JSON.stringify(name)} is not here; available: ${names}`,
    { backend: name },
  );
}
