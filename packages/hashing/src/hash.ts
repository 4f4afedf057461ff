/**
 * Ready hash instances, and the choice of the back-end behind them.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { HashBackend } from "./backend.ts";
import { nativeBackend } from "./backend-native.ts";
import { nobleBackend } from "./backend-noble.ts";
import { nodeBackend } from "./backend-node.ts";
import { hashKey } from "./key.ts";
import {
  type HashAlgorithm,
  type HashDescription,
  hashAlgorithms,
  hashDescription,
} from "./registry.ts";

/** One algorithm with one key. */
export interface ContentHash {
  readonly algorithm: HashAlgorithm;
  /** Bytes of a digest. */
  readonly digestLength: number;
  /** The back-end in use. */
  readonly backend: string;
  /** Digest of one block. Borrows `data` for the call; the result is the caller's. */
  digest(data: Uint8Array): Uint8Array;
  /** Digests of many independent blocks in one call, in their order; at least as fast as one after the other. */
  digestMany(blocks: readonly Uint8Array[]): Uint8Array[];
}

export interface CreateHashOptions {
  /** Pins a back-end by name (see {@link describeHashing}) instead of the fastest. */
  readonly backend?: string | undefined;
}

let known: readonly HashBackend[] | undefined;

/** Back-ends that work here, fastest first. */
function backends(): readonly HashBackend[] {
  known ??= [nativeBackend(), nodeBackend(), nobleBackend].filter(
    (backend) => backend !== undefined,
  );
  return known;
}

const backendsFor = ({ family }: HashDescription): HashBackend[] =>
  backends().filter((backend) => backend.families.includes(family));

/**
 * Makes a content hash. `secret` is copied.
 * @throws {UnsupportedError} `DM_HASH_UNKNOWN`, `DM_HASH_BACKEND_UNKNOWN`
 * @throws {RangeError} for a key length that the algorithm refuses
 * @example const digest = createHash("BLAKE2B-256-128", secret).digest(bytes);
 */
export function createHash(
  algorithm: string,
  secret: Uint8Array,
  options: CreateHashOptions = {},
): ContentHash {
  const description = hashDescription(algorithm);
  const key = hashKey(description, secret);
  const candidates = backendsFor(description);
  const chosen =
    options.backend === undefined
      ? candidates[0]
      : candidates.find(({ name }) => name === options.backend);
  if (!chosen) {
    const names = candidates.map(({ name }) => name).join(", ");
    throw new UnsupportedError(
      "DM_HASH_BACKEND_UNKNOWN",
      `back-end ${JSON.stringify(options.backend)} does not offer ${algorithm} here; available: ${names}`,
      { backend: options.backend, algorithm },
    );
  }
  const { digestLength, fullLength, name } = description;
  const { hash, hashMany } = chosen.prepare(description, key);
  const cut = (full: Uint8Array): Uint8Array =>
    digestLength === fullLength ? full : full.slice(0, digestLength);
  return {
    algorithm: name,
    digestLength,
    backend: chosen.name,
    digest: (data) => cut(hash(data)),
    digestMany: (blocks) => (hashMany ? hashMany(blocks) : blocks.map(hash)).map(cut),
  };
}

export interface HashingDescription {
  readonly algorithm: HashAlgorithm;
  /** The back-end that `createHash` takes. */
  readonly backend: string;
  /** All that work here, fastest first. */
  readonly available: readonly string[];
}

/** Which back-end each algorithm uses on this machine. */
export function describeHashing(): HashingDescription[] {
  return Object.values(hashAlgorithms).map((description) => {
    const available = backendsFor(description).map(({ name }) => name);
    return { algorithm: description.name, backend: available[0]!, available };
  });
}
