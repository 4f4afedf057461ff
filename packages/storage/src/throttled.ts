/**
 * Limits on requests and bytes per second, as Kopia's `throttlingLimits` state them.
 * Proof: test/throttled.test.ts, with a virtual clock.
 * @module
 */
import { type Clock, Semaphore, systemClock } from "@dm/core";
import type { BlobStore } from "./blob-store.ts";
import { forward } from "./wrappers.ts";

/** Kopia's JSON names; 0 or absent means unlimited. */
export interface ThrottlingLimits {
  /** Gets and stats. */
  readonly readsPerSecond?: number | undefined;
  /** Puts, deletes and prolonged retentions. */
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
    this.#add(Math.max(0, this.#secondsSinceRefill()) * this.#perSecond);
    this.#tokens -= count;
    if (this.#tokens >= 0) return;
    try {
      await this.#clock.sleep((-this.#tokens / this.#perSecond) * 1000, { signal });
    } catch (reason) {
      // Aborted: what was not used is there for others.
      this.#add(count);
      throw reason;
    }
  }

  #add(count: number): void {
    this.#tokens = Math.min(this.#perSecond * windowSeconds, this.#tokens + count);
  }

  #secondsSinceRefill(): number {
    const now = this.#clock.nowNs();
    const seconds = Number(now - this.#refilledAtNs) / 1e9;
    this.#refilledAtNs = now;
    return seconds;
  }
}

type Take = (count: number, signal: AbortSignal | undefined) => Promise<void>;
type Within = <Result>(
  signal: AbortSignal | undefined,
  run: () => Promise<Result>,
) => Promise<Result>;

/**
 * A store that keeps to the limits. A request waits for its token, then for its place among those under way, then for
 * its bytes. Bytes of a read without a `length` are known only afterwards, and are charged then.
 * @throws {RangeError} for a limit that is negative or no number
 */
export function throttled(
  store: BlobStore,
  limits: ThrottlingLimits,
  clock: Clock = systemClock,
): BlobStore {
  for (const [name, limit = 0] of Object.entries(limits)) {
    if (!(limit >= 0 && limit < Infinity)) {
      throw new RangeError(`${name} must be 0 (unlimited) or more, not ${limit}`);
    }
  }
  const bucket = (perSecond: number | undefined): Take => {
    if (!perSecond) return async () => {};
    const tokens = new TokenBucket(clock, perSecond);
    return (count, signal) => tokens.take(count, signal);
  };
  const places = (permits: number | undefined): Within => {
    if (!permits) return (_signal, run) => run();
    const semaphore = new Semaphore(permits);
    return async (signal, run) => {
      const release = await semaphore.acquire({ signal });
      try {
        return await run();
      } finally {
        release();
      }
    };
  };
  const reads = bucket(limits.readsPerSecond);
  const writes = bucket(limits.writesPerSecond);
  const lists = bucket(limits.listsPerSecond);
  const upload = bucket(limits.maxUploadSpeedBytesPerSecond);
  const download = bucket(limits.maxDownloadSpeedBytesPerSecond);
  const reading = places(limits.concurrentReads);
  const writing = places(limits.concurrentWrites);

  const read = async <Result>(
    signal: AbortSignal | undefined,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    await reads(1, signal);
    return reading(signal, run);
  };
  const write = async <Result>(
    signal: AbortSignal | undefined,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    await writes(1, signal);
    return writing(signal, run);
  };

  return {
    ...forward(store),
    get: (id, options) =>
      read(options?.signal, async () => {
        const { length, signal } = options ?? {};
        if (length !== undefined) {
          await download(Math.max(0, length), signal);
          return store.get(id, options);
        }
        const bytes = await store.get(id, options);
        await download(bytes.length, signal);
        return bytes;
      }),
    put: (id, data, options) =>
      write(options?.signal, async () => {
        await upload(data.length, options?.signal);
        await store.put(id, data, options);
      }),
    delete: (id, options) => write(options?.signal, () => store.delete(id, options)),
    async *list(prefix, options) {
      await lists(1, options?.signal);
      yield* store.list(prefix, options);
    },
    stat: (id, options) => read(options?.signal, () => store.stat(id, options)),
    extendRetention: (id, retention, options) =>
      write(options?.signal, () => store.extendRetention(id, retention, options)),
  };
}
