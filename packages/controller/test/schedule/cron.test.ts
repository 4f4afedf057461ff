// Cron expressions: next times by example, refusals with their reason, and agreement with a clock that is read minute by minute, in
// any time zone and over its changes.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCron } from "../../src/schedule/cron.ts";

const at = (text: string): number => Date.parse(text);
const next = (expression: string, from: string): string | undefined => {
  const ms = parseCron(expression).nextAfter(at(from));
  return ms === undefined ? undefined : new Date(ms).toISOString().replace(":00.000Z", "Z");
};

it.each([
  ["*/15 * * * *", "2026-11-25T12:00:00Z", "2026-11-25T12:15Z"],
  ["*/15 * * * *", "2026-11-25T12:44:59Z", "2026-11-25T12:45Z"],
  ["*/15 * * * *", "2026-11-25T12:45:01Z", "2026-11-25T13:00Z"],
  ["0 7 * * *", "2026-11-25T12:00:00Z", "2026-11-26T07:00Z"],
  ["0 0 29 2 *", "2026-11-25T12:00:00Z", "2028-02-29T00:00Z"],
  ["0 0 31 * *", "2026-11-30T12:00:00Z", "2026-12-31T00:00Z"],
  ["30 1,13 * * 1-5", "2026-11-27T13:30:00Z", "2026-11-30T01:30Z"],
  ["0 3 * * SUN", "2026-11-25T12:00:00Z", "2026-11-29T03:00Z"],
  ["0 3 1 jan,JUL ?", "2026-11-25T12:00:00Z", "2027-01-01T03:00Z"],
  // Either day will do, unless one of them is any.
  ["0 0 13 * fri", "2026-11-25T12:00:00Z", "2026-11-27T00:00Z"],
  ["0 0 13 * *", "2026-11-25T12:00:00Z", "2026-12-13T00:00Z"],
  ["0 0 */10 * fri", "2026-11-27T00:00:00Z", "2026-12-01T00:00Z"],
  ["5/20 * * * *", "2026-11-25T12:06:00Z", "2026-11-25T12:25Z"],
  ["10-20/5 8 * * *", "2026-11-25T08:15:00Z", "2026-11-25T08:20Z"],
  ["@hourly", "2026-11-25T12:00:00Z", "2026-11-25T13:00Z"],
  ["@daily", "2026-11-25T12:00:00Z", "2026-11-26T00:00Z"],
  ["@weekly", "2026-11-25T12:00:00Z", "2026-11-29T00:00Z"],
  ["@monthly", "2026-11-25T12:00:00Z", "2026-12-01T00:00Z"],
  ["@yearly", "2026-11-25T12:00:00Z", "2027-01-01T00:00Z"],
  ["@every 6h", "2026-11-25T12:10:00Z", "2026-11-25T18:10Z"],
  ["@every 1h30m", "2026-11-25T12:00:00Z", "2026-11-25T13:30Z"],
  ["CRON_TZ=Asia/Tokyo 30 4 * * *", "2026-11-25T12:00:00Z", "2026-11-25T19:30Z"],
  ["TZ=Asia/Kathmandu 0 0 * * *", "2026-11-25T12:00:00Z", "2026-11-25T18:15Z"],
  ["TZ=America/New_York @daily", "2026-11-25T12:00:00Z", "2026-11-26T05:00Z"],
  // Leapt over on that day; shown twice on this one.
  ["TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30Z"],
  ["TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30Z"],
])("%s after %s is %s", (expression, from, expected) => {
  expect(next(expression, from)).toBe(expected);
});

it("what never comes is never due", () => {
  expect(next("0 0 30 2 *", "2026-11-25T12:00:00Z")).toBeUndefined();
});

it.each([
  ["", "empty spec string"],
  ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
  ["* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"],
  ["60 * * * *", "end of range (60) above maximum (59): 60"],
  ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
  ["* * * * 7", "end of range (7) above maximum (6): 7"],
  ["20-10 * * * *", "beginning of range (20) beyond end of range (10): 20-10"],
  ["*/0 * * * *", "step of range should be a positive number: */0"],
  ["1-2-3 * * * *", "too many hyphens: 1-2-3"],
  ["*-5 * * * *", "too many hyphens: *-5"],
  ["1/2/3 * * * *", "too many slashes: 1/2/3"],
  ["x * * * *", "failed to parse int from x"],
  ["-1 * * * *", "failed to parse int from "],
  [", * * * *", "minute is empty"],
  ["@reboot", "unrecognized descriptor: @reboot"],
  ["@every now", "failed to parse duration @every now"],
  [
    "TZ=Nowhere/Else * * * * *",
    "provided bad location Nowhere/Else: unknown time zone Nowhere/Else",
  ],
  ["constructor", "expected exactly 5 fields, found 1: [constructor]"],
])("%j is refused: %s", (expression, reason) => {
  expect(() => parseCron(expression)).toThrow(
    expect.objectContaining({ code: "DM_CRON_INVALID", message: reason }),
  );
});

it("nothing else than its own error comes out of any text", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^[*?,/\-0-9a-zA-Z@=_ ]{0,30}$/)),
      (text) => {
        try {
          parseCron(text).nextAfter(at("2026-11-25T12:00:00Z"));
        } catch (error) {
          expect(error).toMatchObject({ code: "DM_CRON_INVALID" });
        }
      },
    ),
  );
});

describe("agreement with a clock that is read minute by minute", () => {
  const bounds = [
    [0, 59],
    [0, 23],
    [1, 31],
    [1, 12],
    [0, 6],
  ] as const;
  /** A field, and the values that it stands for. */
  const field = (index: 0 | 1 | 2 | 3 | 4) => {
    const [min, max] = bounds[index];
    const value = fc.integer({ min, max });
    const all = Array.from({ length: max - min + 1 }, (_, at) => at + min);
    return fc.oneof(
      { weight: 4, arbitrary: fc.constant({ text: "*", isAny: true, values: all }) },
      {
        weight: 2,
        arbitrary: fc.integer({ min: 2, max: 20 }).map((step) => ({
          text: `*/${step}`,
          isAny: false,
          values: all.filter((_, at) => at % step === 0),
        })),
      },
      {
        weight: 3,
        arbitrary: fc
          .uniqueArray(value, { minLength: 1, maxLength: 4 })
          .map((values) => ({ text: values.join(","), isAny: false, values })),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(value, value).map(([a, b]) => {
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          return {
            text: `${from}-${to}`,
            isAny: false,
            values: all.filter((it) => it >= from && it <= to),
          };
        }),
      },
    );
  };
  const zones = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
  ];
  // Days on which some of these clocks change, one that was left out in Apia, and others.
  const days = [
    "2026-03-08",
    "2026-03-28",
    "2026-04-04",
    "2026-10-03",
    "2026-10-25",
    "2026-11-01",
    "2011-12-29",
    "2018-11-03",
    "2028-02-28",
  ];
  const scanMinutes = 3 * 24 * 60;

  it("in any zone", () => {
    fc.assert(
      fc.property(
        field(0),
        field(1),
        field(2),
        field(3),
        field(4),
        fc.constantFrom(...zones),
        fc.constantFrom(...days),
        fc.integer({ min: 0, max: 86_400_000 }),
        (minute, hour, day, month, weekday, zone, date, ms) => {
          const from = at(`${date}T00:00:00Z`) + ms;
          const expression = [minute, hour, day, month, weekday].map(({ text }) => text).join(" ");
          const found = parseCron(`CRON_TZ=${zone} ${expression}`).nextAfter(from);
          const format = new Intl.DateTimeFormat("en-GB", {
            timeZone: zone,
            hourCycle: "h23",
            month: "numeric",
            day: "numeric",
            hour: "numeric",
            minute: "numeric",
            weekday: "short",
          });
          let expected: number | undefined;
          for (let count = 1; count <= scanMinutes && expected === undefined; count++) {
            const now = Math.floor(from / 60_000) * 60_000 + count * 60_000;
            if (found !== undefined && now > found) break;
            const parts = new Map(
              format.formatToParts(now).map(({ type, value }) => [type, value]),
            );
            const name = parts.get("weekday") ?? "";
            const isDay = day.values.includes(Number(parts.get("day")));
            const isWeekday = weekday.values.includes(
              ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].indexOf(name),
            );
            const matches =
              minute.values.includes(Number(parts.get("minute"))) &&
              hour.values.includes(Number(parts.get("hour"))) &&
              month.values.includes(Number(parts.get("month"))) &&
              (day.isAny || weekday.isAny ? isDay && isWeekday : isDay || isWeekday);
            if (matches) expected = now;
          }
          const endMs = from + scanMinutes * 60_000;
          if (expected !== undefined || (found !== undefined && found < endMs - 60_000))
            expect([expression, zone, found]).toEqual([expression, zone, expected]);
        },
      ),
      { numRuns: process.env["DM_FULL"] ? 3_000 : 120 },
    );
  });
});
