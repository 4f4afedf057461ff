/**
 * Durations in the form that Go gives them. They are read by `parseGoDuration` of `@dm/core`.
 * Proof: test/go-duration.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";

/**
 * @example formatGoDuration(600_000); // "10m0s"
 * @throws {RangeError} when `ms` is not finite.
 */
export function formatGoDuration(ms: number): string {
  if (!Number.isFinite(ms)) throw new RangeError(`${ms} ms is no duration`);
  const wholeMs = Math.trunc(Math.abs(ms));
  const ns = BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((Math.abs(ms) - wholeMs) * 1e6));
  if (ns === 0n) return "0s";
  const sign = ms < 0 ? "-" : "";
  if (ns < 1000n) return `${sign}${ns}ns`;
  if (ns < 1_000_000n) return `${sign}${withFraction(ns, 3)}µs`;
  if (ns < 1_000_000_000n) return `${sign}${withFraction(ns, 6)}ms`;
  const minutes = ns / 60_000_000_000n;
  const seconds = `${withFraction(ns % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return sign + seconds;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** `value / 10 ** digits`, without zeros at the end. */
function withFraction(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  const whole = text.slice(0, -digits);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/**
 * The same duration as Go would write it, which is how the API of Velero stores it; undefined when it is none.
 * @example normalizeGoDuration("10m"); // "10m0s"
 */
export function normalizeGoDuration(text: string): string | undefined {
  const ms = parseGoDuration(text);
  return ms === undefined ? undefined : formatGoDuration(ms);
}
