/**
 * Time that passes only when a test says so: sleepers wake in order as it passes, and what they start is let run before it
 * passes on. For minutes and hours of backoff, time-outs and lost nodes in milliseconds.
 * Proof: test/virtual-clock.test.ts.
 * @module
 */
import { type Clock, nsPerMs } from "@dm/core";

export interface VirtualClock extends Clock {
  /** Lets `ms` pass: wakes each sleeper at its time, oldest first, and gives everything that follows its turn in between. */
  advance(ms: number): Promise<void>;
  /** How many sleep. */
  readonly sleepers: number;
  /** When the next one wakes, in milliseconds since 1970. */
  readonly nextWakeMs: number | undefined;
}

interface Sleeper {
  readonly wakeNs: bigint;
  readonly wake: () => void;
}

/** How many turns of the event loop those who woke get: sockets and processes need real time, and tests wait for those. */
const turnsPerWake = 20;

/** @example const clock = virtualClock(Date.parse("2026-01-01T00:00:00Z")); */
export function virtualClock(startMs: number): VirtualClock {
  let nowNs = BigInt(startMs) * nsPerMs;
  const sleepers = new Set<Sleeper>();

  const next = (): Sleeper | undefined => {
    let first: Sleeper | undefined;
    for (const sleeper of sleepers) {
      if (first === undefined || sleeper.wakeNs < first.wakeNs) first = sleeper;
    }
    return first;
  };

  return {
    nowNs: () => nowNs,
    sleep(ms, options = {}) {
      const { signal } = options;
      return new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const onAbort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const sleeper: Sleeper = {
          wakeNs: nowNs + BigInt(Math.round(Math.max(0, ms) * 1e6)),
          wake() {
            sleepers.delete(sleeper);
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    },
    async advance(ms) {
      const endNs = nowNs + BigInt(Math.round(ms * 1e6));
      await takeTurns();
      for (;;) {
        const sleeper = next();
        if (sleeper === undefined || sleeper.wakeNs > endNs) break;
        if (sleeper.wakeNs > nowNs) nowNs = sleeper.wakeNs;
        sleeper.wake();
        await takeTurns();
      }
      nowNs = endNs;
      await takeTurns();
    },
    get sleepers() {
      return sleepers.size;
    },
    get nextWakeMs() {
      const sleeper = next();
      return sleeper === undefined ? undefined : Number(sleeper.wakeNs / nsPerMs);
    },
  };
}

async function takeTurns(): Promise<void> {
  for (let turn = 0; turn < turnsPerWake; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
