// The memory cache never holds more than its cap, whatever is asked of it; it forgets what was not used for the longest;
// and nobody can change what it holds through the bytes that were put.
import fc from "fast-check";
import { expect, it } from "vitest";
import { memoryCache, memoryEntryOverheadBytes } from "../src/cache/memory-cache.ts";

const costOf = (key: string, length: number): number =>
  length + key.length * 2 + memoryEntryOverheadBytes;

it("holds the cap, and finds what a simple model finds", async () => {
  const command = fc.record({
    key: fc.constantFrom("a", "b", "c", "d", "e", "ffffffff"),
    length: fc.integer({ min: 0, max: 700 }),
    isGet: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 2000 }),
      fc.array(command, { maxLength: 60 }),
      async (maxBytes, commands) => {
        const cache = memoryCache({ maxBytes });
        // Oldest first.
        let model: { key: string; length: number }[] = [];
        const used = (): number =>
          model.reduce((sum, { key, length }) => sum + costOf(key, length), 0);
        for (const { isGet, key, length } of commands) {
          const known = model.find((entry) => entry.key === key);
          model = model.filter((entry) => entry.key !== key);
          if (isGet) {
            expect((await cache.get(key))?.length).toBe(known?.length);
            if (known) model.push(known);
          } else {
            await cache.put(key, new Uint8Array(length));
            if (costOf(key, length) <= maxBytes) {
              while (used() + costOf(key, length) > maxBytes) model.shift();
              model.push({ key, length });
            }
          }
          expect(cache.usedBytes).toBe(used());
          expect(cache.usedBytes).toBeLessThanOrEqual(maxBytes);
        }
      },
    ),
  );
});

it("keeps copies", async () => {
  const cache = memoryCache({ maxBytes: 10_000 });
  const buffer = new Uint8Array(1000).fill(1);
  await cache.put("k", buffer.subarray(0, 10));
  buffer.fill(2);
  const found = await cache.get("k");
  expect(found).toEqual(new Uint8Array(10).fill(1));
  expect(found!.buffer.byteLength).toBe(10);
});

it("a closed cache is empty and stays so", async () => {
  const cache = memoryCache({ maxBytes: 10_000 });
  await cache.put("k", new Uint8Array(1));
  await cache.close();
  await cache.put("l", new Uint8Array(1));
  expect([await cache.get("k"), await cache.get("l"), cache.usedBytes]).toEqual([
    undefined,
    undefined,
    0,
  ]);
});

it("an abort reaches the caller as it is; a cap below zero is refused", async () => {
  const cache = memoryCache({ maxBytes: 10 });
  await expect(cache.get("k", { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
  expect(() => memoryCache({ maxBytes: -1 })).toThrow(RangeError);
  expect(() => memoryCache({ maxBytes: Number.NaN })).toThrow(RangeError);
});
