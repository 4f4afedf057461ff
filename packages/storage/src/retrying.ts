/**
 * Calls that are repeated while the outside fails. The only place that looks at `retryable`.
 * Proof: test/retrying.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, type StorageError, systemClock } from "@dm/core";
import type { BlobStore } from "./blob-store.ts";
import { forward } from "./wrappers.ts";

export interface RetryOptions {
  /** Calls in all, the first included; 10 by default. */
  readonly attempts?: number | undefined;
  /** The same for puts, which cost more; `attempts` by default. */
  readonly putAttempts?: number | undefined;
  /** First pause; each next is half as long again. 100 by default. */
  readonly firstDelayMs?: number | undefined;
  /** Longest pause; 15,000 by default. */
  readonly maxDelayMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** 0 (included) to 1 (excluded). */
  readonly random?: (() => number) | undefined;
  readonly logger?: Logger | undefined;
}

const defaultAttempts = 10;

/** By name, not by class: the error may come from another copy of the package. */
const isRetryable = (error: unknown): boolean =>
  isDmError(error) && error.name === "StorageError" && (error as StorageError).retryable === true;

/**
 * Repeats calls that failed with a `StorageError` marked `retryable`, with growing, jittered pauses: each lasts between
 * half of its length and the whole. Every operation of a blob store may be repeated; a repeated put writes the same bytes
 * under the same id. With `ifAbsent` a put whose answer was lost may be answered by `DM_BLOB_EXISTS` of its own first
 * attempt: whoever relies on being first reads the blob and looks. A listing keeps its ids until it ends (100 MB
 * for a million), so that one which breaks and begins anew gives each blob once; the filesystem store repeats single
 * directories instead, and keeps none.
 */
export function retrying(store: BlobStore, options: RetryOptions = {}): BlobStore {
  const { attempts = defaultAttempts, putAttempts = attempts } = options;
  const pause = pausing(options);
  const repeat = repeating(options);
  return {
    ...forward(store),
    get: (id, call) => repeat(call?.signal, () => store.get(id, call)),
    put: (id, data, call) => repeat(call?.signal, () => store.put(id, data, call), putAttempts),
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
          await pause(error, attempt, attempts, call?.signal);
        }
      }
    },
    stat: (id, call) => repeat(call?.signal, () => store.stat(id, call)),
    extendRetention: (id, retention, call) =>
      repeat(call?.signal, () => store.extendRetention(id, retention, call)),
    capacity: (call) => repeat(call?.signal, () => store.capacity(call)),
  };
}

/** Runs something again while it fails with an error that may pass; `limit` calls in all, `attempts` by default. */
export type Repeat = <Result>(
  signal: AbortSignal | undefined,
  run: () => Promise<Result>,
  limit?: number,
) => Promise<Result>;

export function repeating(options: RetryOptions): Repeat {
  const { attempts = defaultAttempts } = options;
  const pause = pausing(options);
  return async (signal, run, limit = attempts) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        await pause(error, attempt, limit, signal);
      }
    }
  };
}

/** Waits before the next attempt, or throws the error on. */
type Pause = (
  error: unknown,
  attempt: number,
  limit: number,
  signal: AbortSignal | undefined,
) => Promise<void>;

function pausing(options: RetryOptions): Pause {
  const { clock = systemClock, firstDelayMs = 100, logger } = options;
  const { maxDelayMs = 15_000, random = Math.random } = options;
  return async (error, attempt, limit, signal) => {
    if (!isRetryable(error) || attempt >= limit) throw error;
    const longestMs = Math.min(maxDelayMs, firstDelayMs * 1.5 ** (attempt - 1));
    logger?.debug("Retrying store call", { attempt, error: (error as Error).message });
    await clock.sleep(longestMs * (0.5 + random() / 2), { signal });
  };
}
