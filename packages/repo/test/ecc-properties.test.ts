// Whatever is damaged: as many shards of a block as there are parity shards come back; beyond that it is refused, and
// what is cut short never crashes.
import { DmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { createEcc } from "../src/ecc/index.ts";
import { layoutOfData, shardParameters } from "../src/ecc/shard-layout.ts";
import { bytesOf } from "./new-repository.ts";
import { fc } from "./property.ts";

const percents = fc.constantFrom(1, 2, 3, 5, 7, 10, 33, 100);
const lengths = fc.oneof(fc.nat(40), fc.nat(3000), fc.nat(60_000));

describe("error correction", () => {
  it("round-trips any length at any overhead", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), lengths, (percent, length) => {
        const ecc = createEcc("REED-SOLOMON-CRC32", percent);
        const bytes = bytesOf(length, percent + 1);
        const encoded = ecc.encode(bytes);
        expect(encoded.length).toBe(ecc.encodedLength(length));
        const { data, repairedShards } = ecc.decode(encoded);
        expect(Buffer.compare(data, bytes)).toBe(0);
        expect(repairedShards).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("repairs as many shards as there are parity shards, wherever they lie, and refuses one more", () => {
    fc.assert(
      fc.property(percents, lengths, fc.infiniteStream(fc.nat(1e9)), (percent, length, random) => {
        const ecc = createEcc("REED-SOLOMON-CRC32", percent);
        const layout = layoutOfData(shardParameters(percent), length + 4);
        const { dataShards, parityShards, shardBytes } = layout;
        const bytes = bytesOf(length, 3);
        const encoded = ecc.encode(bytes);
        const stride = shardBytes + 4;
        // Offsets of the shards of the first block that are stored.
        const offsets = [
          ...Array.from({ length: parityShards }, (_, i) => i * stride),
          ...Array.from(
            { length: dataShards },
            (_, i) => (layout.blocks * parityShards + i) * stride,
          ),
        ].filter((offset) => offset < encoded.length);
        const order = offsets
          .map((offset) => ({ offset, key: random.next().value as number }))
          .sort((a, b) => a.key - b.key);
        const damage = (count: number): Uint8Array => {
          const damaged = encoded.slice();
          for (const { key, offset } of order.slice(0, count))
            damaged[Math.min(offset + (key % stride), encoded.length - 1)]! ^= 1 + (key % 255);
          return damaged;
        };
        const { data, repairedShards } = ecc.decode(damage(parityShards));
        expect(Buffer.compare(data, bytes)).toBe(0);
        expect(repairedShards).toBe(parityShards);
        expect(() => ecc.decode(damage(parityShards + 1))).toThrow(
          expect.objectContaining({ code: "DM_ECC_UNREPAIRABLE" }),
        );
      }),
      { numRuns: 60 },
    );
  });

  it("answers arbitrary bytes with a typed error or data, never with a crash", () => {
    fc.assert(
      fc.property(percents, fc.uint8Array({ maxLength: 5000 }), (percent, bytes) => {
        try {
          createEcc("REED-SOLOMON-CRC32", percent).decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DmError);
        }
      }),
    );
  });

  it("cut short anywhere is refused, repaired, or comes back with other bytes that do not authenticate", () => {
    const ecc = createEcc("REED-SOLOMON-CRC32", 2);
    const encoded = ecc.encode(bytesOf(2000));
    for (let length = 0; length < encoded.length; length += 1) {
      try {
        expect(ecc.decode(encoded.subarray(0, length)).data.length).toBeLessThanOrEqual(length);
      } catch (error) {
        expect(error).toBeInstanceOf(DmError);
      }
    }
  });
});
