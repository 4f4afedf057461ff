/**
 * Ready hash instances, and the choice of the back-end behind them.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { HashBackend, PreparedHash } from "./backend.ts";
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
  /** The back-end in use for one block that is not small. */
  readonly backend: string;
  /** The back-end in use for a small block, where a call costs more than its bytes. */
  readonly smallBackend: string;
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

interface Ranking {
  /** Shorter blocks than this are small: a call into native code or OpenSSL costs about 3 µs. */
  readonly smallBytes: number;
  readonly small: readonly string[];
  readonly large: readonly string[];
  readonly many: readonly string[];
}

type Purpose = "small" | "large" | "many";

const blake2: Ranking = {
  smallBytes: 16_384,
  small: ["wasm", "native", "noble"],
  large: ["native", "wasm", "noble"],
  many: ["wasm", "native", "noble"],
};

const blake3: Ranking = {
  smallBytes: 4097,
  small: ["wasm", "native", "noble"],
  large: ["native", "wasm", "noble"],
  many: ["native", "wasm", "noble"],
};

const sha2: Ranking = {
  smallBytes: 0,
  small: ["node", "noble"],
  large: ["node", "noble"],
  many: ["node", "noble"],
};

const sha3: Ranking = {
  smallBytes: 8192,
  small: ["wasm", "node", "noble"],
  large: ["node", "wasm", "noble"],
  many: ["wasm", "node", "noble"],
};

/** Back-ends, fastest first, as measured by bench/hashing.bench.ts; what is not here is passed over. */
const rankings: Readonly<Record<HashFamily, Ranking>> = {
  blake2b: blake2,
  blake2s: blake2,
  blake3,
  "hmac-sha224": sha2,
  "hmac-sha256": sha2,
  "hmac-sha3-224": sha3,
  "hmac-sha3-256": sha3,
};

const makers: Readonly<Record<string, () => HashBackend | undefined>> = {
  native: nativeBackend,
  node: nodeBackend,
  wasm: wasmBackend,
  noble: () => nobleBackend,
};
const known = new Map<string, HashBackend | undefined>();

/** Made when it is first asked for: to load native code takes 8 ms. Undefined where it does not work. */
function backendCalled(name: string): HashBackend | undefined {
  if (!known.has(name)) known.set(name, makers[name]?.());
  return known.get(name);
}

/** Those that work here, fastest first, each as it is asked for. */
function* backendsFor(
  { family }: HashDescription,
  purpose: Purpose,
): Generator<HashBackend, void, undefined> {
  for (const name of rankings[family][purpose]) {
    const backend = backendCalled(name);
    if (backend?.families.includes(family)) yield backend;
  }
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
  const prepared = new Map<HashBackend, PreparedHash>();
  const prepare = (purpose: Purpose): { readonly name: string } & PreparedHash => {
    const backend = chooseBackend(description, purpose, options.backend);
    const ready = prepared.get(backend) ?? backend.prepare(description, key);
    prepared.set(backend, ready);
    return { name: backend.name, ...ready };
  };
  const small = prepare("small");
  const many = prepare("many");
  let large: ReturnType<typeof prepare> | undefined;
  const { digestLength, family, fullLength, name } = description;
  const { smallBytes } = rankings[family];
  const { hashMany } = many;
  const cut = (full: Uint8Array): Uint8Array =>
    digestLength === fullLength ? full : full.slice(0, digestLength);
  const digest = (data: Uint8Array): Uint8Array => {
    if (data.length < smallBytes) return cut(small.hash(data));
    large ??= prepare("large");
    return cut(large.hash(data));
  };
  return {
    algorithm: name,
    digestLength,
    get backend() {
      large ??= prepare("large");
      return large.name;
    },
    smallBackend: small.name,
    manyBackend: many.name,
    digest,
    digestMany(blocks) {
      if (!hashMany || blocks.length < 2) return blocks.map(digest);
      return hashMany(blocks).map(cut);
    },
  };
}

function chooseBackend(
  description: HashDescription,
  purpose: Purpose,
  pinned: string | undefined,
): HashBackend {
  const names: string[] = [];
  for (const backend of backendsFor(description, purpose)) {
    if (pinned === undefined || backend.name === pinned) return backend;
    names.push(backend.name);
  }
  throw new UnsupportedError(
    "DM_HASH_BACKEND_UNKNOWN",
    `back-end ${JSON.stringify(pinned)} does not offer ${description.name} here; available: ${names.join(", ")}`,
    { backend: pinned, algorithm: description.name },
  );
}

export interface HashingDescription {
  readonly algorithm: HashAlgorithm;
  /** The back-end that `digest` uses for blocks that are not small, unless another is pinned. */
  readonly backend: string;
  /** The one that it uses for small blocks, where a call into native code costs more than the bytes. */
  readonly smallBackend: string;
  /** The one that `digestMany` uses. */
  readonly manyBackend: string;
  /** All that work here, fastest for one large block first. */
  readonly available: readonly string[];
}

/** Which back-end each algorithm uses on this machine. */
export function describeHashing(): HashingDescription[] {
  return Object.values(hashAlgorithms).map((description) => {
    const names = (purpose: Purpose): string[] =>
      Array.from(backendsFor(description, purpose), ({ name }) => name);
    const available = names("large");
    return {
      algorithm: description.name,
      backend: available[0]!,
      smallBackend: names("small")[0]!,
      manyBackend: names("many")[0]!,
      available,
    };
  });
}
