/**
 * From the stored bytes of an index entry to plaintext: repair, decrypt, decompress, check of the length. Without a store, so
 * that a thread of its own can do it. Proof: test/golden.test.ts, test/damage.test.ts.
 * @module
 */
import { decompress } from "@dm/compression";
import { equalBytes, FormatError, IntegrityError, isDmError, UnsupportedError } from "@dm/core";
import { isBlobId } from "@dm/storage";
import { type ContentId, contentIdHash } from "../content-id.ts";
import { type Crypter, contentIv } from "../crypto/crypter.ts";
import type { IndexEntry } from "../index-blob/entry.ts";

/** Longest content: both lengths of an index entry have 28 bits. */
export const maxContentBytes = 2 ** 28 - 1;

/** Holds no state but the keys of its crypter. */
export class ContentDecoder {
  readonly #crypter: Crypter;

  constructor(crypter: Crypter) {
    this.#crypter = crypter;
  }

  /**
   * Plaintext of the stored bytes of an entry.
   * @throws {FormatError} `DM_INDEX_ENTRY_INVALID`, `DM_CONTENT_LENGTH_MISMATCH`, `DM_CONTENT_COMPRESSION_INVALID`
   * @throws {IntegrityError} `DM_CONTENT_ALTERED` when the stored bytes do not authenticate
   * @throws {UnsupportedError} `DM_ENCRYPTION_KEY_UNKNOWN`, or the compressor is not known
   */
  decode(entry: IndexEntry, stored: Uint8Array): Uint8Array {
    const crypter = this.#crypter;
    checkEntry(entry, crypter);
    const where = {
      contentId: entry.contentId,
      blobId: entry.packBlobId,
      offset: entry.packOffset,
    };
    let payload: Uint8Array;
    try {
      payload = crypter.open(stored, contentIv(contentIdHash(entry.contentId)));
    } catch (cause) {
      if (!isDmError(cause)) throw cause;
      throw new IntegrityError(
        "DM_CONTENT_ALTERED",
        `content ${entry.contentId} in pack ${entry.packBlobId} at offset ${entry.packOffset} is damaged: ${cause.message}`,
        where,
        { cause },
      );
    }
    const plaintext = entry.compressionHeaderId === 0 ? payload : this.#decompress(entry, payload);
    const expected = entry.originalLength;
    if (plaintext.length !== expected) {
      throw new FormatError(
        "DM_CONTENT_LENGTH_MISMATCH",
        `content ${entry.contentId} has ${plaintext.length} bytes, its index entry promises ${expected}`,
        { ...where, length: plaintext.length, expected },
      );
    }
    return plaintext;
  }

  #decompress(entry: IndexEntry, payload: Uint8Array): Uint8Array {
    try {
      return decompress(payload, {
        maxBytes: entry.originalLength,
        headerId: entry.compressionHeaderId,
      });
    } catch (cause) {
      if (!isDmError(cause) || cause instanceof UnsupportedError) throw cause;
      throw new FormatError(
        "DM_CONTENT_COMPRESSION_INVALID",
        `content ${entry.contentId} in pack ${entry.packBlobId} at offset ${entry.packOffset} does not decompress: ${cause.message}`,
        { contentId: entry.contentId, blobId: entry.packBlobId, offset: entry.packOffset },
        { cause },
      );
    }
  }

  /** Whether plaintext hashes to its content id: proof beyond the authentication tag. */
  matchesId(id: ContentId, plaintext: Uint8Array): boolean {
    return equalBytes(this.#crypter.hash.digest(plaintext), contentIdHash(id));
  }
}

/** Refuses what only a broken program with the keys can have written. */
export function checkEntry(entry: IndexEntry, crypter: Crypter): void {
  const where = { contentId: entry.contentId, blobId: entry.packBlobId, offset: entry.packOffset };
  if (entry.encryptionKeyId !== 0) {
    throw new UnsupportedError(
      "DM_ENCRYPTION_KEY_UNKNOWN",
      `content ${entry.contentId} is encrypted with key number ${entry.encryptionKeyId}; known: 0`,
      where,
    );
  }
  if (!isBlobId(entry.packBlobId)) {
    throw new FormatError(
      "DM_INDEX_ENTRY_INVALID",
      `index entry of content ${entry.contentId} names ${JSON.stringify(entry.packBlobId)} as its pack`,
      where,
    );
  }
  const hashLength = entry.contentId.length >> 1;
  if (hashLength !== crypter.hash.digestLength) {
    throw new FormatError(
      "DM_INDEX_ENTRY_INVALID",
      `index entry of content ${entry.contentId} has a hash of ${hashLength} bytes, this repository's have ${crypter.hash.digestLength}`,
      where,
    );
  }
  const maximum = crypter.storedLength(maxContentBytes);
  if (
    entry.packedLength < crypter.overheadBytes ||
    entry.packedLength > maximum ||
    entry.originalLength > maxContentBytes
  ) {
    throw new FormatError(
      "DM_INDEX_ENTRY_INVALID",
      `index entry of content ${entry.contentId} has impossible lengths ${entry.packedLength}/${entry.originalLength}`,
      { ...where, packedLength: entry.packedLength, originalLength: entry.originalLength },
    );
  }
}
