/**
 * What the repository layer asks of a cache. Keys name bytes that never change; a cache may forget anything at any
 * time, and a cache that fails behaves as an empty one.
 * @module
 */

export interface ContentCache {
  /**
   * The bytes kept under `key`, or undefined. Treat them as read-only: a memory cache hands out its own.
   * Rejects only with `signal.reason`.
   */
  get(
    key: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<Uint8Array | undefined>;
  /** Keeps a copy if there is room to be had; `bytes` is borrowed until the promise settles. Never rejects. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** The cap: `usedBytes` never exceeds it. */
  readonly maxBytes: number;
  readonly usedBytes: number;
  /** From now on nothing is found and nothing is kept. */
  close(): Promise<void>;
}
