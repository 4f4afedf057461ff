// Conversions agree with Node's own for all bytes, take views, and refuse malformed text with a code.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  compareBytes,
  concatBytes,
  copyBytes,
  equalBytes,
  fromBase64,
  fromBase64Url,
  fromHex,
  toBase64,
  toBase64Url,
  toHex,
  utf8Decode,
  utf8DecodeStrict,
  utf8Encode,
} from "../src/index.ts";

const bytes = fc.uint8Array({ maxLength: 200 });

describe("text and bytes", () => {
  it("agree with Node's Buffer", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        const buffer = Buffer.from(value);
        expect(toHex(value)).toBe(buffer.toString("hex"));
        expect(toBase64(value)).toBe(buffer.toString("base64"));
        expect(toBase64Url(value)).toBe(buffer.toString("base64url"));
        expect(fromHex(toHex(value).toUpperCase())).toEqual(value);
        expect(fromBase64(toBase64(value))).toEqual(value);
        expect(fromBase64Url(toBase64Url(value))).toEqual(value);
        expect(fromBase64Url(toBase64(value))).toEqual(value);
      }),
    );
  });

  it("take views that begin anywhere", () => {
    const view = Uint8Array.of(9, 0xab, 0xcd, 9).subarray(1, 3);
    expect(toHex(view)).toBe("abcd");
    expect(concatBytes(view, view)).toEqual(Uint8Array.of(0xab, 0xcd, 0xab, 0xcd));
    expect(toBase64(new Uint8Array(100_000).fill(255))).toBe(
      Buffer.alloc(100_000, 255).toString("base64"),
    );
  });

  it.each([
    [() => fromHex("abc"), "DM_HEX_INVALID"],
    [() => fromHex("0g"), "DM_HEX_INVALID"],
    [() => fromBase64("abc"), "DM_BASE64_INVALID"],
    [() => fromBase64("a-c="), "DM_BASE64_INVALID"],
    [() => fromBase64Url("a*"), "DM_BASE64_INVALID"],
    [() => utf8DecodeStrict(Uint8Array.of(0xff)), "DM_UTF8_INVALID"],
  ])("refuse malformed input: %s", (call, code) => {
    expect(call).toThrow(expect.objectContaining({ code }));
  });

  it("keep a byte order mark, and replace what is malformed unless strict", () => {
    expect(utf8DecodeStrict(utf8Encode("\ufeffé😀"))).toBe("\ufeffé😀");
    expect(utf8Decode(Uint8Array.of(0x61, 0xff))).toBe("a\ufffd");
  });
});

describe("comparison", () => {
  it("is that of Node's Buffer", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b));
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0);
        expect(equalBytes(a, a.slice())).toBe(true);
      }),
    );
  });
});

describe("copyBytes", () => {
  it("copies between memory of all kinds, at any alignment, and refuses what does not fit", () => {
    const kinds = [ArrayBuffer, SharedArrayBuffer] as const;
    for (const From of kinds) {
      for (const To of kinds) {
        for (let shift = 0; shift < 9; shift += 1) {
          const source = new Uint8Array(new From(200), shift, 150).map((_, at) => at + shift);
          const target = new Uint8Array(new To(300), 3, 290);
          copyBytes(source, target, 100);
          expect([...target]).toEqual([...new Uint8Array(100), ...source, ...new Uint8Array(40)]);
          expect(() => copyBytes(source, target, 141)).toThrow(RangeError);
        }
      }
    }
  });
});
