// Sizes of volumes are read and written as Kubernetes writes quantities.
import { isDmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { formatBytes, parseBytes } from "../../src/csi/quantity.ts";

describe("quantities", () => {
  it.each([
    ["1Gi", 1 << 30],
    ["1.5Gi", 1.5 * (1 << 30)],
    ["100M", 100e6],
    ["1500", 1500],
    ["1e3", 1000],
    ["0.5", 1],
    [42, 42],
  ])("%s", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(["", "1GiB", "-1", "Gi", "1 Gi"])("refuses %j", (text) => {
    expect(() => parseBytes(text)).toThrow(
      expect.toSatisfy((error) => isDmError(error, "DM_QUANTITY_INVALID")),
    );
  });

  it.each([
    [1 << 30, "1Gi"],
    [1025 << 20, "1025Mi"],
    [1500, "1500"],
    [0, "0"],
  ])("writes %d", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
