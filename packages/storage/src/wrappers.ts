/**
 * Wrappers that change one aspect of a store and leave the rest alone; they compose.
 * @module
 */
import { type Clock, type Logger, StorageError, systemClock } from "@dm/core";
import { lockedPrefixes } from "./blob-id.ts";
import type { BlobStore, Retention } from "./blob-store.ts";
import { storeReadOnly } from "./store-errors.ts";

/** All members of a store, so that a wrapper overrides only what it means to. */
export function forward(store: BlobStore): BlobStore {
  return {
    type: store.type,
    displayName: store.displayName,
    features: store.features,
    readOnly: store.readOnly,
    get: (id, options) => store.get(id, options),
    put: (id, data, options) => store.put(id, data, options),
    delete: (id, options) => store.delete(id, options),
    list: (prefix, options) => store.list(prefix, options),
    stat: (id, options) => store.stat(id, options),
    extendRetention: (id, retention, options) => store.extendRetention(id, retention, options),
    capacity: (options) => store.capacity(options),
    close: () => store.close(),
  };
}

/** Refuses every change with `DM_STORE_READ_ONLY`. */
export function readOnly(store: BlobStore): BlobStore {
  const refuse = async (what: string): Promise<never> => {
    throw storeReadOnly(what);
  };
  return {
    ...forward(store),
    readOnly: true,
    put: () => refuse("put"),
    delete: () => refuse("delete"),
    extendRetention: () => refuse("extendRetention"),
  };
}

/** A part of a store: every id gets `prefix` in front. */
export function prefixed(store: BlobStore, prefix: string): BlobStore {
  return {
    ...forward(store),
    get: (id, options) => store.get(prefix + id, options),
    put: (id, data, options) => store.put(prefix + id, data, options),
    delete: (id, options) => store.delete(prefix + id, options),
    async *list(start, options) {
      for await (const blob of store.list(prefix + start, options)) yield { ...blob, id: blob.id.slice(prefix.length) };
    },
    stat: async (id, options) => ({ ...(await store.stat(prefix + id, options)), id }),
    extendRetention: (id, retention, options) => store.extendRetention(prefix + id, retention, options),
  };
}

/** Adds retention to puts of the blobs that a repository locks. `retention` is asked at every put. */
export function retaining(store: BlobStore, retention: () => Retention | undefined): BlobStore {
  return {
    ...forward(store),
    put(id, data, options) {
      const locked = lockedPrefixes.some((prefix) => id.startsWith(prefix)) ? retention() : undefined;
      return store.put(id, data, locked ? { retention: locked, ...options } : options);
    },
  };
}

/** Requests and bytes so far. */
export interface StoreCounts {
  get: number;
  put: number;
  delete: number;
  list: number;
  stat: number;
  extendRetention: number;
  bytesRead: number;
  bytesWritten: number;
}

/** Counts requests as they are made and bytes as they arrive. */
export function counting(store: BlobStore): BlobStore & { readonly counts: StoreCounts } {
  const counts: StoreCounts = {
    get: 0,
    put: 0,
    delete: 0,
    list: 0,
    stat: 0,
    extendRetention: 0,
    bytesRead: 0,
    bytesWritten: 0,
  };
  return {
    ...forward(store),
    counts,
    async get(id, options) {
      counts.get += 1;
      const bytes = await store.get(id, options);
      counts.bytesRead += bytes.length;
      return bytes;
    },
    async put(id, data, options) {
      counts.put += 1;
      await store.put(id, data, options);
      counts.bytesWritten += data.length;
    },
    delete(id, options) {
      counts.delete += 1;
      return store.delete(id, options);
    },
    list(prefix, options) {
      counts.list += 1;
      return store.list(prefix, options);
    },
    stat(id, options) {
      counts.stat += 1;
      return store.stat(id, options);
    },
    extendRetention(id, retention, options) {
      counts.extendRetention += 1;
      return store.extendRetention(id, retention, options);
    },
  };
}

/** Logs every request at `debug`, with its duration. */
export function logging(store: BlobStore, logger: Logger, clock: Clock = systemClock): BlobStore {
  const timed = async <Result>(operation: string, fields: Record<string, unknown>, run: () => Promise<Result>): Promise<Result> => {
    const startNs = clock.nowNs();
    const elapsed = (): number => Number((clock.nowNs() - startNs) / 1000n) / 1000;
    try {
      const result = await run();
      logger.debug("Called store", { operation, ...fields, durationMs: elapsed() });
      return result;
    } catch (error) {
      logger.debug("Store call failed", { operation, ...fields, durationMs: elapsed(), error: String(error) });
      throw error;
    }
  };
  return {
    ...forward(store),
    get: (id, options) =>
      timed("get", { blobId: id, offset: options?.offset, length: options?.length }, () => store.get(id, options)),
    put: (id, data, options) => timed("put", { blobId: id, length: data.length }, () => store.put(id, data, options)),
    delete: (id, options) => timed("delete", { blobId: id }, () => store.delete(id, options)),
    async *list(prefix, options) {
      let count = 0;
      for await (const blob of store.list(prefix, options)) {
        count += 1;
        yield blob;
      }
      logger.debug("Called store", { operation: "list", prefix, count });
    },
    stat: (id, options) => timed("stat", { blobId: id }, () => store.stat(id, options)),
    extendRetention: (id, retention, options) =>
      timed("extendRetention", { blobId: id }, () => store.extendRetention(id, retention, options)),
  };
}

export interface RetryOptions {
  /** Calls in all, the first included; 10 by default. */
  readonly attempts?: number | undefined;
  /** First pause; each next is half as long again. 100 by default. */
  readonly firstDelayMs?: number | undefined;
  /** Longest pause; 15,000 by default. */
  readonly maxDelayMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** 0 (included) to 1 (excluded). */
  readonly random?: (() => number) | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * Repeats calls that failed with a `StorageError` marked `retryable`, with growing, jittered pauses. Every operation of
 * a blob store may be repeated; a repeated put writes the same bytes under the same id. With `ifAbsent` a put whose
 * answer was lost may be answered by `DM_BLOB_EXISTS` of its own first attempt.
 */
export function retrying(store: BlobStore, options: RetryOptions = {}): BlobStore {
  const { attempts = 10, clock = systemClock, firstDelayMs = 100, logger, maxDelayMs = 15_000, random = Math.random } = options;
  const pause = async (error: unknown, attempt: number, signal: AbortSignal | undefined): Promise<void> => {
    if (!(error instanceof StorageError) || !error.retryable || attempt >= attempts) throw error;
    const longest = Math.min(maxDelayMs, firstDelayMs * 1.5 ** (attempt - 1));
    logger?.debug("Retrying store call", { attempt, error: error.message });
    await clock.sleep(longest * (0.5 + random() / 2), { signal });
  };
  const repeat = async <Result>(signal: AbortSignal | undefined, run: () => Promise<Result>): Promise<Result> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        await pause(error, attempt, signal);
      }
    }
  };
  return {
    ...forward(store),
    get: (id, call) => repeat(call?.signal, () => store.get(id, call)),
    put: (id, data, call) => repeat(call?.signal, () => store.put(id, data, call)),
    delete: (id, call) => repeat(call?.signal, () => store.delete(id, call)),
    // A listing that breaks begins anew; what was given out already is not given out again.
    async *list(prefix, call) {
      const seen = new Set<string>();
      for (let attempt = 1; ; attempt++) {
        try {
          for await (const blob of store.list(prefix, call)) {
            if (seen.has(blob.id)) continue;
            seen.add(blob.id);
            yield blob;
          }
          return;
        } catch (error) {
          await pause(error, attempt, call?.signal);
        }
      }
    },
    stat: (id, call) => repeat(call?.signal, () => store.stat(id, call)),
    extendRetention: (id, retention, call) => repeat(call?.signal, () => store.extendRetention(id, retention, call)),
    capacity: (call) => repeat(call?.signal, () => store.capacity(call)),
  };
}
