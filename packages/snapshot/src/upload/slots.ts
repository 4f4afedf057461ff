/**
 * A bounded number of places, and the tasks that somebody has begun and waits for.
 * @module
 */

/** Places for tasks; whoever waits comes first. */
export class Slots {
  #free: number;
  readonly #waiting: Array<() => void> = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes a place if there is one. */
  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  async take(): Promise<void> {
    if (this.tryTake()) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** Tasks of one directory. Holds none of those that have ended. */
export class TaskGroup {
  #running = 0;
  #failure: { readonly reason: unknown } | undefined;
  #onIdle: (() => void) | undefined;

  add(task: Promise<void>): void {
    this.#running += 1;
    task.then(this.#ended, (reason: unknown) => {
      this.#failure ??= { reason };
      this.#ended();
    });
  }

  readonly #ended = (): void => {
    this.#running -= 1;
    if (this.#running === 0) this.#onIdle?.();
  };

  /** Waits for all, then throws the first failure. */
  async idle(): Promise<void> {
    while (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#failure) throw this.#failure.reason;
  }
}
