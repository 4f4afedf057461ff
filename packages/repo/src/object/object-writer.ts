/**
 * Writes an object: split, store each part as a content, and for several parts an index object above them.
 * Memory: one part of at most the splitter's longest, whatever the object's size, plus about 100 bytes for each part.
 * Format: docs/format/objects.md. Proof: test/object.test.ts.
 * @module
 */
import { type CompressorName, compress } from "@dm/compression";
import { createSplitter, type Splitter } from "@dm/splitter";
import type { CallOptions } from "@dm/storage";
import type { WriteContentOptions } from "../content/content-writer.ts";
import type { ContentId } from "../content-id.ts";
import { encodeIndirect, type IndirectEntry } from "./indirect-codec.ts";
import type { ObjectId } from "./object-id.ts";

/** What an object writer needs of the layer below. */
export interface ContentSink {
  write(data: Uint8Array, options?: WriteContentOptions): Promise<ContentId>;
}

export interface ObjectWriterOptions extends CallOptions {
  /** Prefix of the contents: none for data, `k` for directories. */
  readonly prefix?: string | undefined;
  /** Compressor of the parts; none by default. */
  readonly compressor?: CompressorName | undefined;
  /** Compressor of the index object above several parts; zstd-fastest by default, none for `null`. */
  readonly metadataCompressor?: CompressorName | null | undefined;
  /** Splitter of this object; the repository's by default. */
  readonly splitter?: string | undefined;
}

export interface ObjectFormat {
  readonly splitter: string;
  readonly indexVersion: 1 | 2;
}

/** Splits what is written to it into contents: `write` as often as needed, one call at a time, then `result` once. */
export class ObjectWriter {
  readonly #sink: ContentSink;
  readonly #format: ObjectFormat;
  readonly #options: ObjectWriterOptions;
  readonly #splitter: Splitter;
  readonly #entries: IndirectEntry[] = [];
  #buffer: Uint8Array = new Uint8Array(0);
  #buffered = 0;
  #flushedBytes = 0;
  /** `failed`: a part may be missing, so that nothing may be built on what is there. */
  #state: "ready" | "busy" | "failed" | "finished" = "ready";

  constructor(sink: ContentSink, format: ObjectFormat, options: ObjectWriterOptions = {}) {
    this.#sink = sink;
    this.#format = format;
    this.#options = options;
    this.#splitter = createSplitter(options.splitter ?? format.splitter);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#flushedBytes + this.#buffered;
  }

  /**
   * Appends bytes, which are borrowed until the promise settles. Calls must not overlap. After a failure the object is
   * lost: begin a new one.
   */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#exclusively(() => this.#split(bytes));
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#state !== "ready") throw new TypeError(`the object writer is ${this.#state}`);
    this.#state = "busy";
    try {
      const result = await work();
      this.#state = "ready";
      return result;
    } catch (error) {
      this.#state = "failed";
      throw error;
    }
  }

  async #split(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      const cut = this.#splitter.next(bytes, from);
      if (cut < 0) {
        this.#keep(bytes.subarray(from));
        return;
      }
      const piece = bytes.subarray(from, cut);
      if (this.#buffered === 0) await this.#flushPart(piece);
      else {
        this.#keep(piece);
        await this.#flushPart(this.#buffer.subarray(0, this.#buffered));
      }
      from = cut;
    }
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#buffered + bytes.length;
    if (needed > this.#buffer.length) {
      const limit = Math.max(needed, this.#splitter.maxChunkBytes);
      const grown = new Uint8Array(
        Math.min(limit, Math.max(needed, this.#buffer.length * 2, 64 << 10)),
      );
      grown.set(this.#buffer.subarray(0, this.#buffered));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered = needed;
  }

  async #flushPart(bytes: Uint8Array): Promise<void> {
    this.#buffered = 0;
    const objectId = await writePart(this.#sink, this.#format, bytes, this.#options);
    this.#entries.push({ start: this.#flushedBytes, length: bytes.length, objectId });
    this.#flushedBytes += bytes.length;
  }

  /** The id over the parts that are stored already; the empty id before the first. */
  async checkpoint(): Promise<ObjectId> {
    return this.#exclusively(async () =>
      this.#entries.length === 0 ? ("" as ObjectId) : this.#index(),
    );
  }

  /** Stores the rest and answers the object's id. The writer is finished then. */
  async result(): Promise<ObjectId> {
    const id = await this.#exclusively(async () => {
      if (this.#buffered > 0 || this.#entries.length === 0) {
        await this.#flushPart(this.#buffer.subarray(0, this.#buffered));
      }
      return this.#index();
    });
    this.#state = "finished";
    return id;
  }

  async #index(): Promise<ObjectId> {
    if (this.#entries.length === 1) return this.#entries[0]!.objectId as ObjectId;
    return writeIndirect(this.#sink, this.#format, this.#entries, this.#options);
  }
}

/** Stores bytes as one part of an object, whatever their length; answers the part's id. */
export async function writePart(
  sink: ContentSink,
  format: ObjectFormat,
  bytes: Uint8Array,
  options: ObjectWriterOptions = {},
): Promise<string> {
  const { compressor, prefix, signal } = options;
  // Index v1 knows no compressed contents: there the object carries the mark, and never one with a prefix.
  if (format.indexVersion === 1) {
    if (compressor && !prefix && bytes.length > 0) {
      const compressed = compress(compressor, bytes);
      if (compressed.length < bytes.length) return `Z${await sink.write(compressed, { signal })}`;
    }
    return sink.write(bytes, { prefix, signal });
  }
  return sink.write(bytes, { prefix, compressor, signal });
}

/** Writes the index object over `entries` with the repository's splitter; answers `I` and the index object's id. */
export async function writeIndirect(
  sink: ContentSink,
  format: ObjectFormat,
  entries: readonly IndirectEntry[],
  options: ObjectWriterOptions = {},
): Promise<ObjectId> {
  const { metadataCompressor = "zstd-fastest", prefix, signal } = options;
  const writer = new ObjectWriter(sink, format, {
    prefix: prefix ? prefix : "x",
    compressor: metadataCompressor ?? undefined,
    metadataCompressor,
    signal,
  });
  await writer.write(encodeIndirect(entries));
  return `I${await writer.result()}` as ObjectId;
}
