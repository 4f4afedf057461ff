/**
 * Wrappers that change one aspect of a store and leave the rest alone; they compose.
 * Proof: test/contract.test.ts runs the suite over stacks of them, test/wrappers.test.ts shows what each adds.
 * @module
 */
import { type Clock, type Logger, systemClock } from "@dm/core";
import { checkBlobId, lockedPrefixes } from "./blob-id.ts";
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

/** A part of a store: every id gets `prefix` in front. Errors name the whole id. */
export function prefixed(store: BlobStore, prefix: string): BlobStore {
  // Checked here as well: prefix and something invalid can be a valid whole, such as the prefix alone.
  const whole = (id: string): string => {
    checkBlobId(id);
    return prefix + id;
  };
  return {
    ...forward(store),
    get: async (id, options) => store.get(whole(id), options),
    put: async (id, data, options) => store.put(whole(id), data, options),
    delete: async (id, options) => store.delete(whole(id), options),
    async *list(start, options) {
      for await (const blob of store.list(prefix + start, options)) {
        yield { ...blob, id: blob.id.slice(prefix.length) };
      }
    },
    stat: async (id, options) => ({ ...(await store.stat(whole(id), options)), id }),
    extendRetention: async (id, retention, options) =>
      store.extendRetention(whole(id), retention, options),
  };
}

/** Adds retention to puts of the blobs that a repository locks. `retention` is asked at every put; a put's own wins. */
export function retaining(store: BlobStore, retention: () => Retention | undefined): BlobStore {
  return {
    ...forward(store),
    put(id, data, options) {
      const locked = lockedPrefixes.some((prefix) => id.startsWith(prefix))
        ? retention()
        : undefined;
      const retained = options?.retention ?? locked;
      return store.put(id, data, retained ? { ...options, retention: retained } : options);
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

/** Logs every request at `debug`, with its duration; blob ids are no secret, contents are never logged. */
export function logging(store: BlobStore, logger: Logger, clock: Clock = systemClock): BlobStore {
  const start = (operation: string, fields: Record<string, unknown>) => {
    const startNs = clock.nowNs();
    const done = (more: Record<string, unknown>): Record<string, unknown> => {
      const durationMs = Number((clock.nowNs() - startNs) / 1000n) / 1000;
      return { operation, ...fields, ...more, durationMs };
    };
    return {
      called: (more = {}): void => logger.debug("Called store", done(more)),
      failed: (error: unknown): void =>
        logger.debug("Store call failed", done({ error: String(error) })),
    };
  };
  const timed = async <Result>(
    operation: string,
    fields: Record<string, unknown>,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    const call = start(operation, fields);
    try {
      const result = await run();
      call.called();
      return result;
    } catch (error) {
      call.failed(error);
      throw error;
    }
  };
  return {
    ...forward(store),
    get: (id, options) =>
      timed("get", { blobId: id, offset: options?.offset, length: options?.length }, () =>
        store.get(id, options),
      ),
    put: (id, data, options) =>
      timed("put", { blobId: id, length: data.length }, () => store.put(id, data, options)),
    delete: (id, options) => timed("delete", { blobId: id }, () => store.delete(id, options)),
    async *list(prefix, options) {
      const call = start("list", { prefix });
      let count = 0;
      try {
        for await (const blob of store.list(prefix, options)) {
          count += 1;
          yield blob;
        }
        call.called({ count });
      } catch (error) {
        call.failed(error);
        throw error;
      }
    },
    stat: (id, options) => timed("stat", { blobId: id }, () => store.stat(id, options)),
    extendRetention: (id, retention, options) =>
      timed("extendRetention", { blobId: id }, () => store.extendRetention(id, retention, options)),
  };
}
