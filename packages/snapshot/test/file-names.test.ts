// Names that are not UTF-8 become the text that Go makes of them: agreement with a slow twin that tries every length with
// the platform's decoder, and the cases in which Go and that decoder differ.
import { describe, expect, it } from "vitest";
import { decodeFileName, isUtf8Name } from "../src/source/file-names.ts";
import { fc } from "./property.ts";

/** The longest valid character at each place, or one U+FFFD for one byte. */
function slowly(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  next: for (let at = 0; at < bytes.length; ) {
    for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
      try {
        text += decoder.decode(bytes.subarray(at, at + length));
        at += length;
        continue next;
      } catch {
        // A longer one may be valid.
      }
    }
    text += "\ufffd";
    at += 1;
  }
  return text;
}

describe("decodeFileName", () => {
  it.each([
    ["", ""],
    ["61", "a"],
    ["ff", "\ufffd"],
    // A cut-off character: three bytes are three, where the platform's decoder makes one.
    ["f09f98", "\ufffd\ufffd\ufffd"],
    ["e28261", "\ufffd\ufffda"],
    // Surrogates, overlong forms, and what lies behind U+10FFFF.
    ["eda080", "\ufffd\ufffd\ufffd"],
    ["c080", "\ufffd\ufffd"],
    ["f4908080", "\ufffd\ufffd\ufffd\ufffd"],
    ["efbbbf61", "\ufeffa"],
    ["efbfbd", "\ufffd"],
  ])("%s", (hex, text) => {
    expect(decodeFileName(Buffer.from(hex, "hex"))).toBe(text);
  });

  it("agrees with the slow twin", () => {
    const byte = fc.oneof(
      fc.nat(255),
      fc.constantFrom(0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.array(byte, { maxLength: 12 }), (a, b) => {
        for (const bytes of [a, Uint8Array.from(b)]) {
          expect(decodeFileName(bytes)).toBe(slowly(bytes));
          expect(isUtf8Name(bytes)).toBe(Buffer.from(decodeFileName(bytes)).equals(bytes));
        }
      }),
    );
  });

  it("leaves valid names as they are", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (name) => {
        expect(decodeFileName(Buffer.from(name))).toBe(name);
      }),
    );
  });
});
