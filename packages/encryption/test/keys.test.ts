// Password and key derivations agree with kopia on every back-end.
import { fromHex, toHex, UnsupportedError, utf8Encode } from "@dm/core";
import { loadVectors } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { derivePasswordKey, hkdfSha256 } from "../src/index.ts";

const vectors = loadVectors("keys");

describe("password to key", () => {
  interface Recorded {
    readonly algorithm: string;
    readonly password: string;
    readonly uniqueID: string;
    readonly formatEncryptionKey: string;
    readonly aesKey: string;
    readonly additionalData: string;
    readonly kopiaError?: string;
  }

  it.each(vectors.kdf as Recorded[])(
    "$algorithm of $password",
    async ({ algorithm, password, uniqueID, ...expected }) => {
      const salt = fromHex(uniqueID);
      if (expected.kopiaError) {
        await expect(derivePasswordKey(password, { algorithm, salt })).rejects.toMatchObject({
          code: "DM_SALT_TOO_SHORT",
        });
        return;
      }
      const key = await derivePasswordKey(password, { algorithm, salt });
      expect(toHex(key)).toBe(expected.formatEncryptionKey);
      expect(toHex(hkdfSha256(key, { salt, info: utf8Encode("AES"), length: 32 }))).toBe(
        expected.aesKey,
      );
      expect(toHex(hkdfSha256(key, { salt, info: utf8Encode("CHECKSUM"), length: 32 }))).toBe(
        expected.additionalData,
      );
    },
  );

  it("gives the same without Node's own", async () => {
    const salt = fromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    const key = await derivePasswordKey("p4ssw0rd", {
      algorithm: "scrypt-65536-8-1",
      salt,
      backend: "noble",
    });
    expect(toHex(key)).toBe("2b0693f92d5a26c700b6254b2dbe9823875c0c1b3839d00e8d22e61e84146190");
  });

  it("refuses unknown names and short salts", async () => {
    await expect(
      derivePasswordKey("x", { algorithm: "md5", salt: new Uint8Array(32) }),
    ).rejects.toThrow(UnsupportedError);
    const short = derivePasswordKey("x", {
      algorithm: "scrypt-65536-8-1",
      salt: new Uint8Array(15),
    });
    await expect(short).rejects.toMatchObject({ code: "DM_SALT_TOO_SHORT" });
  });

  it("takes no missing password for an empty one", async () => {
    const unset = process.env["DM_TEST_OF_AN_UNSET_VARIABLE"] as string;
    const key = derivePasswordKey(unset, {
      algorithm: "scrypt-65536-8-1",
      salt: new Uint8Array(32),
    });
    await expect(key).rejects.toThrow(TypeError);
  });

  it("ends with the reason of an abort", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(
      derivePasswordKey("x", { algorithm: "scrypt-65536-8-1", salt: new Uint8Array(32), signal }),
    ).rejects.toThrow("enough");
  });
});

interface RecordedHkdf {
  readonly masterKey: string;
  readonly salt: string;
  readonly info: string;
  readonly length: number;
  readonly key: string;
}

it.each(vectors.hkdf as RecordedHkdf[])(
  "hkdf for $info, $length bytes",
  ({ info, key, length, masterKey, salt }) => {
    expect(
      toHex(
        hkdfSha256(fromHex(masterKey), { salt: fromHex(salt), info: utf8Encode(info), length }),
      ),
    ).toBe(key);
  },
);
