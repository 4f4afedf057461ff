/**
 * Spans of time as kubectl's tables show them: `14m`, `2d3h`.
 * Proof: test/api-server/table.test.ts.
 * @module
 */

/** The largest units that matter, and a second one where the first is small. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 24 * 8) return two(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (hours < 24 * 365 * 8) return two(years, "y", days % 365, "d");
  return `${years}y`;
}

function two(first: number, firstUnit: string, second: number, secondUnit: string): string {
  return `${first}${firstUnit}${second === 0 ? "" : `${second}${secondUnit}`}`;
}

/** Since a time in RFC 3339. */
export function ageOf(time: unknown, nowMs: number): string {
  if (typeof time !== "string" || time === "") return "<unknown>";
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? "<invalid>" : humanDuration(nowMs - ms);
}
