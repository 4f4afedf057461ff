/** What the tests of the format blobs share: a key derivation that is done once, and stores filled from memory. */
import { toHex, utf8Encode } from "@dm/core";
import { derivePasswordKey, hmacSha256 } from "@dm/encryption";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";
import type { DeriveKey } from "../src/format/format-store.ts";

const derived = new Map<string, Promise<Uint8Array>>();

/** The real derivation (0.3 s), once for each password and salt. */
export const derivedOnce: DeriveKey = (password, { algorithm, salt }) => {
  const name = `${algorithm} ${toHex(salt)} ${password}`;
  const known = derived.get(name) ?? derivePasswordKey(password, { algorithm, salt });
  derived.set(name, known);
  return known;
};

/** A derivation that costs nothing, for tests in which it does not matter which. */
export const quickKey: DeriveKey = async (password, { salt }) =>
  hmacSha256(salt, utf8Encode(password));

/** A memory store with copies of these blobs. */
export function storeWith(
  blobs: Iterable<readonly [id: string, data: Uint8Array]> = [],
): MemoryStore {
  return memoryStore({ blobs: new Map(Array.from(blobs, ([id, data]) => [id, data.slice()])) });
}

/** A store with the same blobs that changes on its own. */
export function copyOf(store: MemoryStore): MemoryStore {
  return storeWith(store.blobs);
}

/** Thrown where a test pretends that the process died. */
export class Crash extends Error {}

/**
 * The same store, whose `failing`-th change (put or delete, counted from 0) does not happen; nor does anything after.
 * `calls` lists the changes that were asked for.
 */
export function crashingStore(
  store: BlobStore,
  failing: number,
): { readonly store: BlobStore; readonly calls: string[] } {
  const calls: string[] = [];
  const change = (name: string): void => {
    calls.push(name);
    if (calls.length > failing) throw new Crash(`died before ${name}`);
  };
  return {
    calls,
    store: {
      ...forward(store),
      async put(id, data, options) {
        change(`put ${id}`);
        await store.put(id, data, options);
      },
      async delete(id, options) {
        change(`delete ${id}`);
        await store.delete(id, options);
      },
    },
  };
}
