/**
 * Limits on requests and bytes per second, as Kopia's `throttlingLimits` state them.
 * @module
 */
import { type Clock, Semaphore, systemClock } from "@dm/core";
import type { BlobStore } from "./blob-store.ts";
import { forward } from "./wrappers.ts";

/** Kopia's JSON names; 0 or absent means unlimited. */
export interface ThrottlingLimits {
  readonly readsPerSecond?: number | undefined;
  readonly writesPerSecond?: number | undefined;
  readonly listsPerSecond?: number | undefined;
  readonly maxUploadSpeedBytesPerSecond?: number | undefined;
  readonly maxDownloadSpeedBytesPerSecond?: number | undefined;
  readonly concurrentReads?: number | undefined;
  readonly concurrentWrites?: number | undefined;
}

const windowSeconds = 60;
const initialShare = 0.1;

/** A bucket that holds a minute's worth of tokens and starts a tenth full. Debts are allowed and waited for. */
class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  #tokens: number;
  #refilledAtNs: bigint;

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#tokens = perSecond * windowSeconds * initialShare;
    this.#refilledAtNs = clock.nowNs();
  }

  async take(count: number, signal: AbortSignal | undefined): Promise<void> {
    const now = this.#clock.nowNs();
    const refill = (Number(now - this.#refilledAtNs) / 1e9) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond * windowSeconds, this.#tokens + refill) - count;
    this.#refilledAtNs = now;
    if (this.#tokens < 0) await this.#clock.sleep((-this.#tokens / this.#perSecond) * 1000, { signal });
  }
}

type Take = (count: number, signal: AbortSignal | undefined) => Promise<void>;
type Acquire = (signal: AbortSignal | undefined) => Promise<() => void>;

/** A store that keeps to the limits; bytes read are charged after the read, bytes written before the write. */
export function throttled(store: BlobStore, limits: ThrottlingLimits, clock: Clock = systemClock): BlobStore {
  const bucket = (perSecond: number | undefined): Take => {
    if (!perSecond) return async () => {};
    const tokens = new TokenBucket(clock, perSecond);
    return (count, signal) => tokens.take(count, signal);
  };
  const semaphore = (permits: number | undefined): Acquire => {
    if (!permits) return async () => () => {};
    const places = new Semaphore(permits);
    return (signal) => places.acquire({ signal });
  };
  const reads = bucket(limits.readsPerSecond);
  const writes = bucket(limits.writesPerSecond);
  const lists = bucket(limits.listsPerSecond);
  const upload = bucket(limits.maxUploadSpeedBytesPerSecond);
  const download = bucket(limits.maxDownloadSpeedBytesPerSecond);
  const reader = semaphore(limits.concurrentReads);
  const writer = semaphore(limits.concurrentWrites);

  return {
    ...forward(store),
    async get(id, options) {
      const release = await reader(options?.signal);
      try {
        await reads(1, options?.signal);
        const bytes = await store.get(id, options);
        await download(bytes.length, options?.signal);
        return bytes;
      } finally {
        release();
      }
    },
    async put(id, data, options) {
      const release = await writer(options?.signal);
      try {
        await writes(1, options?.signal);
        await upload(data.length, options?.signal);
        await store.put(id, data, options);
      } finally {
        release();
      }
    },
    async delete(id, options) {
      await writes(1, options?.signal);
      await store.delete(id, options);
    },
    async *list(prefix, options) {
      await lists(1, options?.signal);
      yield* store.list(prefix, options);
    },
    async stat(id, options) {
      await reads(1, options?.signal);
      return store.stat(id, options);
    },
  };
}
