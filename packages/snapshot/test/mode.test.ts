// Modes in Go's numbering, POSIX's and as Go prints them: the recorded examples of the page, and every mode there and back.
import { expect, it } from "vitest";
import { formatMode, goModeFromPosix, posixModeFromGo } from "../src/index.ts";
import { decodeMode, encodeMode } from "../src/mode.ts";

it.each([
  [0o644, "0644"],
  [0o1777, "04000777"],
  [0o2755, "020000755"],
  [0o4755, "040000755"],
  [0o7777, "064000777"],
])("%o is stored as %s", (mode, stored) => {
  expect(encodeMode(mode)).toBe(stored);
  expect(decodeMode(stored)).toBe(mode);
});

it("every mode survives, its file type does not", () => {
  for (let mode = 0; mode <= 0o7777; mode++) {
    expect(posixModeFromGo(goModeFromPosix(mode))).toBe(mode);
    expect(decodeMode(encodeMode(mode | 0o100000))).toBe(mode);
  }
});

it.each([
  ["0x1ed", 0o755],
  ["0o755", 0o755],
  ["0b111", 7],
  ["493", 0o755],
  ["0", 0],
])("%s is read as Go reads a number", (text, mode) => expect(decodeMode(text)).toBe(mode));

it.each(["", "-1", "0888", "9".repeat(12), "0x80000000", "07 ", "u+x"])("%s is no mode", (text) => {
  expect(decodeMode(text)).toBeUndefined();
});

it.each([
  ["d", 0o755, "drwxr-xr-x"],
  ["f", 0o640, "-rw-r-----"],
  ["s", 0o777, "Lrwxrwxrwx"],
  ["d", 0o1777, "dtrwxrwxrwx"],
  ["f", 0o6755, "ugrwxr-xr-x"],
  ["f", 0, "----------"],
])("%s %o is printed as %s", (type, mode, text) => expect(formatMode(type, mode)).toBe(text));
