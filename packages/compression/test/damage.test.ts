// Damaged data: a cut at every byte and every single flipped bit give a typed error or the data as it was. The exceptions,
// which lie in the formats, are spelled out here. Both back-ends come to the same result.
import { toHex } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BackendName, compress, decompress } from "../src/index.ts";
import { backendsOf, familyOf, oneOfEach, outcome, prose } from "./support.ts";

const maxBytes = 1 << 16;
/** Where the first data chunk of an S2 stream begins: after header ID and stream identifier. */
const s2FirstChunk = 14;
const texts = {
  prose: prose(420),
  mixed: Uint8Array.from([...prose(60), ...splitmix64(3n, 90), ...new Uint8Array(70)]),
};
const cases = oneOfEach.flatMap((name) =>
  Object.entries(texts).flatMap(([what, data]) =>
    backendsOf(name).map((writer) => ({
      name,
      what,
      data,
      writer,
      stored: compress(name, data, { backend: writer }),
    })),
  ),
);

function agreed(stored: Uint8Array, backends: readonly BackendName[]): Uint8Array | string {
  const results = backends.map((backend) => outcome(stored, maxBytes, backend));
  const comparable = results.map((result) =>
    typeof result === "string" ? "refused" : toHex(result),
  );
  expect(new Set(comparable).size).toBe(1);
  return results[0]!;
}

describe.each(cases)("$name of $what, written with $writer", ({ name, data, stored }) => {
  it("cut short", () => {
    const accepted: number[] = [];
    for (let length = 0; length < stored.length; length++) {
      const result = agreed(stored.subarray(0, length), backendsOf(name));
      if (typeof result === "string") continue;
      accepted.push(length);
      expect(toHex(result)).toBe("");
    }
    // No stream at all is an empty zstd or S2 stream; S2 also has no end mark, so its identifier alone (10 bytes) is whole.
    const family = familyOf(name);
    expect(accepted).toEqual(family === "zstd" ? [4] : family === "s2" ? [4, s2FirstChunk] : []);
  });

  it("with one bit flipped", () => {
    const unseen: number[] = [];
    for (let bit = 0; bit < stored.length * 8; bit++) {
      const damaged = stored.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const result = agreed(damaged, backendsOf(name));
      if (typeof result !== "string" && toHex(result) !== toHex(data)) unseen.push(bit);
    }
    const family = familyOf(name);
    // Raw deflate has no checksum: most flips within literals give other data. The content hash above it tells.
    if (family === "deflate") expect(unseen.length).toBeGreaterThan(0);
    // The top bit of an S2 chunk's type makes of it a chunk to be skipped: its data is missing without a trace.
    else expect(unseen).toEqual(family === "s2" ? [s2FirstChunk * 8 + 7] : []);
  });
});

it("S2 cut between two chunks reads as the data of the chunks before: the format cannot tell", () => {
  const data = splitmix64(4n, (1 << 20) + 1000);
  const stored = compress("s2-default", data);
  const oneChunk = 4 + 10 + 8 + (1 << 20);
  expect(
    toHex(decompress(stored.subarray(0, oneChunk), { maxBytes: data.length }).subarray(-8)),
  ).toBe(toHex(data.subarray((1 << 20) - 8, 1 << 20)));
});

it("any number of changed bytes in streams with a checksum: refused or unchanged, nothing but our own errors", () => {
  const checked = cases.filter(({ name }) => familyOf(name) !== "deflate");
  fc.assert(
    fc.property(
      fc.constantFrom(...checked),
      fc.array(fc.tuple(fc.nat(10_000), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 6,
      }),
      ({ name, data, stored }, edits) => {
        const damaged = stored.slice();
        for (const [position, change] of edits) {
          const at = 4 + (position % (stored.length - 4));
          if (familyOf(name) !== "s2" || at !== s2FirstChunk) damaged[at]! ^= change;
        }
        const result = agreed(damaged, backendsOf(name));
        if (typeof result !== "string") expect(toHex(result)).toBe(toHex(data));
      },
    ),
    { numRuns: 3000 },
  );
});

it("arbitrary bytes after a header: refused or read, the same by both back-ends", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0x1000, 0x1100, 0x1200, 0x1500),
      fc.uint8Array({ maxLength: 80 }),
      (id, body) => {
        const stored = Uint8Array.of(0, 0, id >> 8, id & 0xff, ...body);
        agreed(stored, id === 0x1200 ? ["portable"] : ["node", "portable"]);
      },
    ),
    { numRuns: 3000 },
  );
});
