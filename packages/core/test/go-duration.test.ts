// Durations are read as Go reads them, as far as they are not negative.
import { expect, it } from "vitest";
import { parseGoDuration } from "../src/index.ts";

it.each([
  ["0", 0],
  ["0s", 0],
  ["1h30m", 5_400_000],
  ["1h0m0s", 3_600_000],
  ["1.5s", 1500],
  ["2m250ms", 120_250],
  ["3µs", 0.003],
  ["3us", 0.003],
  ["3\u03bcs", 0.003],
  ["500ns", 0.0005],
  [".5s", 500],
  ["1.s", 1000],
  ["+1h", 3_600_000],
])("%s", (text, ms) => {
  expect(parseGoDuration(text)).toBeCloseTo(ms, 9);
});

it.each(["", "1", "h", "1d", "-1s", "1 s", "1s ", ".s", "1..5s", "s1", "+", "1e3s", "1hs"])(
  "%j is none",
  (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  },
);
