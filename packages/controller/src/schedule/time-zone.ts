/**
 * What a clock on the wall shows at some moment, in UTC or in a time zone of the IANA database.
 * Proof: test/schedule/cron.test.ts.
 * @module
 */

/** Months from 1, weekdays from 0 for Sunday. */
export interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly weekday: number;
}

export interface TimeZone {
  wallTime(atMs: number): WallTime;
  /** How far the wall is ahead of UTC then. */
  offsetMs(atMs: number): number;
}

export const utc: TimeZone = Object.freeze({
  wallTime: (atMs: number) => fieldsOf(new Date(atMs)),
  offsetMs: () => 0,
});

/** Undefined for a name that is none. */
export function timeZone(name: string): TimeZone | undefined {
  if (name === "UTC" || name === "") return utc;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
  const asUtcMs = (atMs: number): number => {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(atMs)) parts[type] = Number(value);
    const { day = 1, hour = 0, minute = 0, month = 1, second = 0, year = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second);
  };
  return {
    wallTime: (atMs) => fieldsOf(new Date(asUtcMs(atMs))),
    offsetMs: (atMs) => asUtcMs(atMs) - Math.floor(atMs / 1_000) * 1_000,
  };
}

function fieldsOf(date: Date): WallTime {
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    weekday: date.getUTCDay(),
  };
}
