/**
 * Bytes of one file on their way into a session: split, and stored chunk by chunk, so that at any time the object over what
 * is stored can be made. What `ObjectWriter` of `@dm/repo` does, and two things more: it goes on behind chunks that
 * exist, and it begins with a fresh splitter at every part of a large file.
 * Format: docs/format/objects.md. Proof: test/in-place-plane.test.ts.
 * @module
 */
import type { IndirectEntry, ObjectWriterOptions, WriteSession } from "@dm/repo";
import { createSplitter, type Splitter } from "@dm/splitter";

/** What is needed of a write session to store chunks. */
export type ChunkStore = Pick<WriteSession, "joinParts" | "objectParts" | "writePart">;

/** Begins with this much, and doubles as a chunk grows: most files are small. */
const firstBufferBytes = 64 << 10;

/** Buffer and splitter, which outlive a file: both cost more than a small file does. */
export class ChunkBuffer {
  readonly splitter: Splitter;
  #bytes: Uint8Array = new Uint8Array(firstBufferBytes);
  length = 0;

  constructor(splitter: string) {
    this.splitter = createSplitter(splitter);
  }

  /** What is in it; valid until the next `append`. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  append(bytes: Uint8Array): void {
    const needed = this.length + bytes.length;
    if (needed > this.#bytes.length) {
      const limit = Math.max(needed, this.splitter.maxChunkBytes);
      const grown = new Uint8Array(Math.min(limit, Math.max(needed, this.#bytes.length * 2)));
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.length);
    this.length = needed;
  }

  reset(): void {
    this.length = 0;
    this.splitter.reset();
  }
}

export class ChunkStream {
  readonly #store: ChunkStore;
  readonly #options: ObjectWriterOptions;
  readonly #buffer: ChunkBuffer;
  /** Stored chunks from the beginning of the file on, without gaps. */
  readonly #chunks: IndirectEntry[];
  #storedBytes: number;
  /** Chunks of earlier parts. */
  #chunksBefore: number;

  /**
   * @param buffer reset, and this stream's own until it is done
   * @param chunks that are stored already
   * @param chunksBefore how many of them belong to earlier parts
   */
  constructor(
    store: ChunkStore,
    buffer: ChunkBuffer,
    options: ObjectWriterOptions,
    chunks: readonly IndirectEntry[] = [],
    chunksBefore = 0,
  ) {
    this.#store = store;
    this.#buffer = buffer;
    this.#options = options;
    this.#chunks = [...chunks];
    this.#storedBytes = endOf(chunks);
    this.#chunksBefore = chunksBefore;
  }

  /** Borrows `bytes` until the promise settles. */
  async append(bytes: Uint8Array): Promise<void> {
    const { splitter } = this.#buffer;
    let from = 0;
    while (from < bytes.length) {
      const cut = splitter.next(bytes, from);
      if (cut < 0) {
        this.#buffer.append(from === 0 ? bytes : bytes.subarray(from));
        return;
      }
      const piece = bytes.subarray(from, cut);
      if (this.#buffer.length === 0) await this.#write(piece);
      else {
        this.#buffer.append(piece);
        await this.#writeBuffer();
      }
      from = cut;
    }
  }

  /** Stores what is left of a part. A part without any bytes is one empty chunk. */
  async endPart(): Promise<void> {
    if (this.#buffer.length > 0 || this.#chunks.length === this.#chunksBefore)
      await this.#writeBuffer();
    this.#chunksBefore = this.#chunks.length;
    this.#buffer.reset();
  }

  async #writeBuffer(): Promise<void> {
    const { bytes } = this.#buffer;
    await this.#write(bytes);
    this.#buffer.length = 0;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const { length } = bytes;
    const objectId = await this.#store.writePart(bytes, this.#options);
    this.#chunks.push({ start: this.#storedBytes, length, objectId });
    this.#storedBytes += length;
  }

  /** The object over what is stored so far and its length; undefined when that is nothing. May be called at any time. */
  async join(): Promise<{ objectId: string; sizeBytes: number } | undefined> {
    const chunks = this.#chunks.slice();
    if (chunks.length === 0) return undefined;
    const objectId = await this.#store.joinParts(chunks, this.#options);
    return { objectId, sizeBytes: endOf(chunks) };
  }
}

export function endOf(chunks: readonly IndirectEntry[]): number {
  const last = chunks.at(-1);
  return last ? last.start + last.length : 0;
}
