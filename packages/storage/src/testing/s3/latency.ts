/**
 * Latency: real milliseconds in front of every answer, or lockstep, which measures what latency would cost without waiting
 * for it. In lockstep answers are held until the client has nothing left to ask for; then all go out at once, and one round
 * is over. The number of rounds is that of the round trips on the critical path.
 * Proof: test/testing-s3-server.test.ts.
 * @module
 */
import type { S3Call } from "./faults.ts";

export type Latency =
  /** Waits so long before each answer. */
  | { readonly ms: number | ((call: S3Call) => number) }
  /** Lockstep: a round ends when no request has come for so long (real milliseconds). */
  | { readonly lockstepQuietMs: number };

/** Holds answers until a round is over. */
export class Lockstep {
  readonly #quietMs: number;
  readonly #held: Array<() => void> = [];
  #working = 0;
  #rounds = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(quietMs: number) {
    this.#quietMs = quietMs;
  }

  get rounds(): number {
    return this.#rounds;
  }

  /** A request has come. */
  arrive(): void {
    clearTimeout(this.#timer);
    this.#working += 1;
  }

  /** Its answer is ready; resolves when the round is over. */
  hold(): Promise<void> {
    return new Promise((resolve) => {
      this.#held.push(resolve);
      this.leave();
    });
  }

  /** It needs no answer any more. */
  leave(): void {
    this.#working -= 1;
    clearTimeout(this.#timer);
    if (this.#working === 0 && this.#held.length > 0)
      this.#timer = setTimeout(() => this.release(), this.#quietMs);
  }

  /** Ends the round now. */
  release(): void {
    clearTimeout(this.#timer);
    if (this.#held.length === 0) return;
    this.#rounds += 1;
    for (const resolve of this.#held.splice(0)) resolve();
  }
}
