/**
 * Writing contents: hash, deduplicate, compress, encrypt into a pack, store full packs, and at flush one set of index
 * blobs. Order of writes: session marker, packs, index blobs, removal of the marker. A content is acknowledged by the
 * `flush` that stores its index entry, not before; what a failed flush did not store stays in memory for the next.
 * Format: docs/format/packs.md. Proof: test/write-session.test.ts, test/kill.test.ts.
 * @module
 */
import { type CompressorName, compress, compressorByHeaderId, compressors } from "@dm/compression";
import {
  type Clock,
  IntegrityError,
  isDmError,
  type Logger,
  type RandomBytes,
  Semaphore,
} from "@dm/core";
import type { BlobStore, CallOptions } from "@dm/storage";
import { type ContentId, contentIdFromHash, contentIdPrefix } from "../content-id.ts";
import { type Crypter, sealBlob } from "../crypto/crypter.ts";
import { buildIndex, shardIndexEntries } from "../index-blob/build.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { IndexManager } from "../index-manager/index-manager.ts";
import { PackBuilder, type PackedContent, type PackPrefix } from "../pack/pack-builder.ts";
import { untilAborted } from "../until-aborted.ts";
import { maxContentBytes } from "./content-decoder.ts";
import type { ContentReader } from "./content-reader.ts";
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
  /** Age of the oldest unflushed entry at which the next change flushes first. */
  readonly flushIntervalMs: number;
  /** Number of unflushed entries at which the next change flushes first: they are in memory. */
  readonly maxUnflushedEntries: number;
  /** Called at the start of every operation: must throw when the repository must not be written. */
  readonly assertWritable: () => void;
}

export interface WriteContentOptions extends CallOptions {
  /** One letter `g`..`z`, or none for data. */
  readonly prefix?: string | undefined;
  /** Compressor to try; the content is stored plain when that is not smaller. Index v1 cannot hold compressed contents. */
  readonly compressor?: CompressorName | undefined;
}

/** A content that was hashed, and sealed under its iv, outside of the writer: in another thread. */
export interface SealedContent {
  readonly contentId: ContentId;
  /** As it is stored: encrypted, compressed before if `compressionHeaderId` says so. Borrowed for the call. */
  readonly sealed: Uint8Array;
  /** Of the plaintext. */
  readonly originalLength: number;
  /** 0 when it is not compressed; index v1 holds nothing else. */
  readonly compressionHeaderId: number;
}

export interface RewriteContentOptions extends CallOptions {
  /** The content's present compressor by default. */
  readonly compressor?: CompressorName | undefined;
}

/** Longest stored form of a content: its length in an index entry has 28 bits. */
const maxStoredBytes = 2 ** 28 - 1;

/** A pack that is full (or closed by a flush) and not in the store yet. */
interface FinishedPack {
  readonly pack: PackBuilder;
  /** Resolves in any case; undefined while nobody is storing the pack. */
  upload: Promise<void> | undefined;
  failure: { readonly reason: unknown } | undefined;
}

/** Everything between two flushes. */
interface Generation {
  readonly sessionId: string;
  readonly startedAtNs: bigint;
  readonly entries: Map<ContentId, IndexEntry>;
  /** When the first entry came. */
  dirtySinceNs: bigint | undefined;
  readonly open: Map<PackPrefix, PackBuilder>;
  /** By blob id, while their bytes are still in memory. */
  readonly finished: Map<string, FinishedPack>;
  marker: Promise<string> | undefined;
}

export class ContentWriter {
  readonly #options: ContentWriterOptions;
  readonly #uploadSlots: Semaphore;
  readonly #closing = new AbortController();
  /** Of packs that are stored: there are never more than packs were in memory at once. */
  readonly #freeBuffers: Uint8Array[] = [];
  #generation: Generation;
  /** Generations that a flush has taken and not stored yet, oldest first: their entries are in no committed index. */
  readonly #flushing: Generation[] = [];
  #flushQueue: Promise<unknown> = Promise.resolve();
  #latestFlush: { readonly last: Generation; readonly done: Promise<void> } | undefined;
  /** Until a flush succeeds again, every change tries one first: nothing more piles up, and callers hear of it. */
  #hasFlushFailed = false;
  /** Why nothing can be written any more. */
  #failure: { readonly reason: unknown } | undefined;
  /** That the store lets nothing be deleted. */
  #isRefusalTold = false;
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

  #newGeneration(): Generation {
    const { clock, randomBytes } = this.#options;
    const startedAtNs = clock.nowNs();
    return {
      sessionId: newSessionId(randomBytes, startedAtNs),
      startedAtNs,
      entries: new Map(),
      dirtySinceNs: undefined,
      open: new Map(),
      finished: new Map(),
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

  /** Newest first. */
  #generations(): Generation[] {
    return [this.#generation, ...this.#flushing.toReversed()];
  }

  #pending(id: ContentId): IndexEntry | undefined {
    // Asked several times for each content, and nearly always there is one generation.
    let entry = this.#generation.entries.get(id);
    for (let index = this.#flushing.length - 1; !entry && index >= 0; index -= 1)
      entry = this.#flushing[index]!.entries.get(id);
    return entry;
  }

  #newest(id: ContentId): IndexEntry | undefined {
    return this.#pending(id) ?? this.#options.reader.index.current?.find(id);
  }

  #note(entry: IndexEntry): void {
    this.#generation.entries.set(entry.contentId, entry);
    this.#generation.dirtySinceNs ??= this.#options.clock.nowNs();
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
    for (const generation of this.#generations()) {
      const finished = generation.finished.get(blobId);
      if (finished) return finished.pack;
      for (const pack of generation.open.values()) if (pack.blobId === blobId) return pack;
    }
    return undefined;
  }

  /**
   * Stores plaintext as a content unless a live content with the same id exists. `data` is borrowed until the promise
   * settles. Waits while `parallelUploads` packs are under way. Packs that the store has refused are offered again
   * first; while it goes on refusing, nothing is added.
   */
  async write(data: Uint8Array, options: WriteContentOptions = {}): Promise<ContentId> {
    await this.#prepare(options);
    if (data.length > maxContentBytes) throw tooLong(data.length);
    const digest = this.#options.crypter.hash.digest(data);
    const id = contentIdFromHash(options.prefix ?? "", digest);
    const existing = this.#newest(id);
    if (existing && !existing.deleted) return id;
    const { payload, compressionHeaderId } = this.#compress(data, options.compressor);
    this.#assertStorable(payload.length, data.length);
    this.#append(
      {
        contentId: id,
        originalLength: data.length,
        compressionHeaderId,
        timestampSeconds: this.#timestamp(id, existing),
      },
      (pack, content) => pack.add(content, payload),
    );
    return id;
  }

  /** Waits until a change may be made: what `write` waits for, for callers of `has` and `writeSealed`. */
  async prepare(options: CallOptions = {}): Promise<void> {
    await this.#prepare(options);
  }

  /** Whether a live content with this id exists, this writer's own included; as of the index last loaded. */
  has(id: ContentId): boolean {
    const newest = this.#newest(id);
    return newest !== undefined && !newest.deleted;
  }

  /**
   * Stores a sealed content, unless a live content with the same id exists. Waits for nothing: `prepare` before each
   * handful, or packs pile up in memory.
   * @returns whether it was stored
   */
  writeSealed(content: SealedContent): boolean {
    this.#check({});
    const { contentId: id, compressionHeaderId, originalLength, sealed } = content;
    const { crypter, indexVersion } = this.#options;
    if (indexVersion === 1 && compressionHeaderId !== 0)
      throw new RangeError("index v1 cannot hold a compressed content");
    if (originalLength > maxContentBytes || sealed.length > maxStoredBytes)
      throw tooLong(originalLength);
    if (sealed.length < crypter.storedLength(0))
      throw new RangeError(`${sealed.length} bytes are too few for a sealed content`);
    const existing = this.#newest(id);
    if (existing && !existing.deleted) return false;
    this.#append(
      {
        contentId: id,
        originalLength,
        compressionHeaderId,
        timestampSeconds: this.#timestamp(id, existing),
      },
      (pack, packed) => pack.addSealed(packed, sealed),
    );
    return true;
  }

  /**
   * Writes an existing content again into a new pack, keeping id and deleted flag: how short packs are merged.
   * @returns false when the content is in no index
   */
  async rewrite(id: ContentId, options: RewriteContentOptions = {}): Promise<boolean> {
    await this.#prepare(options);
    const existing = this.#newest(id);
    if (!existing) return false;
    await this.#writeAgain(existing, options);
    return true;
  }

  /** Marks a content as deleted. Unknown and already deleted contents are left alone. */
  async delete(id: ContentId, options: CallOptions = {}): Promise<void> {
    await this.#prepare(options);
    const existing = this.#newest(id);
    if (!existing || existing.deleted) return;
    const timestampSeconds = this.#timestamp(id, existing);
    this.#note({ ...existing, deleted: true, timestampSeconds });
  }

  /** Takes a deletion back. The content goes into a new pack: its present one may be about to be removed. */
  async undelete(id: ContentId, options: CallOptions = {}): Promise<void> {
    await this.#prepare(options);
    const existing = this.#newest(id);
    if (existing?.deleted) await this.#writeAgain(existing, { ...options, deleted: false });
  }

  async #writeAgain(
    existing: IndexEntry,
    options: RewriteContentOptions & { readonly deleted?: boolean },
  ): Promise<void> {
    const { contentId: id } = existing;
    const data = await this.read(id, options);
    const { compressionHeaderId: present } = existing;
    const compressor =
      options.compressor ?? (present === 0 ? undefined : compressorByHeaderId(present).name);
    const { payload, compressionHeaderId } = this.#compress(data, compressor);
    const newest = this.#newest(id) ?? existing;
    // Somebody wrote, deleted or rewrote it while it was read: that counts, and is newer than what was asked for here.
    if (newest.timestampSeconds !== existing.timestampSeconds) return;
    this.#assertStorable(payload.length, data.length);
    this.#append(
      {
        contentId: id,
        originalLength: data.length,
        compressionHeaderId,
        timestampSeconds: this.#timestamp(id, newest),
        deleted: options.deleted ?? newest.deleted,
      },
      (pack, content) => pack.add(content, payload),
    );
  }

  /**
   * What comes before every change. Between looking an entry up (`#newest`) and noting the new one nothing may wait, or
   * two changes of one content could each miss the other.
   */
  async #prepare(options: CallOptions): Promise<void> {
    this.#check(options);
    if (this.#isFlushDue()) await this.flush(options);
    await this.#waitForRoom(options);
    await this.#options.reader.index.get({ signal: options.signal });
  }

  #isFlushDue(): boolean {
    const { clock, flushIntervalMs, maxUnflushedEntries } = this.#options;
    const { dirtySinceNs, entries } = this.#generation;
    if (this.#hasFlushFailed) return true;
    if (dirtySinceNs === undefined) return false;
    const intervalNs = BigInt(Math.round(flushIntervalMs)) * 1_000_000n;
    return entries.size >= maxUnflushedEntries || clock.nowNs() - dirtySinceNs >= intervalNs;
  }

  /**
   * Back-pressure: one pack may wait while `parallelUploads` others are under way. What the store has refused is offered
   * again, so that it does not pile up.
   */
  async #waitForRoom({ signal }: CallOptions): Promise<void> {
    for (;;) {
      const finished = this.#generations().flatMap((generation) =>
        [...generation.finished.values()].map((pack) => ({ generation, pack })),
      );
      const refused = finished.filter(({ pack }) => pack.failure);
      const uploads = refused.map(({ generation, pack }) => this.#store(generation, pack));
      if (refused.length > 0) await untilAborted(Promise.all(uploads), signal);
      else if (finished.length <= this.#options.parallelUploads) return;
      else await untilAborted(Promise.race(finished.map(({ pack }) => pack.upload)), signal);
      this.#throwFailure();
      for (const { pack } of refused) if (pack.failure) throw pack.failure.reason;
    }
  }

  /** Above that of every entry known for the content. */
  #timestamp(id: ContentId, existing: IndexEntry | undefined): number {
    const now = Number(this.#options.clock.nowNs() / 1_000_000_000n);
    const known =
      existing?.timestampSeconds ?? this.#options.reader.index.current?.hiddenTimestamp(id);
    return known === undefined ? now : Math.max(now, known + 1);
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

  #assertStorable(payloadLength: number, originalLength: number): void {
    if (this.#options.crypter.storedLength(payloadLength) > maxStoredBytes)
      throw tooLong(originalLength);
  }

  /** Nothing waits in here, so that two writes of one content cannot both get in. */
  #append(
    content: Omit<PackedContent, "formatVersion">,
    add: (pack: PackBuilder, content: PackedContent) => IndexEntry,
  ): void {
    const generation = this.#generation;
    const { crypter, formatCopy, indexVersion, maxPackSizeBytes, randomBytes } = this.#options;
    const prefix: PackPrefix = contentIdPrefix(content.contentId) === "" ? "p" : "q";
    let pack = generation.open.get(prefix);
    if (!pack) {
      const { sessionId } = generation;
      pack = new PackBuilder({
        prefix,
        sessionId,
        crypter,
        randomBytes,
        indexVersion,
        formatCopy,
        maxPackSizeBytes,
        freeBuffers: this.#freeBuffers,
      });
      generation.open.set(prefix, pack);
    }
    this.#note(add(pack, { ...content, formatVersion: this.#options.formatVersion }));
    this.#contentsWritten += 1;
    if (pack.length >= maxPackSizeBytes)
      void this.#store(generation, this.#finish(generation, pack));
  }

  /** Takes a pack out of the open ones: nothing is added to it any more. */
  #finish(generation: Generation, pack: PackBuilder): FinishedPack {
    const finished: FinishedPack = { pack, upload: undefined, failure: undefined };
    generation.open.delete(pack.prefix);
    generation.finished.set(pack.blobId, finished);
    return finished;
  }

  /** Stores a finished pack, or joins whoever is doing so. A failure stays with the pack, for the next attempt. */
  #store(generation: Generation, finished: FinishedPack): Promise<void> {
    finished.failure = undefined;
    finished.upload ??= this.#upload(generation, finished.pack).then(
      () => {
        generation.finished.delete(finished.pack.blobId);
        finished.pack.recycle();
      },
      (reason: unknown) => {
        finished.upload = undefined;
        finished.failure = { reason };
      },
    );
    return finished.upload;
  }

  async #upload(generation: Generation, pack: PackBuilder): Promise<void> {
    const { signal } = this.#closing;
    const release = await this.#uploadSlots.acquire({ signal });
    try {
      this.#throwFailure();
      const bytes = this.#sealed(pack);
      await this.#marker(generation);
      await this.#options.store.put(pack.blobId, bytes, { signal });
      this.#bytesStored += bytes.length;
    } finally {
      release();
    }
  }

  /** The pack's bytes. What is wrong with them no later attempt can mend. */
  #sealed(pack: PackBuilder): Uint8Array {
    try {
      const bytes = pack.finish();
      if (this.#options.verifyBeforeUpload) this.#verify(pack);
      return bytes;
    } catch (reason) {
      this.#failure ??= { reason };
      throw reason;
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

  /** The session marker, stored once before the generation's first pack. */
  #marker(generation: Generation): Promise<string> {
    generation.marker ??= this.#putMarker(generation).catch((error: unknown) => {
      generation.marker = undefined;
      throw error;
    });
    return generation.marker;
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
    await store.put(sealed.blobId, sealed.data, { signal: this.#closing.signal });
    return sealed.blobId;
  }

  /**
   * Makes everything written so far durable and visible: packs first, then one set of index blobs. Writes nothing when
   * nothing changed. After a failure nothing is acknowledged and nothing is lost: the next flush tries again, under the
   * same names. An abort ends the waiting; what is under way goes on, and may become visible.
   */
  async flush(options: CallOptions = {}): Promise<void> {
    this.#check(options);
    if (this.#generation.entries.size > 0) {
      this.#flushing.push(this.#generation);
      this.#generation = this.#newGeneration();
    }
    const last = this.#flushing.at(-1);
    if (!last) return;
    if (this.#latestFlush?.last !== last) this.#latestFlush = { last, done: this.#begin(last) };
    await untilAborted(this.#latestFlush.done, options.signal);
  }

  /** Flushes all generations up to one, after the flushes that were begun before. */
  #begin(last: Generation): Promise<void> {
    const done = this.#flushQueue.then(async () => {
      while (this.#flushing.includes(last)) await this.#flushOldest(this.#flushing[0]!);
    });
    const ended = (hasFailed: boolean): void => {
      this.#hasFlushFailed = hasFailed;
      if (this.#latestFlush?.last === last) this.#latestFlush = undefined;
    };
    this.#flushQueue = done.then(
      () => ended(false),
      () => ended(true),
    );
    return done;
  }

  /** Drops what was not flushed, and ends what is under way. */
  async close(): Promise<void> {
    const reason = new TypeError("the write session is closed");
    this.#failure ??= { reason };
    this.#closing.abort(reason);
    await this.#flushQueue;
    for (const generation of this.#generations())
      await Promise.all([...generation.finished.values()].map(({ upload }) => upload));
  }

  async #flushOldest(generation: Generation): Promise<void> {
    this.#throwFailure();
    for (const pack of [...generation.open.values()]) this.#finish(generation, pack);
    await this.#storePacks(generation);
    const { indexVersion, manager, reader } = this.#options;
    const indexes = shardIndexEntries([...generation.entries.values()]).map((shard) =>
      buildIndex(shard, { version: indexVersion }),
    );
    const { sessionId } = generation;
    const blobIds = await manager.write(indexes, { sessionId, signal: this.#closing.signal });
    // Acknowledged from here on.
    reader.index.add(blobIds, indexes);
    this.#flushing.shift();
    if (generation.marker) await this.#removeMarker(await generation.marker);
  }

  async #storePacks(generation: Generation): Promise<void> {
    const { finished } = generation;
    while (finished.size > 0) {
      await Promise.all([...finished.values()].map((pack) => this.#store(generation, pack)));
      this.#throwFailure();
      for (const { failure } of finished.values()) if (failure) throw failure.reason;
    }
  }

  /** The index is stored: the marker has done its work. A writer without the right to delete leaves it to expire. */
  async #removeMarker(blobId: string): Promise<void> {
    try {
      await this.#options.store.delete(blobId, { signal: this.#closing.signal });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const { logger } = this.#options;
      logger.debug("Left session marker behind", { blobId, error: why });
      if (!isDmError(error, "DM_STORE_ACCESS_DENIED") || this.#isRefusalTold) return;
      this.#isRefusalTold = true;
      logger.info("Left session markers to maintenance: these credentials may not delete");
    }
  }
}

function tooLong(length: number): RangeError {
  return new RangeError(
    `content of ${length} bytes is too long: the format holds ${maxContentBytes}, encryption and error correction included`,
  );
}
