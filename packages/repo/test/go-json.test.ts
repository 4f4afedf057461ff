// JSON text, times and durations as Go writes them, byte for byte.
import { inspect } from "node:util";
import { FormatError } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  compareUtf8,
  formatDuration,
  formatTime,
  goJsonString,
  goJsonStringMap,
  parseTime,
} from "../src/json/go-json.ts";
import { parseJson, rawElements, rawMembers } from "../src/json/raw-json.ts";
import { fc } from "./property.ts";

describe("strings", () => {
  it.each([
    ["plain", '"plain"'],
    ['"\\', '"\\"\\\\"'],
    ["<a&b>", '"\\u003ca\\u0026b\\u003e"'],
    ["\b\f\n\r\t", '"\\b\\f\\n\\r\\t"'],
    ["\u0000\u001f\u007f", '"\\u0000\\u001f\u007f"'],
    ["\u2028\u2029", '"\\u2028\\u2029"'],
    ["é😀", '"é😀"'],
    ["\ud800", '"\\ufffd"'],
  ])("%j", (text, json) => {
    expect(goJsonString(text)).toBe(json);
  });

  it("mean what they say, to any JSON parser", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(JSON.parse(goJsonString(text))).toBe(text);
      }),
    );
  });

  it("of a map come in byte order", () => {
    expect(goJsonStringMap({ b: "1", a: "<", "\u{10000}": "x", "\uffff": "y" })).toBe(
      '{"a":"\\u003c","b":"1","\uffff":"y","\u{10000}":"x"}',
    );
    expect(goJsonStringMap(undefined)).toBe("null");
  });

  it("order as their UTF-8 bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(Math.sign(compareUtf8(a, b))).toBe(expected);
      }),
    );
  });
});

describe("times", () => {
  it.each([
    ["1970-01-01T00:00:00Z", 0n],
    ["2023-11-14T22:13:20Z", 1_700_000_000_000_000_000n],
    ["2023-11-14T22:13:20.1Z", 1_700_000_000_100_000_000n],
    ["2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789n],
    ["1754-08-30T22:43:41.128654848Z", -6_795_364_578_871_345_152n],
    ["1969-12-31T23:59:59.999999999Z", -1n],
  ])("%s", (text, ns) => {
    expect(formatTime(ns)).toBe(text);
    expect(parseTime(text)).toBe(ns);
  });

  it("with an offset are understood, others are refused", () => {
    expect(parseTime("2023-11-15T00:13:20.5+02:00")).toBe(1_700_000_000_500_000_000n);
    for (const text of ["", "2023-11-14", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20", "x"])
      expect(() => parseTime(text)).toThrow(FormatError);
  });

  it("round-trip", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (ns) => {
        expect(parseTime(formatTime(ns))).toBe(ns);
      }),
    );
  });
});

describe("durations", () => {
  it.each([
    [0n, "0s"],
    [1n, "1ns"],
    [1_500n, "1.5µs"],
    [2_000_000n, "2ms"],
    [1_500_000_000n, "1.5s"],
    [60_000_000_000n, "1m0s"],
    [90_061_000_000_000n, "25h1m1s"],
    [-1_000_000_000n, "-1s"],
    [3_600_000_000_001n, "1h0m0.000000001s"],
  ])("%i ns", (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });
});

describe("raw JSON", () => {
  it("splits objects and lists into the texts of their parts", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = JSON.stringify(value, null, 1);
        const members = rawMembers(text);
        expect(members.map(([key, raw]) => [key, JSON.parse(raw)])).toEqual(
          Object.entries(JSON.parse(text) as object),
        );
      }),
    );
    expect(rawElements(' [1e400, "a,]" , {"x":[1]} ] ')).toEqual(["1e400", '"a,]"', '{"x":[1]}']);
  });

  it.each(["", "{", "[1", "{}x", '{"a"}', "nul", "[1,]", "{'a':1}"])("refuses %j", (text) => {
    expect(() => parseJson(text)).toThrow(FormatError);
  });

  it("quotes nothing of a text that may hold keys", () => {
    const failure = (): unknown => {
      try {
        return parseJson('{"masterKey":"c2VjcmV0" oops');
      } catch (error) {
        return error;
      }
    };
    expect(inspect(failure(), { depth: 9 })).not.toContain("c2VjcmV0");
  });
});
