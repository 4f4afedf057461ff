/** Directories that are read by their text are what the decoder of JSON makes of them, and are written as they were. */
import { utf8Decode, utf8Encode } from "@dm/core";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Directory, decodeDirectory, encodeDirectory } from "../src/index.ts";
import { storedTextOf } from "../src/stored-entry.ts";
import { summarizeDirectory } from "../src/summary.ts";

const seed = Number(process.env["DM_SEED"] ?? Math.floor(Math.random() * 1e6));

const entries = fc.array(
  fc.record({
    name: fc.oneof(
      { weight: 5, arbitrary: fc.stringMatching(/^[\w .-]{1,20}$/) },
      { weight: 1, arbitrary: fc.string({ unit: "grapheme", minLength: 1, maxLength: 5 }) },
    ),
    type: fc.constantFrom("f", "f", "f", "s", "d"),
    mode: fc.constantFrom(0, 0o644, 0o755, 0o4755, 0o1777, 0o7),
    sizeBytes: fc.oneof(fc.constantFrom(0, 1, 2 ** 46), fc.nat()),
    modifiedAtNs: fc.oneof(
      fc.constantFrom(0n, 1n, -1n, 59_999_999_999n, 60_000_000_000n, 1_700_000_000_000_000_000n),
      fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 9_223_372_020_000_000_000n),
      fc.bigInt(1_600_000_000_000_000_000n, 1_800_000_000_000_000_000n),
    ),
    uid: fc.constantFrom(0, 1000, 2 ** 32 - 1),
    gid: fc.constantFrom(0, 100, 4_294_967_295),
    objectId: fc.constantFrom("", "kff00", "Ix0102", "Z12"),
  }),
  { maxLength: 8 },
);

/** A space before it is enough for the text to be taken for any JSON. */
const asJson = (bytes: Uint8Array): Directory =>
  decodeDirectory(utf8Encode(` ${utf8Decode(bytes)}`));

it(`reads what the decoder of JSON reads, and writes it again (DM_SEED=${seed})`, () => {
  fc.assert(
    fc.property(entries, (list) => {
      const withSummaries = list.map((entry) =>
        entry.type === "d" ? { ...entry, summary: summarizeDirectory([], 5n) } : entry,
      );
      const bytes = encodeDirectory({
        entries: withSummaries,
        summary: summarizeDirectory(withSummaries, 7n),
      });
      const directory = decodeDirectory(bytes);
      expect(directory).toEqual(asJson(bytes));
      expect(encodeDirectory(directory)).toEqual(bytes);
      for (const entry of directory.entries) {
        const text = storedTextOf(entry);
        if (text !== undefined)
          expect(utf8Decode(encodeDirectory({ ...directory, entries: [{ ...entry }] }))).toContain(
            text,
          );
      }
    }),
    { seed, numRuns: 300 },
  );
});

const time = '"mtime":"2026-11-25T09:30:51.25Z"';
const file = `{"name":"a","type":"f","mode":"0644","size":5,${time},"uid":1,"gid":2,"obj":"ab"}`;
const around = (text: string): string =>
  `{"stream":"kopia:directory","entries":[${text}],"summary":{"size":5,"files":1,"symlinks":0,"dirs":1,"maxTime":"2026-11-25T09:30:51.25Z","numFailed":0}}\n`;

it("remembers the text of an entry, not of a copy", () => {
  const [entry] = decodeDirectory(utf8Encode(around(file))).entries;
  expect(storedTextOf(entry!)).toBe(file);
  expect(storedTextOf({ ...entry! })).toBeUndefined();
});

it.each([
  ["zeros behind a fraction", file.replace(".25Z", ".250Z")],
  ["another zone", file.replace(".25Z", ".25+01:00")],
  ["a mode with further bits", file.replace("0644", "01000644")],
  ["a mode in another base", file.replace('"0644"', '"420"')],
  ["an escaped name", file.replace('"a"', '"\\u0061"')],
  ["a name that would be escaped", file.replace('"a"', '"<"')],
  ["a size of nothing", file.replace(":5,", ":0,")],
  ["another order", file.replace('"uid":1,"gid":2', '"gid":2,"uid":1')],
  ["spaces", file.replace('"uid":1', '"uid": 1')],
  ["a member that is unknown", file.replace('"obj"', '"new":[1],"obj"')],
  ["a time of nothing", file.replace(/"mtime":"[^"]*"/, '"mtime":"1970-01-01T00:00:00Z"')],
  ["a time that wraps around", file.replace("2026", "2600")],
])("leaves %s to the decoder of JSON", (_, text) => {
  const bytes = utf8Encode(around(text));
  const directory = decodeDirectory(bytes);
  expect(directory).toEqual(asJson(bytes));
  expect(directory.entries.map(storedTextOf)).toEqual([undefined]);
});

it.each([
  ["a leap second", file.replace(":51.25Z", ":60.25Z")],
  ["a month too many", file.replace("2026-11", "2026-13")],
  ["a control character", file.replace('"a"', '"\u0001"')],
])("refuses %s", (_, text) => {
  expect(() => decodeDirectory(utf8Encode(around(text)))).toThrow(
    expect.objectContaining({ code: "DM_DIRECTORY_INVALID" }),
  );
});
