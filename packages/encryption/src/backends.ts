/**
 * The back-ends that work here, fastest first.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { Aead } from "./aead.ts";
import { nobleAead } from "./aead-noble.ts";
import { nodeAead } from "./aead-node.ts";

let known: readonly Aead[] | undefined;

export function aeadBackends(): readonly Aead[] {
  known ??= [nodeAead(), nobleAead].filter((backend) => backend !== undefined);
  return known;
}

/** @throws {UnsupportedError} `DM_ENCRYPTION_BACKEND_UNKNOWN` */
export function aeadBackend(name?: string): Aead {
  const found =
    name === undefined
      ? aeadBackends()[0]
      : aeadBackends().find((backend) => backend.name === name);
  if (found) return found;
  const names = aeadBackends().map((backend) => backend.name);
  throw new UnsupportedError(
    "DM_ENCRYPTION_BACKEND_UNKNOWN",
    `back-end ${JSON.stringify(name)} is not here; available: ${names.join(", ")}`,
    { backend: name },
  );
}
