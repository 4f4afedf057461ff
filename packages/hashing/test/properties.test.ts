// Whatever the data: every back-end gives the same digest, one by one or many at once, and touches nothing of the caller's.
import { UnsupportedError } from "@dm/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createHash, describeHashing, hashAlgorithms } from "../src/index.ts";

const secret = Uint8Array.from({ length: 32 }, (_, index) => index);

/** Lengths around the block sizes of all primitives, and some beyond. */
const block = fc
  .tuple(
    fc.oneof(
      fc.nat(300),
      fc.constantFrom(
        63,
        64,
        65,
        127,
        128,
        129,
        135,
        136,
        137,
        143,
        144,
        1023,
        1024,
        1025,
        5000,
        20000,
      ),
    ),
    fc.nat(255),
  )
  .map(([length, seed]) => Uint8Array.from({ length }, (_, index) => (index * 131 + seed) & 255));

describe.each(describeHashing())("$algorithm", (described) => {
  const { algorithm, available, backend, manyBackend, smallBackend } = described;
  const reference = createHash(algorithm, secret, { backend: "noble" });

  it("is the same with every back-end, for one block and for many", () => {
    const hashes = available.map((name) => createHash(algorithm, secret, { backend: name }));
    hashes.push(createHash(algorithm, secret));
    fc.assert(
      fc.property(fc.array(block, { maxLength: 7 }), (blocks) => {
        const copies = blocks.map((data) => data.slice());
        const expected = blocks.map((data) => reference.digest(data));
        for (const hash of hashes) {
          expect(hash.digestMany(blocks)).toEqual(expected);
          expect(blocks.map((data) => hash.digest(data))).toEqual(expected);
        }
        expect(blocks).toEqual(copies);
      }),
      { numRuns: 40 },
    );
  });

  it("takes views that begin anywhere, and hands out bytes that nobody else changes", () => {
    const hash = createHash(algorithm, secret);
    expect(hash).toMatchObject({
      algorithm,
      backend,
      smallBackend,
      manyBackend,
      digestLength: hashAlgorithms[algorithm].digestLength,
    });
    const whole = Uint8Array.from({ length: 700 }, (_, index) => index & 255);
    const view = whole.subarray(3, 603);
    const first = hash.digest(view);
    const kept = first.slice();
    expect(first).toEqual(hash.digest(view.slice()));
    hash.digest(whole);
    hash.digestMany([whole, view]);
    expect(first).toEqual(kept);
    expect(first.length).toBe(hash.digestLength);
    expect(first.buffer.byteLength).toBe(first.length);
  });

  it("keeps a copy of the secret", () => {
    const own = secret.slice();
    const hash = createHash(algorithm, own);
    own.fill(0);
    expect(hash.digest(secret)).toEqual(reference.digest(secret));
  });

  it("depends on the secret and on every bit", () => {
    const other = createHash(algorithm, secret.toReversed());
    expect(other.digest(secret)).not.toEqual(reference.digest(secret));
    const digests = new Set<string>();
    for (let bit = 0; bit < 256; bit += 1) {
      const data = secret.slice();
      data[bit >> 3]! ^= 1 << (bit & 7);
      digests.add(reference.digest(data).join());
    }
    expect(digests.size).toBe(256);
  });
});

it("refuses what it does not know, and lists what it knows", () => {
  expect(() => createHash("MD5", secret)).toThrow(UnsupportedError);
  expect(() => createHash("toString", secret)).toThrow(/BLAKE2B-256-128/);
  expect(() => createHash("BLAKE3-256", secret, { backend: "abacus" })).toThrow(
    expect.objectContaining({ code: "DM_HASH_BACKEND_UNKNOWN" }),
  );
  expect(() => createHash("BLAKE2S-128", new Uint8Array(0))).toThrow(RangeError);
  expect(() => createHash("BLAKE2B-256", new Uint8Array(65))).toThrow(RangeError);
});
