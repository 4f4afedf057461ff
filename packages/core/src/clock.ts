/**
 * Time and randomness as arguments, so that tests and simulations decide them.
 * @module
 */

/** A source of time. Nanoseconds since 1970 UTC, as Kopia stores them. */
export interface Clock {
  nowNs(): bigint;
  /** Resolves after `ms` milliseconds; rejects with `signal.reason` on abort. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

/** Nanoseconds in a millisecond. */
export const nsPerMs = 1_000_000n;

let lastNs = 0n;

/** The system clock; successive readings never go back within one process. */
export const systemClock: Clock = {
  nowNs() {
    const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
    // performance.now() does not follow adjustments of the wall clock: the wall clock wins beyond 50 ms.
    const wall = BigInt(Date.now()) * nsPerMs;
    const drift = now > wall ? now - wall : wall - now;
    const reading = drift > 50n * nsPerMs ? wall : now;
    if (reading > lastNs || lastNs - reading > 1_000n * nsPerMs) lastNs = reading;
    return lastNs;
  },
  sleep(ms, options = {}) {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};

/** A clock that moves only when told; `sleep` advances it and resolves at once. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
  set(ns: bigint): void;
}

/** @example const clock = manualClock(0n); // 1970 */
export function manualClock(startNs: bigint): ManualClock {
  let now = startNs;
  return {
    nowNs: () => now,
    advance(ms) {
      now += BigInt(Math.round(ms * 1e6));
    },
    set(ns) {
      now = ns;
    },
    async sleep(ms, options = {}) {
      options.signal?.throwIfAborted();
      now += BigInt(Math.round(ms * 1e6));
    },
  };
}

/** A source of random bytes; results are the caller's. */
export type RandomBytes = (length: number) => Uint8Array;

/** Cryptographically strong random bytes, any length. */
export const systemRandomBytes: RandomBytes = (length) => {
  const bytes = new Uint8Array(length);
  // getRandomValues refuses more than 65536 bytes at once.
  for (let offset = 0; offset < length; offset += 65536) {
    crypto.getRandomValues(bytes.subarray(offset, Math.min(length, offset + 65536)));
  }
  return bytes;
};
