// What each compressor writes is read back as it was, whichever back-end wrote and whichever reads, from any view.
import { splitmix64 } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compress, compressors, decompress, describe as describeBackends } from "../src/index.ts";
import { backendsOf, prose, supported } from "./support.ts";

const inputs: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  "one byte": Uint8Array.of(7),
  random: splitmix64(1n, 1_300_000),
  text: prose(700_000),
  zeros: new Uint8Array(5000),
  "half random": Uint8Array.from(splitmix64(2n, 300_000), (byte, index) =>
    (index >> 9) & 1 ? 0 : byte,
  ),
};

describe.each(supported)("$name written with $backend", ({ name, backend }) => {
  it.each(Object.keys(inputs))("%s", (key) => {
    const data = inputs[key]!;
    const stored = compress(name, data, { backend });
    expect(new DataView(stored.buffer, stored.byteOffset).getUint32(0)).toBe(
      compressors[name].headerId,
    );
    for (const reader of backendsOf(name)) {
      const read = decompress(stored, { maxBytes: data.length, backend: reader });
      expect(Buffer.compare(read, data)).toBe(0);
      expect(read.buffer.byteLength).toBe(read.length);
    }
  });

  it("10 MiB of zeros, which shrink to next to nothing", () => {
    const data = new Uint8Array(10 << 20);
    const stored = compress(name, data, { backend });
    expect(stored.length).toBeLessThan(50_000);
    for (const reader of backendsOf(name)) {
      expect(
        Buffer.compare(decompress(stored, { maxBytes: data.length, backend: reader }), data),
      ).toBe(0);
    }
  });

  it("gives the same bytes whatever was compressed before", () => {
    const stored = compress(name, inputs.text!, { backend });
    compress(name, inputs.random!, { backend });
    expect(compress(name, inputs.text!, { backend })).toEqual(stored);
  });
});

it("shrinks text wherever `describe` says so, and only there", () => {
  const text = inputs.text!;
  for (const { name, backend, shrinks } of describeBackends()) {
    expect(compress(name, text, { backend }).length < text.length / 2).toBe(shrinks);
  }
});

it("any data, at any offset of its buffer", () => {
  const pieces = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 400 }))
        .map(([unit, count]) =>
          Uint8Array.from(
            { length: unit.length * count },
            (_, index) => unit[index % unit.length]!,
          ),
        ),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(
      pieces,
      fc.constantFrom(...supported),
      fc.nat(9),
      (parts, { name, backend }, offset) => {
        const padded = Buffer.concat([Buffer.alloc(offset, 0xaa), ...parts, Buffer.alloc(3, 0x55)]);
        const data = new Uint8Array(
          padded.buffer,
          padded.byteOffset + offset,
          padded.length - offset - 3,
        );
        const shifted = Buffer.concat([
          Buffer.alloc(offset),
          compress(name, data, { backend }),
          Buffer.alloc(5),
        ]);
        const stored = new Uint8Array(
          shifted.buffer,
          shifted.byteOffset + offset,
          shifted.length - offset - 5,
        );
        for (const reader of backendsOf(name)) {
          expect(
            Buffer.compare(decompress(stored, { maxBytes: data.length, backend: reader }), data),
          ).toBe(0);
        }
      },
    ),
    { numRuns: 600 },
  );
});
