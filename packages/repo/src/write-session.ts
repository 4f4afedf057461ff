/**
 * A write session: objects, contents and manifests that become visible together at `flush` or `commit`.
 * Proof: test/write-session.test.ts, test/kill.test.ts.
 * @module
 */
import { type Clock, type RandomBytes, toHex } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type {
  ContentWriter,
  RewriteContentOptions,
  SealedContent,
  WriteContentOptions,
} from "./content/content-writer.ts";
import type { ContentId } from "./content-id.ts";
import type { RepositoryFormat } from "./format/repository-format.ts";
import type { IndexEntry } from "./index-blob/entry.ts";
import { parseJson } from "./json/raw-json.ts";
import { encodeManifests, type ManifestEntry } from "./manifest/manifest-codec.ts";
import { type LabelSelector, mergeManifests, selectManifests } from "./manifest/manifest-set.ts";
import type { ManifestStore } from "./manifest/manifest-store.ts";
import type { IndirectEntry } from "./object/indirect-codec.ts";
import type { ObjectId } from "./object/object-id.ts";
import { type ObjectReader, objectParts, openObject } from "./object/object-reader.ts";
import {
  type ObjectFormat,
  ObjectWriter,
  type ObjectWriterOptions,
  writeIndirect,
  writePart,
} from "./object/object-writer.ts";

/** Live manifest contents at which a flush merges them into one. */
export const manifestCompactionThreshold = 16;

export interface WriteSessionParts {
  readonly contents: ContentWriter;
  readonly manifests: ManifestStore;
  readonly objectFormat: ObjectFormat;
  readonly format: RepositoryFormat;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
}

/**
 * A session's contents for callers that hash and seal by themselves, with `createCrypter(format)` in threads of their own:
 * `prepare`, then ask `has` and `write` what is new. Between asking and writing another writer of the session may be
 * faster: `write` then stores nothing.
 */
export interface SealedContents {
  /** What to hash, seal and split by. Holds the repository's keys: never log it. */
  readonly format: RepositoryFormat;
  /**
   * Waits until contents may be added: for room in memory while packs are under way to the store, and for a flush that is
   * due. Call it before each handful of writes.
   */
  prepare(options?: CallOptions): Promise<void>;
  /** Whether a live content with this id exists, the session's own included. */
  has(id: ContentId): boolean;
  /** Stores a content unless a live one exists, and tells whether it did. Durable after the next `flush`. */
  write(content: SealedContent): boolean;
}

/**
 * Changes that become visible together: contents, objects and manifests are durable, and seen by other clients, from
 * the `flush` or `commit` on that resolves. Calls may run at once. Dispose it, also after an error.
 */
export class WriteSession implements AsyncDisposable {
  readonly #parts: WriteSessionParts;
  /** Puts and tombstones since the last flush, by id. */
  readonly #pending = new Map<string, ManifestEntry>();
  #closed = false;

  constructor(parts: WriteSessionParts) {
    this.#parts = parts;
  }

  /** Totals so far. */
  get progress(): { readonly contentsWritten: number; readonly bytesStored: number } {
    return this.#parts.contents.progress;
  }

  #check(): void {
    if (this.#closed) throw new TypeError("the write session is closed");
  }

  /**
   * Stores plaintext as one content, unless it is stored already. Durable after the next `flush`.
   * @example const id = await session.writeContent(bytes, { prefix: "k", compressor: "zstd-fastest" });
   */
  async writeContent(data: Uint8Array, options: WriteContentOptions = {}): Promise<ContentId> {
    this.#check();
    return this.#parts.contents.write(data, options);
  }

  /** Contents that the caller hashes and seals: see {@link SealedContents}. */
  get sealedContents(): SealedContents {
    const { contents, format } = this.#parts;
    return {
      format,
      prepare: (options) => contents.prepare(options),
      has: (id) => contents.has(id),
      write: (content) => {
        this.#check();
        return contents.writeSealed(content);
      },
    };
  }

  /** Reads a content, this session's own included. Errors as `Repository.readContent`. */
  async readContent(id: ContentId, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#parts.contents.read(id, options);
  }

  /** The newest index entry of a content, this session's own included. */
  async contentInfo(id: ContentId, options: CallOptions = {}): Promise<IndexEntry | undefined> {
    return this.#parts.contents.info(id, options);
  }

  /** Marks a content as deleted; readers go on reading it until maintenance drops it. */
  async deleteContent(id: ContentId, options: CallOptions = {}): Promise<void> {
    this.#check();
    await this.#parts.contents.delete(id, options);
  }

  /** Takes the deletion of a content back; stores its data again. */
  async undeleteContent(id: ContentId, options: CallOptions = {}): Promise<void> {
    this.#check();
    await this.#parts.contents.undelete(id, options);
  }

  /** Stores an existing content again, in a new pack, under the same id. */
  async rewriteContent(id: ContentId, options: RewriteContentOptions = {}): Promise<boolean> {
    this.#check();
    return this.#parts.contents.rewrite(id, options);
  }

  /** Begins an object; write to it, then ask for its `result()`. */
  openObjectWriter(options: ObjectWriterOptions = {}): ObjectWriter {
    this.#check();
    return new ObjectWriter(this.#sink(), this.#parts.objectFormat, options);
  }

  /** Stores bytes, or a stream of them, as one object. */
  async writeObject(
    data: Uint8Array | AsyncIterable<Uint8Array>,
    options: ObjectWriterOptions = {},
  ): Promise<ObjectId> {
    const writer = this.openObjectWriter(options);
    if (data instanceof Uint8Array) await writer.write(data);
    else for await (const piece of data) await writer.write(piece);
    return writer.result();
  }

  /** Opens an object, this session's own included. */
  async openObject(id: string, options: CallOptions = {}): Promise<ObjectReader> {
    return openObject(this.#parts.contents, id, options);
  }

  /**
   * Joins objects into one, in order, without reading their data: how a large file uploaded in parts becomes one.
   * A single part keeps its id.
   * @throws {RangeError} without any part
   */
  async concatenateObjects(
    ids: readonly string[],
    options: ObjectWriterOptions = {},
  ): Promise<ObjectId> {
    this.#check();
    if (ids.length === 0) throw new RangeError("an object must be joined from at least one part");
    if (ids.length === 1) return ids[0] as ObjectId;
    const entries: IndirectEntry[] = [];
    let start = 0;
    for (const id of ids) {
      for (const entry of await this.objectParts(id, options)) {
        entries.push({ start, length: entry.length, objectId: entry.objectId });
        start += entry.length;
      }
    }
    return writeIndirect(this.#sink(), this.#parts.objectFormat, entries, options);
  }

  /** The parts of an object, in order, this session's own included: {@link Repository.objectParts}. */
  async objectParts(id: string, options: CallOptions = {}): Promise<readonly IndirectEntry[]> {
    return objectParts(this.#parts.contents, id, options);
  }

  /**
   * Stores bytes as one part of an object, unsplit, for callers that split themselves.
   * @returns the part's id, for `joinParts`
   */
  async writePart(data: Uint8Array, options: ObjectWriterOptions = {}): Promise<string> {
    this.#check();
    return writePart(this.#sink(), this.#parts.objectFormat, data, options);
  }

  /**
   * The object that consists of these parts, which follow each other without gaps; a single part is the object itself.
   * Stores an index, and reads nothing.
   * @throws {RangeError} without any part
   */
  async joinParts(
    parts: readonly IndirectEntry[],
    options: ObjectWriterOptions = {},
  ): Promise<ObjectId> {
    this.#check();
    if (parts.length === 0) throw new RangeError("an object must be joined from at least one part");
    if (parts.length === 1) return parts[0]!.objectId as ObjectId;
    return writeIndirect(this.#sink(), this.#parts.objectFormat, parts, options);
  }

  #sink(): ContentWriter {
    return this.#parts.contents;
  }

  /**
   * Adds a manifest. `labels` must have a non-empty `type`; `data` is a value for JSON, or raw JSON text in `rawData`.
   * @returns its id, 32 hexadecimal characters
   */
  putManifest(
    labels: Readonly<Record<string, string>>,
    data: unknown,
    options: { readonly rawData?: string } = {},
  ): string {
    this.#check();
    if (!labels["type"]) throw new TypeError("a manifest needs a label `type`");
    const text = options.rawData ?? JSON.stringify(data);
    if (text === undefined) throw new TypeError("manifest data has no JSON form");
    if (options.rawData !== undefined) parseJson(options.rawData);
    const { clock, randomBytes } = this.#parts;
    const id = toHex(randomBytes(16));
    this.#pending.set(id, { id, labels, modifiedAtNs: clock.nowNs(), deleted: false, data: text });
    return id;
  }

  /** Removes a manifest; an unknown id is ignored. */
  async deleteManifest(id: string, options: CallOptions = {}): Promise<void> {
    this.#check();
    const known = (await this.#allManifests(options)).get(id);
    if (!known || known.deleted) return;
    const now = this.#parts.clock.nowNs();
    const modifiedAtNs = now > known.modifiedAtNs ? now : known.modifiedAtNs + 1n;
    this.#pending.set(id, { id, labels: {}, modifiedAtNs, deleted: true, data: "null" });
  }

  /** Puts a manifest in the place of all that have these labels; answers its id. */
  async replaceManifests(
    labels: Readonly<Record<string, string>>,
    data: unknown,
    options: CallOptions = {},
  ): Promise<string> {
    for (const old of await this.findManifests(labels, options))
      await this.deleteManifest(old.id, options);
    return this.putManifest(labels, data);
  }

  /** Live manifests with all these labels, this session's own included, oldest first. */
  async findManifests(labels: LabelSelector, options: CallOptions = {}): Promise<ManifestEntry[]> {
    return selectManifests((await this.#allManifests(options)).values(), labels);
  }

  async #allManifests(options: CallOptions): Promise<Map<string, ManifestEntry>> {
    const entries = new Map((await this.#parts.manifests.load(options)).entries);
    mergeManifests(entries, this.#pending.values());
    return entries;
  }

  /**
   * Makes everything written so far durable and visible to all clients; the session goes on. Writes nothing when
   * nothing changed.
   */
  async flush(options: CallOptions = {}): Promise<void> {
    this.#check();
    const pending = new Map(this.#pending);
    if (pending.size > 0) await this.#writeManifests(pending, options);
    await this.#parts.contents.flush(options);
    // Only now, and only what has not changed meanwhile: a failed attempt must not lose a manifest.
    for (const [id, entry] of pending)
      if (this.#pending.get(id) === entry) this.#pending.delete(id);
  }

  /** Pending manifests go into one content; when there are many contents already, all live manifests go into it. */
  async #writeManifests(
    pending: ReadonlyMap<string, ManifestEntry>,
    options: CallOptions,
  ): Promise<void> {
    const { contents, manifests } = this.#parts;
    let loaded = await manifests.load(options);
    // What another client has compacted or deleted since must not come back to life in a merged content.
    if (loaded.contentIds.length >= manifestCompactionThreshold)
      loaded = await manifests.load({ ...options, fresh: true });
    if (loaded.contentIds.length < manifestCompactionThreshold) {
      await contents.write(encodeManifests([...pending.values()]), {
        prefix: "m",
        signal: options.signal,
      });
      return;
    }
    const all = new Map(loaded.entries);
    mergeManifests(all, pending.values());
    const live = [...all.values()].filter((entry) => !entry.deleted);
    const merged = await contents.write(encodeManifests(live), {
      prefix: "m",
      signal: options.signal,
    });
    for (const id of loaded.contentIds) if (id !== merged) await contents.delete(id, options);
  }

  /** Flushes and ends the session. */
  async commit(options: CallOptions = {}): Promise<void> {
    await this.flush(options);
    this.#closed = true;
  }

  /** Ends the session; what was not flushed is dropped (packs already stored are removed by maintenance later). */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#parts.contents.close();
  }
}
