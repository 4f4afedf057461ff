/**
 * Growing delays between attempts, spread by chance so that many clients of one server do not come back together.
 * Proof: test/runtime/backoff.test.ts.
 * @module
 */

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Each delay is this many times the one before. */
  readonly factor?: number | undefined;
  /** The part of a delay that chance decides: 0.5 means between half of it and all of it. */
  readonly jitter?: number | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
}

export interface Backoff {
  /** The next delay. */
  nextMs(): number;
  /** Begins again with the first delay. */
  reset(): void;
}

/** @example const backoff = createBackoff({ firstMs: 200, maxMs: 30_000 }); */
export function createBackoff(options: BackoffOptions): Backoff {
  const { firstMs, maxMs, factor = 2, jitter = 0.5, random = Math.random } = options;
  let attempt = 0;
  return {
    nextMs() {
      const full = Math.min(maxMs, firstMs * factor ** attempt);
      if (full < maxMs) attempt += 1;
      return full * (1 - jitter * random());
    },
    reset() {
      attempt = 0;
    },
  };
}
