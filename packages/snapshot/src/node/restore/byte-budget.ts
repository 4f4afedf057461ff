/**
 * A bound on bytes that are under way; waiting is first come, first served.
 * Proof: test/restore-plan.test.ts.
 * @module
 */

export class ByteBudget {
  readonly #maxBytes: number;
  #usedBytes = 0;
  readonly #waiting: Array<{ readonly bytes: number; readonly go: () => void }> = [];

  constructor(maxBytes: number) {
    if (!(maxBytes > 0)) throw new RangeError(`maxInFlightBytes must be above 0, not ${maxBytes}`);
    this.#maxBytes = maxBytes;
  }

  /** Waits until there is room; what is larger than the whole budget waits to be alone. Call the result once. */
  async take(bytes: number): Promise<() => void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) this.#usedBytes += bytes;
    else await new Promise<void>((go) => this.#waiting.push({ bytes, go }));
    return () => {
      this.#usedBytes -= bytes;
      for (let next = this.#waiting[0]; next && this.#fits(next.bytes); next = this.#waiting[0]) {
        this.#waiting.shift();
        this.#usedBytes += next.bytes;
        next.go();
      }
    };
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#maxBytes;
  }
}
