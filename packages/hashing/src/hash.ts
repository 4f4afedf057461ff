/**
 * Ready hash instances, and the choice of the back-end behind them.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { HashBackend } from "./backend.ts";
import { nativeBackend } from "./backend-native.ts";
import { nobleBackend } from "./backend-noble.ts";
import { nodeBackend } from "./backend-node.ts";
import { wasmBackend } from "./backend-wasm.ts";
import { hashKey } from "./key.ts";
import {
  type HashAlgorithm,
  type HashDescription,
  type HashFamily,
  hashAlgorithms,
  hashDescription,
} from "./registry.ts";

/** One algorithm with one key. */
export interface ContentHash {
  readonly algorithm: HashAlgorithm;
  /** Bytes of a digest. */
  readonly digestLength: number;
  /** The back-end in use for one block. */
  readonly backend: string;
  /** The back-end in use for many blocks in one call. */
  readonly manyBackend: string;
  /** Digest of one block. Borrows `data` for the call; the result is the caller's. */
  digest(data: Uint8Array): Uint8Array;
  /** Digests of many independent blocks in one call, in their order; at least as fast as one after the other. */
  digestMany(blocks: readonly Uint8Array[]): Uint8Array[];
}

export interface CreateHashOptions {
  /** Pins a back-end by name (see {@link describeHashing}) instead of the fastest. */
  readonly backend?: string | undefined;
}

type Purpose = "one" | "many";

/** Back-ends, fastest first, as measured by bench/hashing.bench.ts; what is not here is left out. */
const fastest: Readonly<Record<HashFamily, Readonly<Record<Purpose, readonly string[]>>>> = {
  blake2b: { one: ["native", "wasm", "noble"], many: ["wasm", "native", "noble"] },
  blake2s: { one: ["native", "wasm", "noble"], many: ["wasm", "native", "noble"] },
  blake3: { one: ["native", "wasm", "noble"], many: ["native", "wasm", "noble"] },
  "hmac-sha224": { one: ["node", "noble"], many: ["node", "noble"] },
  "hmac-sha256": { one: ["node", "noble"], many: ["node", "noble"] },
  "hmac-sha3-224": { one: ["node", "wasm", "noble"], many: ["wasm", "node", "noble"] },
  "hmac-sha3-256": { one: ["node", "wasm", "noble"], many: ["wasm", "node", "noble"] },
};

let known: readonly HashBackend[] | undefined;

/** Back-ends that work here. */
function backends(): readonly HashBackend[] {
  known ??= [nativeBackend(), nodeBackend(), wasmBackend(), nobleBackend].filter(
    (backend) => backend !== undefined,
  );
  return known;
}

function backendsFor({ family }: HashDescription, purpose: Purpose): HashBackend[] {
  const offered = backends().filter((backend) => backend.families.includes(family));
  return fastest[family][purpose].flatMap((name) =>
    offered.filter((backend) => backend.name === name),
  );
}

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
  const one = chooseBackend(description, "one", options.backend);
  const many = chooseBackend(description, "many", options.backend);
  const { digestLength, fullLength, name } = description;
  const prepared = one.prepare(description, key);
  const preparedMany = many === one ? prepared : many.prepare(description, key);
  const cut = (full: Uint8Array): Uint8Array =>
    digestLength === fullLength ? full : full.slice(0, digestLength);
  return {
    algorithm: name,
    digestLength,
    backend: one.name,
    manyBackend: many.name,
    digest: (data) => cut(prepared.hash(data)),
    digestMany(blocks) {
      const { hashMany } = preparedMany;
      if (!hashMany || blocks.length < 2) return blocks.map((data) => cut(prepared.hash(data)));
      return hashMany(blocks).map(cut);
    },
  };
}

function chooseBackend(
  description: HashDescription,
  purpose: Purpose,
  pinned: string | undefined,
): HashBackend {
  const candidates = backendsFor(description, purpose);
  const chosen =
    pinned === undefined ? candidates[0] : candidates.find(({ name }) => name === pinned);
  if (chosen) return chosen;
  const names = candidates.map(({ name }) => name).join(", ");
  throw new UnsupportedError(
    "DM_HASH_BACKEND_UNKNOWN",
    `back-end ${JSON.stringify(pinned)} does not offer ${description.name} here; available: ${names}`,
    { backend: pinned, algorithm: description.name },
  );
}

export interface HashingDescription {
  readonly algorithm: HashAlgorithm;
  /** The back-end that `digest` uses unless another is pinned. */
  readonly backend: string;
  /** The one that `digestMany` uses. */
  readonly manyBackend: string;
  /** All that work here, fastest for one block first. */
  readonly available: readonly string[];
}

/** Which back-end each algorithm uses on this machine. */
export function describeHashing(): HashingDescription[] {
  return Object.values(hashAlgorithms).map((description) => {
    const available = backendsFor(description, "one").map(({ name }) => name);
    return {
      algorithm: description.name,
      backend: available[0]!,
      manyBackend: backendsFor(description, "many")[0]!.name,
      available,
    };
  });
}
