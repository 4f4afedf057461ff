// Quantities are read and written as Kubernetes does it; what is written is read back as the same number.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatQuantity, parseQuantity } from "../src/index.ts";

describe("parseQuantity", () => {
  it.each([
    ["0", 0n],
    ["123456789", 123456789n],
    ["10Gi", 10737418240n],
    ["1Ki", 1024n],
    ["2Mi", 2097152n],
    ["3Ti", 3298534883328n],
    ["1Pi", 1125899906842624n],
    ["8Ei", 9223372036854775808n],
    ["5G", 5_000_000_000n],
    ["1k", 1000n],
    ["1M", 1_000_000n],
    ["1T", 10n ** 12n],
    ["1P", 10n ** 15n],
    ["1E", 10n ** 18n],
    ["1e3", 1000n],
    ["1E3", 1000n],
    ["1.5e+2", 150n],
    ["2e-1", 1n],
    ["1.5Gi", 1610612736n],
    [".5Ki", 512n],
    ["1.Ki", 1024n],
    ["+7", 7n],
    ["-7", -7n],
    // Kubernetes rounds away from zero
    ["1.1", 2n],
    ["-1.1", -2n],
    ["100m", 1n],
    ["1500m", 2n],
    ["1u", 1n],
    ["1n", 1n],
    ["0.0", 0n],
    ["00010Gi", 10737418240n],
  ])("%s", (text, bytes) => {
    expect(parseQuantity(text)).toBe(bytes);
  });

  it.each(["", "Gi", "1 Gi", "1gi", "1KB", "1K", "1.2.3", "1e", "e3", "0x10", "1Gi ", "--1", "∞"])(
    "%j is none",
    (text) => {
      expect(parseQuantity(text)).toBeUndefined();
    },
  );

  it("costs time in proportion to the text, also when it is none", () => {
    expect(parseQuantity(`${"1".repeat(100_000)}x`)).toBeUndefined();
    expect(parseQuantity("1e9999")).toBeUndefined();
  });
});

describe("formatQuantity", () => {
  it.each([
    [0n, "0"],
    [1n, "1"],
    [1000n, "1k"],
    [1023n, "1023"],
    [1024n, "1Ki"],
    [1500n, "1500"],
    [10737418240n, "10Gi"],
    [5_000_000_000n, "5000000000"],
    [2n ** 60n, "1Ei"],
    [2n ** 80n, "1048576Ei"],
    [-1024n, "-1Ki"],
  ])("%s", (bytes, text) => {
    expect(formatQuantity(bytes)).toBe(text);
  });

  it("takes numbers, too", () => {
    expect(formatQuantity(422_370)).toBe("422370");
    expect(() => formatQuantity(1.5)).toThrow(RangeError);
  });

  it("is read back as the same number", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), fc.nat(60), (bytes, zeros) => {
        const even = bytes << BigInt(zeros);
        expect(parseQuantity(formatQuantity(even))).toBe(even);
      }),
    );
  });
});
