/**
 * A queue of keys for level-triggered work: a key that waits is not queued twice, a key that is being worked on is not given to
 * another worker (it comes back afterwards if it was added meanwhile), and a key that fails comes back later and later.
 * First come, first served: a key that is added again and again cannot keep others waiting.
 * Proof: test/runtime/work-queue.test.ts.
 * @module
 */
import { type Clock, nsPerMs, systemClock } from "@dm/core";

export interface WorkQueueOptions {
  /** Delay after the first failure of a key; doubled with each further one. */
  readonly firstDelayMs?: number | undefined;
  readonly maxDelayMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Told when a key is queued (not when it was queued already). */
  readonly onAdd?: ((key: string) => void) | undefined;
  /** Told when a worker takes a key, with the time that it has waited. */
  readonly onTake?: ((key: string, waitedMs: number) => void) | undefined;
  /** Told when the work on a key ends, with the time that it took. */
  readonly onDone?: ((key: string, workedMs: number) => void) | undefined;
}

export const workQueueDefaults = { firstDelayMs: 5, maxDelayMs: 1_000_000 } as const;

/**
 * @example
 * for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
 *   try {
 *     await work(key);
 *     queue.forget(key);
 *   } catch {
 *     queue.addRateLimited(key);
 *   } finally {
 *     queue.done(key);
 *   }
 * }
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #options: WorkQueueOptions;
  /** In the order of their coming, with the time of it. */
  readonly #waiting = new Map<string, bigint>();
  readonly #working = new Map<string, bigint>();
  /** Worked on, and added meanwhile. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, { readonly dueNs: bigint; readonly stop: AbortController }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #drained = Promise.withResolvers<void>();
  #shutDown = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Keys ready to be taken. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that come later. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** Keys being worked on. */
  get working(): number {
    return this.#working.size;
  }

  /** Failures of the key since it was last forgotten. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  add(key: string): void {
    if (this.#shutDown || this.#waiting.has(key)) return;
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#waiting.set(key, this.#clock.nowNs());
    this.#options.onAdd?.(key);
    this.#hand();
  }

  /** Adds later. Of two delays of one key the one that ends first holds. */
  addAfter(key: string, delayMs: number): void {
    if (this.#shutDown) return;
    if (!(delayMs > 0)) {
      this.add(key);
      return;
    }
    const now = this.#clock.nowNs();
    const dueNs = now + BigInt(Math.ceil(delayMs)) * nsPerMs;
    const before = this.#delayed.get(key);
    // One that is overdue but has not fired was set before the wall clock jumped: it does not count.
    if (before && before.dueNs <= dueNs && before.dueNs > now) return;
    before?.stop.abort();
    const stop = new AbortController();
    this.#delayed.set(key, { dueNs, stop });
    this.#sleep(delayMs, stop.signal).then(
      () => {
        this.#delayed.delete(key);
        this.add(key);
      },
      () => undefined,
    );
  }

  /** Adds after the delay that its failures have earned, or after `atLeastMs`. */
  addRateLimited(key: string, atLeastMs = 0): void {
    const {
      firstDelayMs = workQueueDefaults.firstDelayMs,
      maxDelayMs = workQueueDefaults.maxDelayMs,
    } = this.#options;
    const failures = this.failuresOf(key);
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.max(atLeastMs, Math.min(maxDelayMs, firstDelayMs * 2 ** failures)));
  }

  /** The key has succeeded: its next failure is its first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /**
   * The next key, which is this worker's until `done`. Undefined when the queue is shut down and empty.
   * Waits for one; rejects with `signal.reason` on abort.
   */
  take(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<string | undefined> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const taker = (key: string | undefined): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve(key);
      };
      const onAbort = (): void => {
        this.#takers.splice(this.#takers.indexOf(taker), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#takers.push(taker);
      this.#hand();
    });
  }

  /** The work on a taken key is over, well or not. */
  done(key: string): void {
    const sinceNs = this.#working.get(key);
    if (sinceNs === undefined) throw new TypeError(`nobody works on "${key}"`);
    this.#working.delete(key);
    this.#options.onDone?.(key, this.#sinceMs(sinceNs));
    if (this.#again.delete(key)) {
      this.#waiting.set(key, this.#clock.nowNs());
      this.#options.onAdd?.(key);
      this.#hand();
    }
    this.#checkDrained();
  }

  /** Takes nothing more. What is queued is still handed out; what was to come later is dropped. */
  shutDown(): void {
    if (this.#shutDown) return;
    this.#shutDown = true;
    for (const { stop } of this.#delayed.values()) stop.abort();
    this.#delayed.clear();
    this.#hand();
    this.#checkDrained();
  }

  /** Resolves once it is shut down, empty, and nothing is being worked on. */
  drained(): Promise<void> {
    return this.#drained.promise;
  }

  #hand(): void {
    while (this.#takers.length > 0) {
      const first = this.#waiting.entries().next();
      if (first.done) break;
      const [key, sinceNs] = first.value;
      this.#waiting.delete(key);
      this.#working.set(key, this.#clock.nowNs());
      this.#options.onTake?.(key, this.#sinceMs(sinceNs));
      this.#takers.shift()?.(key);
    }
    if (this.#shutDown && this.#waiting.size === 0 && this.#again.size === 0) {
      for (const taker of this.#takers.splice(0)) taker(undefined);
    }
  }

  #checkDrained(): void {
    if (!this.#shutDown || this.#waiting.size > 0 || this.#working.size > 0) return;
    this.#drained.resolve();
  }

  /** Timers hold 24 days at most. */
  async #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const longestMs = 1_000_000_000;
    for (let left = delayMs; left > 0; left -= longestMs) {
      await this.#clock.sleep(Math.min(left, longestMs), { signal });
    }
  }

  #sinceMs(ns: bigint): number {
    return Number(this.#clock.nowNs() - ns) / Number(nsPerMs);
  }
}
