/** Index entries as the recorded vectors spell them, and arbitrary ones for property tests. */

import { type ContentId, parseContentId } from "../src/content-id.ts";
import type { IndexEntry } from "../src/index-blob/entry.ts";
import { fc } from "./property.ts";

export interface VectorEntry {
  readonly contentID: string;
  readonly packBlobID: string;
  readonly timestamp: number;
  readonly originalLength: number;
  readonly packedLength: number;
  readonly packOffset: number;
  readonly compression: number;
  readonly deleted: boolean;
  readonly formatVersion: number;
  readonly encryptionKeyID: number;
}

export function entryOf(vector: VectorEntry): IndexEntry {
  return {
    contentId: parseContentId(vector.contentID),
    timestampSeconds: vector.timestamp,
    packBlobId: vector.packBlobID,
    packOffset: vector.packOffset,
    packedLength: vector.packedLength,
    originalLength: vector.originalLength,
    compressionHeaderId: vector.compression,
    formatVersion: vector.formatVersion,
    encryptionKeyId: vector.encryptionKeyID,
    deleted: vector.deleted,
  };
}

/**
 * Ids are few, so that entries collide. What the rule of precedence does not look at follows from what it does, so that
 * there is never a tie between different entries.
 */
export function arbitraryEntry(version: 1 | 2, ids = 40): fc.Arbitrary<IndexEntry> {
  return fc
    .record({
      id: fc.nat(ids - 1),
      timestampSeconds: fc.integer({ min: 1_600_000_000, max: 1_600_000_010 }),
      pack: fc.nat(6),
      deleted: fc.boolean(),
    })
    .map(({ deleted, id, pack, timestampSeconds }) => {
      const mixed = Math.imul(id * 77 + pack * 7 + (timestampSeconds % 100), 0x9e3779b1) >>> 0;
      const originalLength = mixed % (2 ** 28 - 28);
      return {
        contentId: smallContentId(id),
        timestampSeconds,
        packBlobId: `p${pack.toString(16).repeat(4)}`,
        packOffset: mixed >>> (version === 1 ? 1 : 2),
        originalLength,
        packedLength: originalLength + 28,
        compressionHeaderId: version === 1 ? 0 : ([0, 0x1000, 0x1100][mixed % 3] as number),
        formatVersion: 1 + (mixed % 2),
        encryptionKeyId: 0,
        deleted,
      };
    });
}

/** One of a few ids, half of them with a prefix. */
export function smallContentId(number: number): ContentId {
  const hash = ((number * 0x9e3779b1) >>> 0).toString(16).padStart(8, "0").repeat(4);
  return parseContentId(number % 2 === 0 ? hash : `k${hash}`);
}
