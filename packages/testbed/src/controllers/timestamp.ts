/**
 * Times as the API writes them.
 * Proof: test/controllers/event-recorder.test.ts.
 * @module
 */
import { type Clock, nsPerMs } from "@dm/core";

export function nowMs(clock: Clock): number {
  return Number(clock.nowNs() / nsPerMs);
}

/** `metav1.Time`: whole seconds. */
export function timestamp(clock: Clock): string {
  return timestampOf(nowMs(clock));
}

export function timestampOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** `metav1.MicroTime`: six decimals, as in a Lease. */
export function microTimestamp(clock: Clock): string {
  const micros = clock.nowNs() / 1000n;
  const seconds = new Date(Number(micros / 1000n)).toISOString().slice(0, 19);
  return `${seconds}.${(micros % 1_000_000n).toString().padStart(6, "0")}Z`;
}
