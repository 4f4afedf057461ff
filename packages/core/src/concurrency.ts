/**
 * Bounded concurrency. Nothing here queues without a limit.
 * @module
 */

/** A counting semaphore; waiting is first come, first served. */
export class Semaphore {
  #free: number;
  readonly #waiting: Array<{
    resolve: () => void;
    reject: (reason: unknown) => void;
    cleanUp: () => void;
  }> = [];

  /** @param permits how many holders there may be at once, at least 1 */
  constructor(permits: number) {
    if (!Number.isInteger(permits) || permits < 1)
      throw new RangeError(`permits must be at least 1, not ${permits}`);
    this.#free = permits;
  }

  /** Takes one permit, waiting for it; rejects with `signal.reason` on abort. Call the result once to give it back. */
  async acquire(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<() => void> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else {
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          const index = this.#waiting.indexOf(entry);
          if (index >= 0) this.#waiting.splice(index, 1);
          reject(signal?.reason);
        };
        const entry = {
          resolve,
          reject,
          cleanUp: () => signal?.removeEventListener("abort", onAbort),
        };
        this.#waiting.push(entry);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    }
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.#waiting.shift();
      if (next) {
        next.cleanUp();
        next.resolve();
      } else this.#free += 1;
    };
  }
}

export interface MapOptions {
  /** How many calls may be under way at once. */
  readonly concurrency: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Calls `map` for every item with bounded concurrency and returns the results in the order of the items.
 * Pulls the next item only when a place is free. The first failure stops the pulling; calls under way are awaited, then
 * that failure is thrown.
 */
export async function mapConcurrent<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  map: (item: Item, index: number) => Promise<Result>,
  options: MapOptions,
): Promise<Result[]> {
  const { concurrency, signal } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`concurrency must be at least 1, not ${concurrency}`);
  }
  const results: Result[] = [];
  const iterator =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failure: { readonly reason: unknown } | undefined;
  let nextIndex = 0;
  let done = false;
  // Async iterators are not to be asked twice at once: the pulls form a chain.
  let pull: Promise<unknown> = Promise.resolve();
  const take = (): Promise<{ item: Item; index: number } | undefined> => {
    const turn = pull.then(async () => {
      if (done || failure) return undefined;
      const step = await iterator.next();
      if (step.done) {
        done = true;
        return undefined;
      }
      return { item: step.value, index: nextIndex++ };
    });
    pull = turn.catch(() => undefined);
    return turn;
  };
  const worker = async (): Promise<void> => {
    while (!failure && !done) {
      try {
        signal?.throwIfAborted();
        const taken = await take();
        if (!taken) return;
        results[taken.index] = await map(taken.item, taken.index);
      } catch (reason) {
        failure ??= { reason };
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  if (failure) {
    if (!done) await iterator.return?.();
    throw failure.reason;
  }
  return results;
}
