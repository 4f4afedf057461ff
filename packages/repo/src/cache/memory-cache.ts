/**
 * A cache in memory with a hard cap; what was not asked for the longest goes first.
 * Proof: test/client-memory-cache.test.ts.
 * @module
 */
import type { ContentCache } from "./content-cache.ts";

/** What an entry costs beside its bytes and its key (two bytes a character), so that tiny entries count too. */
export const memoryEntryOverheadBytes = 128;

/**
 * A cache that holds at most `maxBytes`, keys and overhead included.
 * @throws {RangeError} for a cap that is not a number of bytes
 * @example const cache = memoryCache({ maxBytes: 64 << 20 });
 */
export function memoryCache(options: { readonly maxBytes: number }): ContentCache {
  const { maxBytes } = options;
  if (!(maxBytes >= 0)) throw new RangeError(`maxBytes must not be negative, it is ${maxBytes}`);
  // A Map keeps the order of insertion: the first key is the one not used for the longest.
  const entries = new Map<string, Uint8Array>();
  let usedBytes = 0;
  let closed = false;
  const remove = (key: string): void => {
    const bytes = entries.get(key);
    if (!bytes) return;
    entries.delete(key);
    usedBytes -= costOf(key, bytes);
  };
  return {
    maxBytes,
    get usedBytes() {
      return usedBytes;
    },
    async get(key, { signal } = {}) {
      signal?.throwIfAborted();
      const bytes = entries.get(key);
      if (!bytes) return undefined;
      entries.delete(key);
      entries.set(key, bytes);
      return bytes;
    },
    async put(key, bytes) {
      remove(key);
      const cost = costOf(key, bytes);
      if (closed || cost > maxBytes) return;
      for (const oldest of entries.keys()) {
        if (usedBytes + cost <= maxBytes) break;
        remove(oldest);
      }
      // A copy of its own: a view would keep the whole buffer behind it alive.
      entries.set(key, bytes.slice());
      usedBytes += cost;
    },
    async close() {
      closed = true;
      entries.clear();
      usedBytes = 0;
    },
  };
}

function costOf(key: string, bytes: Uint8Array): number {
  return bytes.length + key.length * 2 + memoryEntryOverheadBytes;
}
