/**
 * From an index entry to plaintext: ranged read of the pack, repair, decrypt, decompress, check of the length.
 * Format: docs/format/packs.md. Proof: test/golden.test.ts, test/damage.test.ts.
 * @module
 */
import { decompress } from "@dm/compression";
import {
  equalBytes,
  FormatError,
  IntegrityError,
  isDmError,
  NotFoundError,
  UnsupportedError,
} from "@dm/core";
import { type BlobStore, type CallOptions, isBlobId } from "@dm/storage";
import type { ContentCache } from "../cache/content-cache.ts";
import { type ContentId, contentIdHash, contentIdPrefix } from "../content-id.ts";
import { type Crypter, contentIv } from "../crypto/crypter.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { CommittedIndex } from "./committed-index.ts";

/** Longest content: both lengths of an index entry have 28 bits. */
export const maxContentBytes = 2 ** 28 - 1;

export interface ContentReaderOptions {
  readonly store: BlobStore;
  readonly crypter: Crypter;
  readonly index: CommittedIndex;
  /** For data contents (no prefix). */
  readonly dataCache?: ContentCache | undefined;
  /** For contents with a prefix: directories, manifests, object indexes. */
  readonly metadataCache?: ContentCache | undefined;
}

/** Contents by id or by index entry, authenticated, decompressed and checked for their length. */
export class ContentReader {
  readonly #options: ContentReaderOptions;

  constructor(options: ContentReaderOptions) {
    this.#options = options;
  }

  get index(): CommittedIndex {
    return this.#options.index;
  }

  /** The index entry of a content, also of a deleted one; undefined when no index names it. */
  async info(id: ContentId, options: CallOptions = {}): Promise<IndexEntry | undefined> {
    return (await this.#options.index.get(options)).find(id);
  }

  /** @throws {NotFoundError} `DM_CONTENT_NOT_FOUND`, and everything that {@link ContentReader.readEntry} throws */
  async read(id: ContentId, options: CallOptions = {}): Promise<Uint8Array> {
    const entry = await this.info(id, options);
    try {
      if (entry) return await this.readEntry(entry, options);
    } catch (error) {
      if (!isDmError(error, "DM_PACK_NOT_FOUND")) throw error;
      // Maintenance of another client may have moved the content into another pack.
      const newer = await this.#afterRefresh(id, options);
      if (!newer || newer.packBlobId === entry?.packBlobId) throw error;
      return this.readEntry(newer, options);
    }
    const newer = await this.#afterRefresh(id, options);
    if (newer) return this.readEntry(newer, options);
    throw new NotFoundError("DM_CONTENT_NOT_FOUND", `content ${id} is in no index`, {
      contentId: id,
    });
  }

  /** Another client may have written the content, or moved it, since the index was loaded. */
  async #afterRefresh(id: ContentId, options: CallOptions): Promise<IndexEntry | undefined> {
    return (await this.#options.index.get({ ...options, fresh: true })).find(id);
  }

  /**
   * Reads the content that an entry describes. One ranged read of its pack unless cached.
   * @throws {NotFoundError} `DM_PACK_NOT_FOUND` when the pack is gone
   * @throws {FormatError} `DM_PACK_TRUNCATED`, `DM_INDEX_ENTRY_INVALID`, `DM_CONTENT_LENGTH_MISMATCH`
   * @throws {IntegrityError} `DM_CONTENT_ALTERED` when the stored bytes do not authenticate
   * @throws {UnsupportedError} `DM_ENCRYPTION_KEY_UNKNOWN`, or the compressor is not known
   */
  async readEntry(entry: IndexEntry, options: CallOptions = {}): Promise<Uint8Array> {
    checkEntry(entry, this.#options.crypter);
    const { dataCache, metadataCache } = this.#options;
    const cache = contentIdPrefix(entry.contentId) === "" ? dataCache : metadataCache;
    const key = cacheKey(entry);
    const cached = await cache?.get(key, { signal: options.signal });
    if (cached?.length === entry.packedLength) {
      try {
        return this.decode(entry, cached);
      } catch (error) {
        // The store may hold what the cache has lost.
        if (!isDmError(error)) throw error;
      }
    }
    const stored = await this.#packed(entry, options);
    const plaintext = this.decode(entry, stored);
    // Only what has proved good: a reading error must not stay.
    await cache?.put(key, stored);
    return plaintext;
  }

  async #packed(entry: IndexEntry, options: CallOptions): Promise<Uint8Array> {
    const { contentId, packBlobId: blobId, packOffset: offset, packedLength: length } = entry;
    try {
      return await this.#options.store.get(blobId, { offset, length, signal: options.signal });
    } catch (cause) {
      const where = { contentId, blobId, offset, length };
      if (isDmError(cause, "DM_BLOB_NOT_FOUND")) {
        throw new NotFoundError(
          "DM_PACK_NOT_FOUND",
          `pack ${blobId} with content ${contentId} is gone`,
          where,
          { cause },
        );
      }
      if (isDmError(cause, "DM_BLOB_RANGE_INVALID")) {
        throw new FormatError(
          "DM_PACK_TRUNCATED",
          `pack ${blobId} ends before content ${contentId} (${length} bytes at offset ${offset})`,
          where,
          { cause },
        );
      }
      throw cause;
    }
  }

  /** Plaintext of the stored bytes of an entry. */
  decode(entry: IndexEntry, stored: Uint8Array): Uint8Array {
    const { crypter } = this.#options;
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
    return equalBytes(this.#options.crypter.hash.digest(plaintext), contentIdHash(id));
  }
}

function cacheKey(entry: IndexEntry): string {
  const { contentId, packBlobId, packOffset } = entry;
  return `${contentId}.${packBlobId}.${packOffset.toString(16)}`;
}

/** Refuses what only a broken program with the keys can have written. */
function checkEntry(entry: IndexEntry, crypter: Crypter): void {
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
