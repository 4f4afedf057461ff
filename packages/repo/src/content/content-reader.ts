/**
 * From an index entry to plaintext: ranged read of the pack, then what content-decoder.ts does.
 * Format: docs/format/packs.md. Proof: test/golden.test.ts, test/damage.test.ts.
 * @module
 */
import { FormatError, isDmError, NotFoundError } from "@dm/core";
import type { BlobStore, CallOptions } from "@dm/storage";
import type { ContentCache } from "../cache/content-cache.ts";
import { type ContentId, contentIdPrefix } from "../content-id.ts";
import type { Crypter } from "../crypto/crypter.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { CommittedIndex } from "./committed-index.ts";
import { ContentDecoder, checkEntry } from "./content-decoder.ts";
import { PackWindows } from "./pack-windows.ts";

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
  readonly #decoder: ContentDecoder;
  /** For contents with a prefix. */
  readonly #windows: PackWindows;

  constructor(options: ContentReaderOptions) {
    this.#options = options;
    const { index, store } = options;
    this.#windows = new PackWindows({ store, index: () => index.current });
    this.#decoder = new ContentDecoder(options.crypter);
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
   * Reads the content that an entry describes. One ranged read of its pack unless cached, and one for several contents with
   * a prefix that lie side by side.
   * @throws {NotFoundError} `DM_PACK_NOT_FOUND` when the pack is gone
   * @throws {FormatError} `DM_PACK_TRUNCATED`, `DM_INDEX_ENTRY_INVALID`, `DM_CONTENT_LENGTH_MISMATCH`
   * @throws {IntegrityError} `DM_CONTENT_ALTERED` when the stored bytes do not authenticate
   * @throws {UnsupportedError} `DM_ENCRYPTION_KEY_UNKNOWN`, or the compressor is not known
   */
  async readEntry(entry: IndexEntry, options: CallOptions = {}): Promise<Uint8Array> {
    checkEntry(entry, this.#options.crypter);
    const { dataCache, metadataCache } = this.#options;
    const isData = contentIdPrefix(entry.contentId) === "";
    const cache = isData ? dataCache : metadataCache;
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
    const shared = isData ? undefined : await this.#windows.read(entry, options);
    if (shared) {
      try {
        const plaintext = this.decode(entry, shared);
        await cache?.put(key, shared);
        return plaintext;
      } catch (error) {
        // Read by itself it may be good, and is named with what is wrong.
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

  /** Plaintext of the stored bytes of an entry. Errors as {@link ContentDecoder.decode}. */
  decode(entry: IndexEntry, stored: Uint8Array): Uint8Array {
    return this.#decoder.decode(entry, stored);
  }

  /** Whether plaintext hashes to its content id: proof beyond the authentication tag. */
  matchesId(id: ContentId, plaintext: Uint8Array): boolean {
    return this.#decoder.matchesId(id, plaintext);
  }
}

function cacheKey(entry: IndexEntry): string {
  const { contentId, packBlobId, packOffset } = entry;
  return `${contentId}.${packBlobId}.${packOffset.toString(16)}`;
}
