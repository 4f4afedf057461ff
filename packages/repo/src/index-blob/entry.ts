/**
 * One index entry: where a content is stored, and how.
 * Format: docs/format/indexes.md. Proof: test/index-vectors.test.ts.
 * @module
 */
import type { ContentId } from "../content-id.ts";

/** Where one content is stored, and how. */
export interface IndexEntry {
  readonly contentId: ContentId;
  /** Unix seconds. */
  readonly timestampSeconds: number;
  readonly packBlobId: string;
  /** Bytes from the start of the pack blob. */
  readonly packOffset: number;
  /** Stored bytes, with encryption and error correction. */
  readonly packedLength: number;
  /** Plaintext bytes. */
  readonly originalLength: number;
  /** 0 for none. */
  readonly compressionHeaderId: number;
  /** Format version of the repository when the entry was written. */
  readonly formatVersion: number;
  /** Always 0 so far. */
  readonly encryptionKeyId: number;
  readonly deleted: boolean;
}

/** Which of two entries for one content counts: the later, then the live one, then the greater pack id. */
export function preferEntry(a: IndexEntry, b: IndexEntry): IndexEntry {
  if (a.timestampSeconds !== b.timestampSeconds)
    return a.timestampSeconds > b.timestampSeconds ? a : b;
  if (a.deleted !== b.deleted) return a.deleted ? b : a;
  return a.packBlobId > b.packBlobId ? a : b;
}
