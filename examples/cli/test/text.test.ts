/** Numbers, sizes, times and JSON as kopia writes them; the expectations were read off kopia's output. */
import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatBytesBase2,
  formatCount,
  formatTimestamp,
  goJson,
  indented,
  oneDecimal,
  parseCount,
  parseDuration,
  parseSize,
  sizeText,
} from "../src/text.ts";

const io = { env: {} };

describe("sizes", () => {
  it.each([
    [0, "0 B"],
    [899, "899 B"],
    [900, "0.9 KB"],
    [1250, "1.2 KB"],
    [1350, "1.4 KB"],
    [20_971_520, "21 MB"],
    [29_400_000, "29.4 MB"],
    [10_485_760, "10.5 MB"],
    [1.8e12, "1.8 TB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(io, bytes)).toBe(text);
  });

  it("has binary units on request", () => {
    expect(formatBytes({ env: { KOPIA_BYTES_STRING_BASE_2: "true" } }, 20_971_520)).toBe("20 MiB");
    expect(formatBytesBase2(32 << 20)).toBe("32 MiB");
  });

  it("repeats sizes exactly", () => {
    expect([32 << 20, 3 << 19, 1025, 0].map(sizeText)).toEqual([
      "32MiB",
      "1MiB512KiB",
      "1KiB1B",
      "0B",
    ]);
  });

  it("counts with a space where there is no prefix, as kopia does", () => {
    expect([formatCount(36), formatCount(1200)]).toEqual(["36 ", "1.2 K"]);
  });

  it("rounds halves to the even digit, as Go does", () => {
    expect([67.25, 67.75, 0.25, 1.05, 2].map(oneDecimal)).toEqual([
      "67.2",
      "67.8",
      "0.2",
      "1.1",
      "2.0",
    ]);
  });

  it.each([
    ["1MB", 1 << 20],
    ["64KB", 64 << 10],
    ["1.5KB", 1536],
    ["100", 100],
    ["2GB", 2 ** 31],
  ])("reads %s with units of 1024", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(["", "MB", "-1KB", "1XB", "1e3"])("refuses the size %j", (text) => {
    expect(() => parseSize(text)).toThrow(/not a size/);
  });
});

describe("durations and counts", () => {
  it.each([
    ["15m", 900_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["500ms", 500],
    ["2d", 172_800_000],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(["", "15", "m", "1h x", "1 h"])("refuses the duration %j", (text) => {
    expect(() => parseDuration(text)).toThrow(/not a duration/);
  });

  it.each(["", "-1", "1.5", "x"])("refuses the count %j", (text) => {
    expect(() => parseCount(text)).toThrow(/not a whole number/);
  });
});

it("writes times in the local zone", () => {
  const ns = 1_795_381_632_093_730_400n;
  expect(formatTimestamp(ns)).toMatch(/^2026-11-2[23] \d\d:\d\d:\d2 \S+$/);
  expect(formatTimestamp(ns, { milliseconds: true })).toMatch(/:12\.093 \S+$/);
  // A nanosecond before 1970 is in the second before.
  expect(formatTimestamp(-1n, { milliseconds: true })).toMatch(/:59\.999 \S+$/);
});

describe("JSON", () => {
  it("escapes what Go escapes", () => {
    const text = `<&>${String.fromCharCode(0x2028)}"`;
    expect(goJson({ text })).toBe('{"text":"\\u003c\\u0026\\u003e\\u2028\\""}');
    expect(JSON.parse(goJson({ text }))).toEqual({ text });
  });

  it("indents without touching numbers, escapes and empty lists", () => {
    const json = '{"a":[1,{"b":12345678901234567890}],"c":[],"d":{},"e":"x\\u003c, {y}: \\""}\n';
    expect(indented(json)).toBe(
      '{\n  "a": [\n    1,\n    {\n      "b": 12345678901234567890\n    }\n  ],\n  "c": [],\n' +
        '  "d": {},\n  "e": "x\\u003c, {y}: \\""\n}\n',
    );
  });

  it("indents like JSON.stringify", () => {
    const value = { a: { b: [[], [1, 2], { c: null }] }, d: "", e: [true, "ü"] };
    expect(indented(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
  });
});
