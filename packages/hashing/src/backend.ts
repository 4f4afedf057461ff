/**
 * What a back-end is: a maker of keyed hash functions for some of the families.
 * @module
 */
import type { HashDescription, HashFamily } from "./registry.ts";

/** Hashes one block with the key it was made for; the result is the caller's and `fullLength` bytes long. */
export type KeyedHash = (data: Uint8Array) => Uint8Array;

/** Hashes several blocks in one call. */
export type KeyedHashMany = (blocks: readonly Uint8Array[]) => Uint8Array[];

export interface PreparedHash {
  readonly hash: KeyedHash;
  /** Only where a back-end does better than one block after the other. */
  readonly hashMany?: KeyedHashMany;
}

export interface HashBackend {
  readonly name: string;
  readonly families: readonly HashFamily[];
  /** `key` is already what the family takes (see key.ts). */
  prepare(description: HashDescription, key: Uint8Array): PreparedHash;
}
