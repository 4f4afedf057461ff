/**
 * Cron expressions as Velero takes them (those of robfig/cron 3): five fields with names, ranges, steps and lists, `@hourly` and its
 * like, `@every 6h`, and a time zone in front (`CRON_TZ=Asia/Tokyo 30 4 * * *`). Pure.
 *
 * Where both day of month and day of week are given, either will do. A time that the clock leaps over is left out, and one that it
 * shows twice comes twice. (An expression that never comes true, such as 30 February, never runs; with Velero it runs all the time.)
 * Proof: test/schedule/cron.test.ts.
 * @module
 */
import { FormatError, parseGoDuration } from "@dm/core";
import { type TimeZone, timeZone, utc } from "./time-zone.ts";

export interface CronSchedule {
  /** The first time after `atMs`; undefined when there is none within five years. Milliseconds since 1970. */
  nextAfter(atMs: number): number | undefined;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly words?: readonly string[] | undefined;
}

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const fields = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12, words: months },
  { name: "day of week", min: 0, max: 6, words: weekdays },
] as const satisfies readonly Field[];

const descriptors: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

const maxLength = 1_000;

/**
 * @throws {FormatError} `DM_CRON_INVALID` with the reason
 * @example parseCron("0 3 * * mon-fri").nextAfter(Date.now())
 */
export function parseCron(text: string): CronSchedule {
  if (text.length > maxLength) throw invalid(`more than ${maxLength} characters`);
  const [, name, rest = ""] = /^(?:CRON_TZ|TZ)=(\S*)\s+(.*)$/s.exec(text) ?? [];
  const zone = name === undefined ? utc : timeZone(name);
  if (zone === undefined) throw invalid(`provided bad location ${name}: unknown time zone ${name}`);
  const expression = (name === undefined ? text : rest).trim();
  if (expression === "") throw invalid("empty spec string");
  const every = /^@every\s+(.+)$/.exec(expression)?.[1];
  if (every !== undefined) return everySchedule(every);
  if (!expression.startsWith("@")) return fieldSchedule(expression, zone);
  const described = Object.hasOwn(descriptors, expression) ? descriptors[expression] : undefined;
  if (described === undefined) throw invalid(`unrecognized descriptor: ${expression}`);
  return fieldSchedule(described, zone);
}

/** In whole seconds, one at least. */
function everySchedule(text: string): CronSchedule {
  const ms = parseGoDuration(text.trim());
  if (ms === undefined) throw invalid(`failed to parse duration @every ${text}`);
  const everyMs = Math.max(1_000, Math.floor(ms / 1_000) * 1_000);
  return { nextAfter: (atMs) => Math.floor(atMs / 1_000) * 1_000 + everyMs };
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const longestMs = 5 * 366 * 24 * hourMs;

function fieldSchedule(expression: string, zone: TimeZone): CronSchedule {
  const parts = expression.split(/\s+/);
  if (parts.length !== fields.length)
    throw invalid(`expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`);
  const sets = fields.map((field, index) => parseField(parts[index] ?? "", field));
  const [minutes, hours, days, monthSet, weekdaySet] = sets as [
    FieldSet,
    FieldSet,
    FieldSet,
    FieldSet,
    FieldSet,
  ];
  const isDay = (day: number, weekday: number): boolean => {
    const both = [days.values.has(day), weekdaySet.values.has(weekday)] as const;
    return days.isAny || weekdaySet.isAny ? both[0] && both[1] : both[0] || both[1];
  };
  return {
    nextAfter(atMs) {
      let nowMs = Math.floor(atMs / minuteMs) * minuteMs + minuteMs;
      const endMs = nowMs + longestMs;
      while (nowMs <= endMs) {
        const { day, hour, minute, month, weekday, year } = zone.wallTime(nowMs);
        if (!monthSet.values.has(month)) nowMs = midnightAfter(zone, nowMs, year, month + 1, 1);
        else if (!isDay(day, weekday)) nowMs = midnightAfter(zone, nowMs, year, month, day + 1);
        else if (!hours.values.has(hour)) nowMs += (60 - minute) * minuteMs;
        else if (!minutes.values.has(minute)) nowMs += minuteMs;
        else return nowMs;
      }
      return undefined;
    },
  };
}

/** When that day begins, or up to some hours before it, where the clock changes in between; later than `nowMs` in any case. */
function midnightAfter(
  zone: TimeZone,
  nowMs: number,
  year: number,
  month: number,
  day: number,
): number {
  const wallMs = Date.UTC(year, month - 1, day);
  const offsetMs = Math.max(zone.offsetMs(nowMs), zone.offsetMs(wallMs - zone.offsetMs(nowMs)));
  const nextMinuteMs = nowMs + minuteMs;
  return Math.max(Math.floor((wallMs - offsetMs) / minuteMs) * minuteMs, nextMinuteMs);
}

interface FieldSet {
  readonly values: ReadonlySet<number>;
  /** `*` or `?`, without a step. */
  readonly isAny: boolean;
}

function parseField(text: string, field: Field): FieldSet {
  const values = new Set<number>();
  let isAny = false;
  for (const part of text.split(",").filter(Boolean)) {
    const range = parseRange(part, field);
    isAny ||= range.isAny;
    for (let value = range.from; value <= range.to; value += range.step) values.add(value);
  }
  if (values.size === 0) throw invalid(`${field.name} is empty`);
  return { values, isAny };
}

function parseRange(
  text: string,
  field: Field,
): { readonly from: number; readonly to: number; readonly step: number; readonly isAny: boolean } {
  const [range = "", stepText, ...more] = text.split("/");
  if (more.length > 0) throw invalid(`too many slashes: ${text}`);
  const [first = "", last, ...others] = range.split("-");
  const step = stepText === undefined ? 1 : parseNumber(stepText);
  const isStar = first === "*" || first === "?";
  let from = field.min;
  let to = field.max;
  if (!isStar) {
    if (others.length > 0) throw invalid(`too many hyphens: ${text}`);
    from = parseValue(first, field);
    if (last !== undefined) to = parseValue(last, field);
    else if (stepText === undefined) to = from;
  } else if (last !== undefined) throw invalid(`too many hyphens: ${text}`);
  if (from < field.min)
    throw invalid(`beginning of range (${from}) below minimum (${field.min}): ${text}`);
  if (to > field.max) throw invalid(`end of range (${to}) above maximum (${field.max}): ${text}`);
  if (from > to) throw invalid(`beginning of range (${from}) beyond end of range (${to}): ${text}`);
  if (step === 0) throw invalid(`step of range should be a positive number: ${text}`);
  return { from, to, step, isAny: isStar && step === 1 };
}

function parseValue(text: string, { min, words }: Field): number {
  const index = words?.indexOf(text.toLowerCase()) ?? -1;
  return index < 0 ? parseNumber(text) : index + min;
}

function parseNumber(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw invalid(`failed to parse int from ${text}`);
}

function invalid(reason: string): FormatError {
  return new FormatError("DM_CRON_INVALID", reason);
}
