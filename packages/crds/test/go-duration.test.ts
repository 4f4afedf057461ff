// Durations are written as time.Duration.String of Go writes them, and read back as the same.
import { parseGoDuration } from "@dm/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatGoDuration, normalizeGoDuration } from "../src/index.ts";

describe("formatGoDuration", () => {
  it.each([
    [0, "0s"],
    [600_000, "10m0s"],
    [14_400_000, "4h0m0s"],
    [2_592_000_000, "720h0m0s"],
    [5_400_000, "1h30m0s"],
    [1000, "1s"],
    [1500, "1.5s"],
    [61_001, "1m1.001s"],
    [250, "250ms"],
    [0.5, "500µs"],
    [1.25, "1.25ms"],
    [0.0015, "1.5µs"],
    [0.000001, "1ns"],
    [-90_000, "-1m30s"],
  ])("%d ms", (ms, text) => {
    expect(formatGoDuration(ms)).toBe(text);
  });

  it("refuses what is no time", () => {
    expect(() => formatGoDuration(Number.NaN)).toThrow(RangeError);
    expect(() => formatGoDuration(Number.POSITIVE_INFINITY)).toThrow(RangeError);
  });

  it("is read back as the same", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 42), (ms) => {
        expect(parseGoDuration(formatGoDuration(ms))).toBeCloseTo(ms, 3);
      }),
    );
  });
});

describe("normalizeGoDuration", () => {
  it.each([
    ["10m", "10m0s"],
    ["90s", "1m30s"],
    ["1h", "1h0m0s"],
    ["0", "0s"],
    [".5s", "500ms"],
    ["720h0m0s", "720h0m0s"],
  ])("%s", (text, normal) => {
    expect(normalizeGoDuration(text)).toBe(normal);
  });

  it("is undefined for what is none", () => {
    expect(normalizeGoDuration("PT10M")).toBeUndefined();
  });
});
