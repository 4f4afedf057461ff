// Moments at which a server is killed: before and after each of its calls. All of them with DM_FULL=1, otherwise some drawn by DM_SEED.

export interface CrashAt {
  readonly call: number;
  readonly when: "before" | "after";
}

export const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

export function crashPoints(calls: number, sampled: number): CrashAt[] {
  let state = seed >>> 0;
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const all = Array.from({ length: calls }, (_, index) => index + 1).flatMap((call) => [
    { call, when: "before" } as const,
    { call, when: "after" } as const,
  ]);
  return all
    .map((at) => ({ at, order: draw() }))
    .sort((a, b) => a.order - b.order)
    .slice(0, process.env["DM_FULL"] ? all.length : sampled)
    .map(({ at }) => at);
}

/** A server that dies at one of its calls. What is left of the process dies with it, until another one takes over. */
export class MortalServer {
  /** In this file. */
  static kills = 0;

  calls = 0;
  isDead = false;
  #hasDied = false;
  readonly #at: CrashAt | undefined;
  readonly #crash: new () => Error;

  constructor(at: CrashAt | undefined, crash: new () => Error) {
    this.#at = at;
    this.#crash = crash;
  }

  readonly hooks = {
    before: (): void => this.#call("before"),
    after: (): void => this.#call("after"),
  };

  #call(when: CrashAt["when"]): void {
    // The rest of a dead process: calls that were about to be made.
    if (this.isDead) throw new this.#crash();
    if (when === "before") this.calls++;
    if (this.#hasDied || this.calls !== this.#at?.call || when !== this.#at.when) return;
    this.#hasDied = true;
    this.isDead = true;
    MortalServer.kills++;
    throw new this.#crash();
  }
}
