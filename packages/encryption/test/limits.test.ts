// The key derivations and the plain pieces at the edges of what they take, and against published vectors.
import { fromHex, toHex, utf8Encode } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  aes256GcmOpen,
  aes256GcmSeal,
  derivePasswordKey,
  hkdfSha256,
  hmacSha256,
  keyDerivationAlgorithms,
} from "../src/index.ts";

describe.each(Object.values(keyDerivationAlgorithms))("$name", ({ keyBytes, name: algorithm }) => {
  it("takes salts of 16 bytes and more, and passwords of any length, alike on both back-ends", async () => {
    const cases = [
      { password: "", salt: new Uint8Array(16) },
      { password: "ä".repeat(500), salt: Uint8Array.from({ length: 100 }, (_, index) => index) },
    ];
    const keys = new Set<string>();
    for (const { password, salt } of cases) {
      const around = new Uint8Array(salt.length + 9);
      around.set(salt, 4);
      const view = around.subarray(4, 4 + salt.length);
      const key = await derivePasswordKey(password, { algorithm, salt: view });
      expect(key.length).toBe(keyBytes);
      expect(key.buffer.byteLength).toBe(keyBytes);
      const portable = await derivePasswordKey(password, { algorithm, salt, backend: "noble" });
      expect(toHex(portable)).toBe(toHex(key));
      keys.add(toHex(key));
    }
    expect(keys.size).toBe(cases.length);
  });

  it("derives several at once", async () => {
    const salts = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));
    const derive = (salt: Uint8Array): Promise<Uint8Array> =>
      derivePasswordKey("x", { algorithm, salt });
    const together = await Promise.all(salts.map(derive));
    for (const [index, salt] of salts.entries())
      expect(toHex(together[index]!)).toBe(toHex(await derive(salt)));
  });

  it.each([0, 1, 15])("refuses a salt of %i bytes", async (length) => {
    for (const backend of [undefined, "noble"]) {
      const key = derivePasswordKey("x", { algorithm, salt: new Uint8Array(length), backend });
      await expect(key).rejects.toMatchObject({ name: "FormatError", code: "DM_SALT_TOO_SHORT" });
    }
  });

  it("ends with the reason of an abort that comes during the work", async () => {
    const abort = new AbortController();
    const key = derivePasswordKey("x", {
      algorithm,
      salt: new Uint8Array(32),
      signal: abort.signal,
    });
    abort.abort(new Error("enough"));
    await expect(key).rejects.toThrow("enough");
  });

  it("refuses a back-end that it does not know", async () => {
    const options = { algorithm, salt: new Uint8Array(32), backend: "abacus" };
    await expect(derivePasswordKey("x", options)).rejects.toMatchObject({
      name: "UnsupportedError",
      code: "DM_ENCRYPTION_BACKEND_UNKNOWN",
    });
  });
});

it.each(["", "argon2id", "scrypt-131072-8-1", "testing-only-insecure", "toString"])(
  "refuses the key derivation %j with the known names",
  async (algorithm) => {
    const key = derivePasswordKey("x", { algorithm, salt: new Uint8Array(32) });
    await expect(key).rejects.toMatchObject({
      name: "UnsupportedError",
      code: "DM_KEY_DERIVATION_UNKNOWN",
      message: expect.stringContaining("scrypt-65536-8-1, pbkdf2-sha256-600000"),
    });
  },
);

describe("HKDF", () => {
  it.each([
    {
      case: "1",
      key: "0b".repeat(22),
      salt: "000102030405060708090a0b0c",
      info: "f0f1f2f3f4f5f6f7f8f9",
      length: 42,
      output:
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    },
    {
      case: "3",
      key: "0b".repeat(22),
      salt: "",
      info: "",
      length: 42,
      output:
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    },
  ])("RFC 5869 test case $case", ({ info, key, length, output, salt }) => {
    const options = { salt: fromHex(salt), info: fromHex(info), length };
    expect(toHex(hkdfSha256(fromHex(key), options))).toBe(output);
  });

  it("gives 0 to 8160 bytes, each a beginning of the longer", () => {
    const options = { salt: new Uint8Array(1), info: utf8Encode("x") };
    const longest = hkdfSha256(new Uint8Array(32), { ...options, length: 255 * 32 });
    for (const length of [0, 1, 31, 32, 33, 8159]) {
      const key = hkdfSha256(new Uint8Array(32), { ...options, length });
      expect(toHex(key)).toBe(toHex(longest.subarray(0, length)));
    }
    for (const length of [255 * 32 + 1, -1]) {
      expect(() => hkdfSha256(new Uint8Array(32), { ...options, length })).toThrow(RangeError);
    }
  });
});

it.each([
  [
    "2",
    utf8Encode("Jefe"),
    utf8Encode("what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  ],
  [
    "6, a key longer than a block",
    new Uint8Array(131).fill(0xaa),
    utf8Encode("Test Using Larger Than Block-Size Key - Hash Key First"),
    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
  ],
] as const)("HMAC-SHA-256, RFC 4231 test case %s", (_, key, data, digest) => {
  expect(toHex(hmacSha256(key, data))).toBe(digest);
});

describe("AES-256-GCM", () => {
  // The GCM specification's test case 16.
  const key = fromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  const nonce = fromHex("cafebabefacedbaddecaf888");
  const associatedData = fromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const plaintext = fromHex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
  );
  const sealed = fromHex(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
  );

  it("seals and opens the published case", () => {
    expect(toHex(aes256GcmSeal(key, nonce, plaintext, associatedData))).toBe(toHex(sealed));
    expect(toHex(aes256GcmOpen(key, nonce, sealed, associatedData))).toBe(toHex(plaintext));
  });

  it("tells what is too short from what is altered", () => {
    const open =
      (bytes: Uint8Array, usedNonce = nonce, data = associatedData): (() => unknown) =>
      () =>
        aes256GcmOpen(key, usedNonce, bytes, data);
    const truncated = expect.objectContaining({
      name: "FormatError",
      code: "DM_CIPHERTEXT_TRUNCATED",
    });
    const altered = expect.objectContaining({ name: "IntegrityError", code: "DM_DECRYPT_FAILED" });
    for (const length of [0, 15]) expect(open(sealed.subarray(0, length))).toThrow(truncated);
    for (const length of [0, 11])
      expect(open(sealed, nonce.subarray(0, length))).toThrow(truncated);
    expect(open(sealed.subarray(0, 16))).toThrow(altered);
    expect(open(sealed.subarray(1))).toThrow(altered);
    expect(open(sealed, nonce, associatedData.subarray(1))).toThrow(altered);
    expect(open(sealed, nonce.toReversed())).toThrow(altered);
  });

  it("refuses keys and nonces of other lengths", () => {
    for (const length of [0, 16, 31, 33]) {
      const other = new Uint8Array(length);
      expect(() => aes256GcmSeal(other, nonce, plaintext, associatedData)).toThrow(RangeError);
      expect(() => aes256GcmOpen(other, nonce, sealed, associatedData)).toThrow(RangeError);
    }
    const short = nonce.subarray(1);
    expect(() => aes256GcmSeal(key, short, plaintext, associatedData)).toThrow(RangeError);
  });
});
