/**
 * Work under way at once, bounded by count and by bytes; the first failure stops all of it.
 * Proof: test/restore-tree.test.ts, test/restore-plan.test.ts.
 * @module
 */
import { Semaphore } from "@dm/core";
import { ByteBudget } from "./byte-budget.ts";

export interface WorkQueueOptions {
  readonly parallel: number;
  readonly maxInFlightBytes: number;
  readonly signal: AbortSignal | undefined;
}

export class WorkQueue {
  /** Aborted by the caller, or by the first failure. */
  readonly signal: AbortSignal;
  readonly #budget: ByteBudget;
  readonly #places: Semaphore;
  readonly #failed = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor({ maxInFlightBytes, parallel, signal }: WorkQueueOptions) {
    this.#budget = new ByteBudget(maxInFlightBytes);
    this.#places = new Semaphore(parallel);
    const own = this.#failed.signal;
    this.signal = signal ? AbortSignal.any([signal, own]) : own;
  }

  /** Begins work, once there is room for its bytes; `ended` is told whatever became of it, also when it never began. */
  async start(bytes: number, work: () => Promise<void>, ended?: () => void): Promise<void> {
    let leavePlace: () => void;
    try {
      leavePlace = await this.#places.acquire({ signal: this.signal });
    } catch (error) {
      ended?.();
      throw error;
    }
    const giveBack = await this.#budget.take(bytes);
    const running = this.#run(work).then(() => {
      giveBack();
      leavePlace();
      try {
        ended?.();
      } catch (error) {
        this.fail(error);
      }
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #run(work: () => Promise<void>): Promise<void> {
    try {
      this.signal.throwIfAborted();
      await work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Stops everything, for this reason. */
  fail(reason: unknown): void {
    this.#failed.abort(reason);
  }

  /** Waits for everything that was begun. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
