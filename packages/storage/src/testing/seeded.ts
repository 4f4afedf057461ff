/**
 * Chances that a seed repeats: mulberry32, small and good enough to choose faults and delays.
 * @module
 */

/** Numbers from 0 (included) to 1 (excluded). */
export function seededChance(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface SeededChoice<Fault, Operation> {
  readonly seed: number;
  /** Share of calls that meet one, 0 to 1; 0.1 by default. */
  readonly probability?: number | undefined;
  /** One of these is chosen each time. */
  readonly faults: readonly Fault[];
  /** Operations that may meet one; all by default. */
  readonly operations?: readonly Operation[] | undefined;
}

/** Whether a call meets one of some faults, and which. The same seed and the same calls meet the same. */
export function seededChoice<Fault, Operation>({
  faults,
  operations,
  probability = 0.1,
  seed,
}: SeededChoice<Fault, Operation>): (operation: Operation) => Fault | undefined {
  const chance = seededChance(seed);
  return (operation) => {
    // Both are drawn at every call, so that a restriction to some operations does not shift the others.
    const hit = chance() < probability;
    const fault = faults[Math.floor(chance() * faults.length)];
    return hit && (operations?.includes(operation) ?? true) ? fault : undefined;
  };
}
