/**
 * Durations as Go's `time.Duration` spells them, in configurations of Kopia and of Kubernetes.
 * Proof: test/go-duration.test.ts.
 * @module
 */

const msOfUnit: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  // the micro sign, and the Greek letter
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
};
const part = String.raw`(\d+(?:\.\d*)?|\.\d+)(h|ms|m|us|µs|μs|ns|s)`;
const whole = new RegExp(`^\\+?(?:${part})+$`);

/**
 * Milliseconds of `1h30m`, `15s`, `250ms` or `0`; undefined when the text is no duration, or a negative one.
 * @example parseGoDuration("1h0m0s"); // 3_600_000
 */
export function parseGoDuration(text: string): number | undefined {
  if (text === "0" || text === "+0") return 0;
  if (!whole.test(text)) return undefined;
  let sumMs = 0;
  for (const [, count, unit] of text.matchAll(new RegExp(part, "g")))
    sumMs += Number(count) * (msOfUnit[unit ?? ""] ?? 0);
  return sumMs;
}
