/**
 * Writing contents: hash, deduplicate, compress, encrypt into a pack, store full packs, and at flush one set of index
 * blobs. Order of writes: session marker, packs, index blobs, removal of the marker. A content is acknowledged by the
 * `flush` that stores its index entry, not before. Format: docs/format/packs.md. Proof: test/write-session.test.ts,
 * test/kill.test.ts.
 * @module
 */
import { type CompressorName, compress, compressors } from "@dm/compression";
import {
  AccessError,
  type Clock,
  IntegrityError,
  isDmError,
  type Logger,
  NotFoundError,
  type RandomBytes,
  Semaphore,
} from "@dm/core";
import type { BlobStore, CallOptions } from "@dm/storage";
import { type ContentId, contentIdFromHash, contentIdPrefix } from "../content-id.ts";
import { type Crypter, sealBlob } from "../crypto/crypter.ts";
import { buildIndex, shardIndexEntries } from "../index-blob/build.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { IndexManager } from "../index-manager/index-manager.ts";
import { PackBuilder, type PackPrefix } from "../pack/pack-builder.ts";
import { type ContentReader, maxContentBytes } from "./content-reader.ts";
import { encodeSessionMarker, newSessionId } from "./session-marker.ts";

export interface ContentWriterOptions {
  readonly store: BlobStore;
  readonly crypter: Crypter;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly logger: Logger;
  readonly reader: ContentReader;
  readonly manager: IndexManager;
  readonly formatVersion: number;
  readonly indexVersion: 1 | 2;
  readonly maxPackSizeBytes: number;
  readonly formatCopy: Uint8Array;
  readonly username: string;
  readonly hostname: string;
  /** Packs that may be under way to the store while the next is filled. */
  readonly parallelUploads: number;
  /** Decrypts and re-hashes every content of a pack before it is stored. */
  readonly verifyBeforeUpload: boolean;
  /** Age of unflushed entries at which a write flushes by itself. */
  readonly flushIntervalMs: number;
  /** Called at the start of every operation: must throw when the repository must not be written. */
  readonly assertWritable: () => void;
}

export interface WriteContentOptions extends CallOptions {
  /** One letter `g`..`z`, or none for data. */
  readonly prefix?: string | undefined;
  /** Compressor to try; the content is stored plain when that is not smaller. Index v1 cannot hold compressed contents. */
  readonly compressor?: CompressorName | undefined;
}

/** Everything between two flushes. */
interface Generation {
  readonly sessionId: string;
  readonly startedAtNs: bigint;
  readonly entries: Map<ContentId, IndexEntry>;
  readonly open: Map<PackPrefix, PackBuilder>;
  /** Packs that are full, by blob id, while their bytes are still in memory. */
  readonly finished: Map<string, PackBuilder>;
  readonly uploads: Set<Promise<void>>;
  marker: Promise<string> | undefined;
}

export class ContentWriter {
  readonly #options: ContentWriterOptions;
  readonly #uploadSlots: Semaphore;
  #generation: Generation;
  /** Generations that are being flushed: their entries are not in the committed index yet. */
  readonly #flushing: Generation[] = [];
  #flushQueue: Promise<unknown> = Promise.resolve();
  #failure: { readonly reason: unknown } | undefined;
  #bytesStored = 0;
  #contentsWritten = 0;

  constructor(options: ContentWriterOptions) {
    this.#options = options;
    this.#uploadSlots = new Semaphore(options.parallelUploads);
    this.#generation = this.#newGeneration();
  }

  /** Totals of this writer: new contents, and bytes of packs handed to the store. */
  get progress(): { readonly contentsWritten: number; readonly bytesStored: number } {
    return { contentsWritten: this.#contentsWritten, bytesStored: this.#bytesStored };
  }

  /** Whether a flush would write anything. */
  get isDirty(): boolean {
    return this.#generation.entries.size > 0;
  }

  #newGeneration(): Generation {
    const { clock, randomBytes } = this.#options;
    const startedAtNs = clock.nowNs();
    return {
      sessionId: newSessionId(randomBytes, startedAtNs),
      startedAtNs,
      entries: new Map(),
      open: new Map(),
      finished: new Map(),
      uploads: new Set(),
      marker: undefined,
    };
  }

  #check(options: CallOptions): void {
    options.signal?.throwIfAborted();
    this.#throwFailure();
    this.#options.assertWritable();
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.reason;
  }

  #pending(id: ContentId): IndexEntry | undefined {
    const own = this.#generation.entries.get(id);
    if (own) return own;
    for (const generation of this.#flushing) {
      const entry = generation.entries.get(id);
      if (entry) return entry;
    }
    return undefined;
  }

  /** The newest entry of a content, this writer's own included. */
  async info(id: ContentId, options: CallOptions = {}): Promise<IndexEntry | undefined> {
    return this.#pending(id) ?? this.#options.reader.info(id, options);
  }

  /** Reads a content, this writer's own included. Errors as `ContentReader.readEntry`. */
  async read(id: ContentId, options: CallOptions = {}): Promise<Uint8Array> {
    const entry = this.#pending(id);
    if (!entry) return this.#options.reader.read(id, options);
    const pack = this.#packInMemory(entry.packBlobId);
    if (pack) return this.#options.reader.decode(entry, pack.packed(entry).slice());
    return this.#options.reader.readEntry(entry, options);
  }

  #packInMemory(blobId: string): PackBuilder | undefined {
    for (const generation of [this.#generation, ...this.#flushing]) {
      const finished = generation.finished.get(blobId);
      if (finished) return finished;
      for (const pack of generation.open.values()) if (pack.blobId === blobId) return pack;
    }
    return undefined;
  }

  /**
   * Stores plaintext as a content unless a live content with the same id exists. `data` is borrowed until the promise
   * settles. Waits while `parallelUploads` packs are under way.
   */
  async write(data: Uint8Array, options: WriteContentOptions = {}): Promise<ContentId> {
    this.#check(options);
    if (data.length > maxContentBytes)
      throw new RangeError(`content of ${data.length} bytes, the format holds ${maxContentBytes}`);
    const { crypter, reader } = this.#options;
    const index = await reader.index.get({ signal: options.signal });
    const id = contentIdFromHash(options.prefix ?? "", crypter.hash.digest(data));
    const existing = this.#pending(id) ?? index.find(id);
    if (existing && !existing.deleted) return id;
    const { payload, compressionHeaderId } = this.#compress(data, options.compressor);
    await this.#append(
      {
        contentId: id,
        payload,
        originalLength: data.length,
        compressionHeaderId,
        timestampSeconds: this.#timestamp(existing),
      },
      options,
    );
    return id;
  }

  /**
   * Writes an existing content again into a new pack, keeping id and deleted flag: how short packs are merged.
   * @returns false when the content is in no index
   */
  async rewrite(
    id: ContentId,
    options: CallOptions & { readonly compressor?: CompressorName | undefined } = {},
  ): Promise<boolean> {
    this.#check(options);
    const existing = await this.info(id, options);
    if (!existing) return false;
    const data = await this.read(id, options);
    const stored = options.compressor ?? compressorOf(existing.compressionHeaderId);
    const { payload, compressionHeaderId } = this.#compress(data, stored);
    await this.#append(
      {
        contentId: id,
        payload,
        originalLength: data.length,
        compressionHeaderId,
        timestampSeconds: this.#timestamp(existing),
        deleted: existing.deleted,
      },
      options,
    );
    return true;
  }

  /** Marks a content as deleted. Unknown and already deleted contents are left alone. */
  async delete(id: ContentId, options: CallOptions = {}): Promise<void> {
    await this.#mark(id, true, options);
  }

  /** Takes a deletion back. */
  async undelete(id: ContentId, options: CallOptions = {}): Promise<void> {
    await this.#mark(id, false, options);
  }

  async #mark(id: ContentId, deleted: boolean, options: CallOptions): Promise<void> {
    this.#check(options);
    const existing = await this.info(id, options);
    if (!existing || existing.deleted === deleted) return;
    this.#generation.entries.set(id, {
      ...existing,
      deleted,
      timestampSeconds: this.#timestamp(existing),
    });
  }

  #timestamp(existing: IndexEntry | undefined): number {
    const now = Number(this.#options.clock.nowNs() / 1_000_000_000n);
    return existing ? Math.max(now, existing.timestampSeconds + 1) : now;
  }

  #compress(
    data: Uint8Array,
    compressor: CompressorName | undefined,
  ): { readonly payload: Uint8Array; readonly compressionHeaderId: number } {
    if (compressor && this.#options.indexVersion >= 2 && data.length > 0) {
      const compressed = compress(compressor, data);
      if (compressed.length < data.length) {
        return { payload: compressed, compressionHeaderId: compressors[compressor].headerId };
      }
    }
    return { payload: data, compressionHeaderId: 0 };
  }

  async #append(
    content: {
      readonly contentId: ContentId;
      readonly payload: Uint8Array;
      readonly originalLength: number;
      readonly compressionHeaderId: number;
      readonly timestampSeconds: number;
      readonly deleted?: boolean;
    },
    options: CallOptions,
  ): Promise<void> {
    const generation = this.#generation;
    const prefix: PackPrefix = contentIdPrefix(content.contentId) === "" ? "p" : "q";
    let pack = generation.open.get(prefix);
    if (!pack) {
      const { crypter, formatCopy, indexVersion, maxPackSizeBytes, randomBytes } = this.#options;
      pack = new PackBuilder({
        prefix,
        sessionId: generation.sessionId,
        crypter,
        randomBytes,
        indexVersion,
        formatCopy,
        maxPackSizeBytes,
      });
      generation.open.set(prefix, pack);
    }
    // From here to the end of the pack's filling nothing waits, so two writes of one content cannot both get in.
    const entry = pack.add({ ...content, formatVersion: this.#options.formatVersion });
    generation.entries.set(content.contentId, entry);
    this.#contentsWritten += 1;
    if (pack.length < this.#options.maxPackSizeBytes) return;
    this.#finish(generation, pack);
    // Back-pressure: wait until a place among the uploads is free again.
    const release = await this.#uploadSlots.acquire(options);
    release();
    this.#throwFailure();
    const ageNs = this.#options.clock.nowNs() - generation.startedAtNs;
    if (ageNs >= BigInt(Math.round(this.#options.flushIntervalMs)) * 1_000_000n)
      await this.flush(options);
  }

  /** Takes a pack out of the open ones and starts its upload. */
  #finish(generation: Generation, pack: PackBuilder): void {
    generation.open.delete(pack.prefix);
    generation.finished.set(pack.blobId, pack);
    const upload = this.#upload(generation, pack)
      .catch((reason: unknown) => {
        // Acknowledged by nobody yet; from now on everything this writer does fails with the same reason.
        this.#failure ??= { reason };
      })
      .finally(() => {
        generation.uploads.delete(upload);
      });
    generation.uploads.add(upload);
  }

  async #upload(generation: Generation, pack: PackBuilder): Promise<void> {
    const release = await this.#uploadSlots.acquire();
    try {
      if (this.#failure) return;
      const bytes = pack.finish();
      if (this.#options.verifyBeforeUpload) this.#verify(pack);
      generation.marker ??= this.#putMarker(generation);
      await generation.marker;
      await this.#options.store.put(pack.blobId, bytes);
      this.#bytesStored += bytes.length;
      generation.finished.delete(pack.blobId);
    } finally {
      release();
    }
  }

  #verify(pack: PackBuilder): void {
    const { reader } = this.#options;
    for (const entry of pack.entries) {
      const plaintext = reader.decode(entry, pack.packed(entry).slice());
      if (reader.matchesId(entry.contentId, plaintext)) continue;
      throw new IntegrityError(
        "DM_CONTENT_HASH_MISMATCH",
        `content ${entry.contentId} changed between hashing and storing (pack ${pack.blobId}, offset ${entry.packOffset})`,
        { contentId: entry.contentId, blobId: pack.blobId, offset: entry.packOffset },
      );
    }
  }

  async #putMarker(generation: Generation): Promise<string> {
    const { clock, crypter, hostname, store, username } = this.#options;
    const plaintext = encodeSessionMarker({
      id: generation.sessionId,
      startedAtNs: generation.startedAtNs,
      checkpointAtNs: clock.nowNs(),
      username,
      hostname,
    });
    const sealed = sealBlob(crypter, plaintext, "s", generation.sessionId);
    await store.put(sealed.blobId, sealed.data);
    return sealed.blobId;
  }

  /**
   * Makes everything written so far durable and visible: packs first, then one set of index blobs. Writes nothing when
   * nothing changed. After a failure the writer stays unusable; what an earlier flush acknowledged is safe.
   */
  async flush(options: CallOptions = {}): Promise<void> {
    this.#check(options);
    const generation = this.#generation;
    if (generation.entries.size === 0) return this.#flushQueue.then(() => this.#check(options));
    this.#generation = this.#newGeneration();
    this.#flushing.push(generation);
    const flushed = this.#flushQueue.then(() => this.#flush(generation));
    this.#flushQueue = flushed.catch(() => undefined);
    return flushed;
  }

  /** Drops what was not flushed and waits for uploads under way. */
  async close(): Promise<void> {
    this.#failure ??= { reason: new TypeError("the write session is closed") };
    await this.#flushQueue;
    await Promise.all(this.#generation.uploads);
  }

  async #flush(generation: Generation): Promise<void> {
    try {
      this.#throwFailure();
      for (const pack of [...generation.open.values()]) this.#finish(generation, pack);
      while (generation.uploads.size > 0) await Promise.all(generation.uploads);
      this.#throwFailure();
      const { indexVersion, manager, reader, store } = this.#options;
      const indexes = shardIndexEntries([...generation.entries.values()]).map((shard) =>
        buildIndex(shard, { version: indexVersion }),
      );
      const blobIds = await manager.write(indexes, { sessionId: generation.sessionId });
      reader.index.add(blobIds, indexes);
      if (generation.marker) await this.#removeMarker(store, await generation.marker);
    } catch (reason) {
      this.#failure ??= { reason };
      throw reason;
    } finally {
      this.#flushing.splice(this.#flushing.indexOf(generation), 1);
    }
  }

  /** The index is stored: the marker has done its work. A writer without the right to delete leaves it to expire. */
  async #removeMarker(store: BlobStore, blobId: string): Promise<void> {
    try {
      await store.delete(blobId);
    } catch (error) {
      if (!(error instanceof AccessError) && !isDmError(error)) throw error;
      this.#options.logger.debug("Left session marker behind", { blobId, error: error.message });
    }
  }
}

function compressorOf(headerId: number): CompressorName | undefined {
  if (headerId === 0) return undefined;
  for (const compressor of Object.values(compressors))
    if (compressor.headerId === headerId) return compressor.name;
  throw new NotFoundError(
    "DM_COMPRESSOR_UNKNOWN",
    `no compressor has header id 0x${headerId.toString(16)}`,
    { headerId },
  );
}
