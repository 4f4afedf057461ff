// Every back-end opens what kopia encrypted, makes the same bytes with the same nonce, and refuses what kopia refuses.
import { fromHex, IntegrityError, toHex, UnsupportedError } from "@dm/core";
import { generate, loadVectors, sha256Hex } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { createEncryption, describeEncryption, encryptionAlgorithms } from "../src/index.ts";

const vectors = loadVectors("encryption");

interface Recorded {
  readonly masterKey: string;
  readonly contentID: string;
  readonly plaintext: string;
  readonly ciphertexts: readonly string[];
}

interface Large {
  readonly masterKey: string;
  readonly contentID: string;
  readonly nonce: string;
  readonly plaintext: Parameters<typeof generate>[0];
  readonly ciphertextLength: number;
  readonly ciphertextSha256: string;
}

it("knows exactly the recorded algorithms", () => {
  expect(Object.keys(encryptionAlgorithms).sort()).toEqual(Object.keys(vectors.algorithms).sort());
});

it.each(vectors.unknownAlgorithms as ReadonlyArray<string | { readonly name: string }>)(
  "refuses %j by name",
  (unknown) => {
    const name = typeof unknown === "string" ? unknown : unknown.name;
    expect(() => createEncryption(name, new Uint8Array(32))).toThrow(UnsupportedError);
  },
);

describe.each(describeEncryption())("$algorithm", ({ algorithm, available }) => {
  const { cases, large, mustReject } = vectors.algorithms[algorithm];
  describe.each(available)("%s", (backend) => {
    it.each(cases as Recorded[])(
      "content $contentID",
      ({ ciphertexts, contentID, masterKey, plaintext }) => {
        const encryption = createEncryption(algorithm, fromHex(masterKey), { backend });
        for (const ciphertext of ciphertexts) {
          const stored = fromHex(ciphertext);
          expect(toHex(encryption.decrypt(stored, fromHex(contentID)))).toBe(plaintext);
          const nonce = stored.subarray(0, 12);
          expect(toHex(encryption.encrypt(fromHex(plaintext), fromHex(contentID), { nonce }))).toBe(
            ciphertext,
          );
        }
      },
    );

    it.each(large as Large[])(
      "$plaintext.len bytes",
      ({ contentID, masterKey, nonce, plaintext, ...expected }) => {
        const encryption = createEncryption(algorithm, fromHex(masterKey), { backend });
        const bytes = generate(plaintext);
        const stored = encryption.encrypt(bytes, fromHex(contentID), { nonce: fromHex(nonce) });
        expect(stored.length).toBe(expected.ciphertextLength);
        expect(sha256Hex(stored)).toBe(expected.ciphertextSha256);
        expect(Buffer.compare(encryption.decrypt(stored, fromHex(contentID)), bytes)).toBe(0);
      },
    );

    it.each(
      mustReject as Array<{
        what: string;
        masterKey: string;
        contentID: string;
        ciphertext: string;
      }>,
    )("refuses: $what", ({ ciphertext, contentID, masterKey }) => {
      const encryption = createEncryption(algorithm, fromHex(masterKey), { backend });
      expect(() => encryption.decrypt(fromHex(ciphertext), fromHex(contentID))).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^DM_(DECRYPT_FAILED|CIPHERTEXT_TRUNCATED)$/),
        }),
      );
    });
  });

  it("lets every back-end read every other", () => {
    const key = new Uint8Array(32).fill(7);
    const iv = new Uint8Array(16).fill(9);
    const plaintext = generate({ kind: "splitmix64", seed: 3, len: 70_001 });
    for (const writer of available) {
      const stored = createEncryption(algorithm, key, { backend: writer }).encrypt(plaintext, iv);
      for (const reader of available) {
        expect(
          Buffer.compare(
            createEncryption(algorithm, key, { backend: reader }).decrypt(stored, iv),
            plaintext,
          ),
        ).toBe(0);
      }
    }
  });

  it("refuses every flipped bit of a small content", () => {
    const encryption = createEncryption(algorithm, new Uint8Array(32));
    const iv = new Uint8Array(16);
    const stored = encryption.encrypt(Uint8Array.of(1, 2, 3, 4, 5), iv);
    for (let bit = 0; bit < stored.length * 8; bit++) {
      const damaged = stored.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => encryption.decrypt(damaged, iv), `bit ${bit}`).toThrow(IntegrityError);
    }
  });
});
