// Packs: contents lie where the index says, the local index at the end rebuilds it, and a damaged end is noticed.
import { systemRandomBytes } from "@dm/core";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { contentIdFromHash } from "../src/content-id.ts";
import { createCrypter } from "../src/crypto/crypter.ts";
import { encodeFormatCopy } from "../src/format/format-copy.ts";
import { PackBuilder } from "../src/pack/pack-builder.ts";
import { packIndexOf, readPackIndex } from "../src/pack/pack-index.ts";
import { decodePostamble, encodePostamble } from "../src/pack/postamble.ts";
import { bytesOf, newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

describe("postamble", () => {
  it("round-trips, at the end of any tail", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.nat(2 ** 31 - 1),
        fc.nat(2 ** 31 - 1),
        fc.uint8Array({ maxLength: 300 }),
        (localIndexIv, localIndexOffset, localIndexLength, before) => {
          const postamble = { localIndexIv, localIndexOffset, localIndexLength };
          const tail = new Uint8Array(Buffer.concat([before, encodePostamble(postamble)]));
          expect(decodePostamble(tail)).toEqual(postamble);
        },
      ),
    );
  });

  it("is not found after any change of a byte or a cut", () => {
    const bytes = encodePostamble({
      localIndexIv: bytesOf(32),
      localIndexOffset: 1_000_000,
      localIndexLength: 500,
    });
    for (let position = 0; position < bytes.length; position += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const damaged = bytes.slice();
        damaged[position]! ^= 1 << bit;
        expect(decodePostamble(damaged)).toBeUndefined();
      }
      expect(decodePostamble(bytes.subarray(0, position))).toBeUndefined();
    }
  });

  it("in random bytes is never found by more than chance", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), (bytes) => {
        expect(decodePostamble(bytes)).toBeUndefined();
      }),
    );
  });
});

describe.each([1, 2] as const)("a pack with index version %i", (indexVersion) => {
  async function pack(count: number, length: number) {
    const { repository } = await newRepository({ version: indexVersion === 1 ? 1 : 3 });
    const crypter = createCrypter(repository.format, { randomBytes: systemRandomBytes });
    const builder = new PackBuilder({
      prefix: "p",
      sessionId: "s0123456789abcdef12",
      crypter,
      randomBytes: systemRandomBytes,
      indexVersion,
      formatCopy:
        indexVersion === 1
          ? encodeFormatCopy(repository.openedFormat.formatBlob)
          : new Uint8Array(0),
    });
    const plain = new Map<string, Uint8Array>();
    for (let i = 0; i < count; i += 1) {
      const data = bytesOf(length, i + 1);
      const contentId = contentIdFromHash("", crypter.hash.digest(data));
      plain.set(contentId, data);
      builder.add(
        {
          contentId,
          originalLength: data.length,
          compressionHeaderId: 0,
          formatVersion: repository.format.version,
          timestampSeconds: 1_700_000_000,
        },
        data,
      );
    }
    const { entries } = builder;
    const bytes = builder.finish().slice();
    return { blobId: builder.blobId, bytes, crypter, entries, plain, repository };
  }

  it("holds every content where its entry says, and its index repeats the entries", async () => {
    const { blobId, bytes, crypter, entries, plain, repository } = await pack(300, 500);
    for (const entry of entries) {
      const stored = bytes.slice(entry.packOffset, entry.packOffset + entry.packedLength);
      const decoded = repository.contentReader.decode(entry, stored);
      expect(Buffer.compare(decoded, plain.get(entry.contentId)!)).toBe(0);
    }
    const found = [...packIndexOf(crypter, blobId, bytes).entries()];
    const byId = new Map(found.map((entry) => [entry.contentId, entry]));
    expect(byId.size).toBe(300);
    for (const entry of entries) expect(byId.get(entry.contentId)).toEqual(entry);
    const store = memoryStore({ blobs: new Map([[blobId, bytes]]) });
    const read = await readPackIndex(store, crypter, blobId);
    expect([...read.entries()]).toEqual(found);
  });

  it("cut short or altered at the end is refused by name", async () => {
    const { blobId, bytes, crypter } = await pack(3, 50);
    for (const length of [0, 10, bytes.length - 1]) {
      const store = memoryStore({ blobs: new Map([[blobId, bytes.slice(0, length)]]) });
      await expect(readPackIndex(store, crypter, blobId)).rejects.toMatchObject({
        code: "DM_PACK_POSTAMBLE_MISSING",
        details: { blobId },
      });
    }
    const { localIndexOffset } = decodePostamble(bytes.subarray(-200))!;
    const altered = bytes.slice();
    altered[localIndexOffset + 20]! ^= 1;
    expect(() => packIndexOf(crypter, blobId, altered)).toThrow(
      expect.objectContaining({ code: "DM_PACK_INDEX_ALTERED" }),
    );
  });
});
