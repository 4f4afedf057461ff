// Whatever the data: every back-end reads every other, makes the same bytes with the same nonce, and refuses each altered bit,
// each cut, another key and another iv; the caller's bytes stay the caller's.
import { IntegrityError } from "@dm/core";
import { generate } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEncryption, describeEncryption } from "../src/index.ts";

const seed = process.env["DM_SEED"];
if (seed) fc.configureGlobal({ seed: Number(seed) });
const runs = (count: number): { numRuns: number } => ({
  numRuns: process.env["DM_FULL"] ? count * 20 : count,
});

const masterKey = fc.uint8Array({ minLength: 1, maxLength: 64 });
const iv = fc.uint8Array({ minLength: 16, maxLength: 32 });
const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 });

/** Around the ciphers' blocks, and around the 64 KiB pieces of the node back-end. */
const plaintext = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.nat(200) },
      { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536, 65_537, 131_072, 131_100) },
    ),
    fc.nat(),
  )
  .map(([len, seed]) => generate({ kind: "splitmix64", seed, len }));

/** The same bytes in the midst of others. */
function within(bytes: Uint8Array): Uint8Array {
  const around = new Uint8Array(bytes.length + 10).fill(0xee);
  around.set(bytes, 5);
  return around.subarray(5, 5 + bytes.length);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe.each(describeEncryption())("$algorithm", ({ algorithm, available, backend }) => {
  it("round trips between all back-ends, which write the same bytes", () => {
    fc.assert(
      fc.property(masterKey, iv, nonce, plaintext, (key, contentIv, givenNonce, data) => {
        const all = available.map((name) => createEncryption(algorithm, key, { backend: name }));
        const inputs = [key, contentIv, givenNonce, data];
        const copies = inputs.map((bytes) => bytes.slice());
        const stored = all.map((one) => one.encrypt(data, contentIv, { nonce: givenNonce }));
        for (const [index, bytes] of stored.entries()) {
          expect(bytes.length).toBe(data.length + all[index]!.overheadBytes);
          expect(same(bytes, stored[0]!)).toBe(true);
          for (const reader of all) {
            expect(same(reader.decrypt(within(bytes), within(contentIv)), data)).toBe(true);
          }
        }
        for (const [index, bytes] of inputs.entries())
          expect(same(bytes, copies[index]!)).toBe(true);
      }),
      runs(60),
    );
  });

  describe.each(available)("%s", (name) => {
    const key = Uint8Array.from({ length: 32 }, (_, index) => index);
    const contentIv = Uint8Array.from({ length: 16 }, (_, index) => 200 + index);
    const encryption = createEncryption(algorithm, key, { backend: name });

    it("refuses every altered bit, wherever it is", () => {
      fc.assert(
        fc.property(plaintext, fc.double({ min: 0, max: 1, noNaN: true }), (data, where) => {
          const stored = encryption.encrypt(data, contentIv);
          const bits = new Set([0, 95, stored.length * 8 - 128, stored.length * 8 - 1]);
          bits.add(Math.min(Math.floor(where * stored.length * 8), stored.length * 8 - 1));
          for (const bit of bits) {
            stored[bit >> 3]! ^= 1 << (bit & 7);
            expect(() => encryption.decrypt(stored, contentIv), `bit ${bit}`).toThrow(
              IntegrityError,
            );
            stored[bit >> 3]! ^= 1 << (bit & 7);
          }
          expect(same(encryption.decrypt(stored, contentIv), data)).toBe(true);
        }),
        runs(40),
      );
    });

    it("refuses every truncation and every extension", () => {
      const stored = encryption.encrypt(
        generate({ kind: "splitmix64", seed: 1, len: 50 }),
        contentIv,
      );
      for (let length = 0; length < stored.length; length++) {
        const wanted =
          length < encryption.overheadBytes
            ? { name: "FormatError", code: "DM_CIPHERTEXT_TRUNCATED" }
            : { name: "IntegrityError", code: "DM_DECRYPT_FAILED" };
        expect(() => encryption.decrypt(stored.subarray(0, length), contentIv)).toThrow(
          expect.objectContaining(wanted),
        );
      }
      for (const extra of [1, 16, 28]) {
        const longer = new Uint8Array(stored.length + extra);
        longer.set(stored);
        expect(() => encryption.decrypt(longer, contentIv)).toThrow(IntegrityError);
      }
    });

    it("refuses another iv, another key and the other cipher", () => {
      const stored = encryption.encrypt(Uint8Array.of(1, 2, 3), contentIv);
      for (let bit = 0; bit < contentIv.length * 8; bit++) {
        const other = contentIv.slice();
        other[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => encryption.decrypt(stored, other), `bit ${bit}`).toThrow(IntegrityError);
      }
      const longer = Uint8Array.of(...contentIv, 0);
      expect(() => encryption.decrypt(stored, longer)).toThrow(IntegrityError);
      expect(() => encryption.decrypt(stored, contentIv.subarray(1))).toThrow(IntegrityError);
      const otherKey = createEncryption(algorithm, key.toReversed(), { backend: name });
      expect(() => otherKey.decrypt(stored, contentIv)).toThrow(IntegrityError);
      for (const cipher of describeEncryption()) {
        if (cipher.algorithm === algorithm) continue;
        const other = createEncryption(cipher.algorithm, key);
        expect(() => other.decrypt(stored, contentIv)).toThrow(IntegrityError);
      }
    });

    it("writes where it is told, and nowhere else", () => {
      const data = generate({ kind: "splitmix64", seed: 2, len: 70_000 });
      const givenNonce = new Uint8Array(12).fill(3);
      const expected = encryption.encrypt(data, contentIv, { nonce: givenNonce });
      const pack = new Uint8Array(80_000).fill(0xaa);
      const output = pack.subarray(100, 75_000);
      const stored = encryption.encrypt(data, contentIv, { nonce: givenNonce, output });
      expect(stored.buffer).toBe(pack.buffer);
      expect(stored.byteOffset).toBe(100);
      expect(same(stored, expected)).toBe(true);
      expect(pack.subarray(0, 100).every((byte) => byte === 0xaa)).toBe(true);
      expect(pack.subarray(100 + stored.length).every((byte) => byte === 0xaa)).toBe(true);
      const short = new Uint8Array(data.length + encryption.overheadBytes - 1);
      expect(() => encryption.encrypt(data, contentIv, { output: short })).toThrow(RangeError);
      expect(short.every((byte) => byte === 0)).toBe(true);
    });

    it("encrypts many in one call as one by one, into one pack without copies", () => {
      const lengths = [0, 1, 5000, 66_000, 17];
      const pack = new Uint8Array(lengths.reduce((sum, length) => sum + length + 28, 0));
      let end = 0;
      const items = lengths.map((len, index) => {
        const start = end;
        end += len + 28;
        return {
          plaintext: generate({ kind: "splitmix64", seed: index, len }),
          iv: new Uint8Array(16).fill(index),
          nonce: new Uint8Array(12).fill(index + 100),
          output: pack.subarray(start, end),
        };
      });
      const expected = items.map(({ plaintext: data, iv: itemIv, nonce: itemNonce }) =>
        encryption.encrypt(data, itemIv, { nonce: itemNonce }),
      );
      const stored = encryption.encryptMany(items);
      expect(stored).toEqual(expected);
      expect(stored.every((bytes) => bytes.buffer === pack.buffer)).toBe(true);
      expect(same(pack, Buffer.concat(expected))).toBe(true);
      expect(encryption.encryptMany([])).toEqual([]);

      const fresh = encryption.encryptMany(items.map(({ plaintext, iv }) => ({ plaintext, iv })));
      for (const [index, bytes] of fresh.entries()) {
        expect(bytes.buffer.byteLength).toBe(bytes.length);
        const opened = encryption.decrypt(bytes, items[index]!.iv);
        expect(same(opened, items[index]!.plaintext)).toBe(true);
      }
    });

    it("keeps no hold of the master key, and hands out plaintext that is the caller's alone", () => {
      const own = key.slice();
      const one = createEncryption(algorithm, own, { backend: name });
      own.fill(0);
      const stored = encryption.encrypt(Uint8Array.of(9, 8, 7), contentIv);
      const first = one.decrypt(stored, contentIv);
      expect([...first]).toEqual([9, 8, 7]);
      expect(Object.getPrototypeOf(first)).toBe(Uint8Array.prototype);
      expect(first.buffer.byteLength).toBe(3);
      one.decrypt(encryption.encrypt(Uint8Array.of(1, 1, 1), contentIv), contentIv);
      stored.fill(0);
      expect([...first]).toEqual([9, 8, 7]);
    });
  });

  it("says which back-end is in use", () => {
    expect(available[0]).toBe(backend);
    expect(available).toContain("noble");
    expect(createEncryption(algorithm, new Uint8Array(32))).toMatchObject({
      algorithm,
      backend,
      overheadBytes: 28,
    });
  });
});

it("refuses what it does not know, and lists what it knows", () => {
  const key = new Uint8Array(32);
  for (const name of ["ROT13", "toString", "", "XCHACHA20-POLY1305"]) {
    expect(() => createEncryption(name, key)).toThrow(
      expect.objectContaining({
        code: "DM_ENCRYPTION_UNKNOWN",
        message: expect.stringMatching(/AES256-GCM-HMAC-SHA256, CHACHA20-POLY1305-HMAC-SHA256/),
      }),
    );
  }
  expect(() => createEncryption("SALSA20-HMAC", key)).toThrow(/dropped from the format/);
  expect(() => createEncryption("AES256-GCM-HMAC-SHA256", key, { backend: "enigma" })).toThrow(
    expect.objectContaining({
      code: "DM_ENCRYPTION_BACKEND_UNKNOWN",
      message: expect.stringContaining("noble"),
    }),
  );
});
