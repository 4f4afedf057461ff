// Where there is no Node, everything is still read and written, and `describe` tells the truth about it.
import { afterEach, expect, it, vi } from "vitest";
import { prose } from "./support.ts";

const original = process.getBuiltinModule;
afterEach(() => {
  process.getBuiltinModule = original;
});

it.each([
  { what: "without built-in modules", lookup: undefined },
  { what: "with a zlib that has no zstd", lookup: () => ({ inflateRawSync: () => undefined }) },
])("$what", async ({ lookup }) => {
  process.getBuiltinModule = lookup as unknown as typeof original;
  vi.resetModules();
  const { compress, compressors, decompress, describe } = await import("../src/index.ts");
  const data = prose(3000);
  for (const { name, backend, backends, shrinks } of describe()) {
    expect([backend, ...backends]).toEqual(["portable", "portable"]);
    const stored = compress(name, data);
    expect(decompress(stored, { maxBytes: data.length })).toEqual(data);
    expect(stored.length < data.length).toBe(shrinks);
    expect(() => compress(name, data, { backend: "node" })).toThrow(/there is: portable/);
  }
  expect(Object.keys(compressors)).toHaveLength(17);
});
