/**
 * The data plane that works where it is called: it reads, splits, and hands every chunk to the session, which hashes,
 * compresses and encrypts in this thread. Memory: for each file under way one chunk of at most the splitter's longest, and
 * about 100 bytes for each chunk that is stored.
 * Proof: test/in-place-plane.test.ts.
 * @module
 */
import {
  type IndirectEntry,
  isDamage,
  type ObjectWriterOptions,
  parseObjectId,
  type SealedContents,
  type WriteSession,
} from "@dm/repo";
import type { SourceFile } from "../source/source-entry.ts";
import { ChunkBuffer, ChunkStream, endOf } from "./chunk-stream.ts";
import type { DataPlane, StoredFile, StoreFileOptions, StoreTask } from "./data-plane.ts";

/** What is needed of a write session to store files. */
export type PlaneSession = Pick<
  WriteSession,
  "joinParts" | "objectParts" | "sealedContents" | "writePart"
>;

/**
 * A data plane in this thread. Everything that it stores becomes durable with the session's next flush.
 * @example
 * await using plane = inPlacePlane(session);
 * const { objectId } = await plane.store(file).done;
 */
export function inPlacePlane(session: PlaneSession): DataPlane {
  return new InPlacePlane(session);
}

class InPlacePlane implements DataPlane {
  readonly #session: PlaneSession;
  /** Free ones by the name of their splitter; there are never more than files were under way at once. */
  readonly #buffers = new Map<string, ChunkBuffer[]>();

  constructor(session: PlaneSession) {
    this.#session = session;
  }

  store(file: SourceFile, options: StoreFileOptions = {}): StoreTask {
    let stream: ChunkStream | undefined;
    const done = this.#store(file, options, (begun) => {
      stream = begun;
    });
    return { done, checkpoint: async () => stream?.join() };
  }

  async #store(
    file: SourceFile,
    options: StoreFileOptions,
    onBegun: (stream: ChunkStream) => void,
  ): Promise<StoredFile> {
    const { compressor, metadataCompressor, onBytes, partBytes, resumeFrom, signal } = options;
    const splitter = options.splitter ?? this.#session.sealedContents.format.splitter;
    const writerOptions: ObjectWriterOptions = { compressor, metadataCompressor };
    const parts = partsOf(file, partBytes);
    const chunks = resumeFrom ? await chunksToTakeOver(this.#session, resumeFrom, file, parts) : [];
    const buffer = this.#takeBuffer(splitter);
    try {
      let at = endOf(chunks);
      let part = Math.min(Math.floor(at / parts.length), parts.count - 1);
      const partStart = part === 0 ? 0 : part * parts.length;
      const chunksBefore = chunks.filter(({ start }) => start < partStart).length;
      const stream = new ChunkStream(this.#session, buffer, writerOptions, chunks, chunksBefore);
      onBegun(stream);
      for await (const slice of file.read({ signal, from: at })) {
        signal?.throwIfAborted();
        onBytes?.(slice.length);
        let from = 0;
        while (from < slice.length) {
          const end = part < parts.count - 1 ? (part + 1) * parts.length : Infinity;
          const length = Math.min(slice.length - from, end - at);
          await stream.append(slice.subarray(from, from + length));
          from += length;
          at += length;
          if (at === end) {
            await stream.endPart();
            part += 1;
          }
        }
      }
      // A file that has become shorter has empty parts at its end.
      for (; part < parts.count; part++) await stream.endPart();
      return (await stream.join())!;
    } finally {
      this.#giveBack(splitter, buffer);
    }
  }

  #takeBuffer(splitter: string): ChunkBuffer {
    const buffer = this.#buffers.get(splitter)?.pop() ?? new ChunkBuffer(splitter);
    buffer.reset();
    return buffer;
  }

  #giveBack(splitter: string, buffer: ChunkBuffer): void {
    const free = this.#buffers.get(splitter);
    if (free) free.push(buffer);
    else this.#buffers.set(splitter, [buffer]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#buffers.clear();
  }
}

export interface FileParts {
  readonly count: number;
  readonly length: number;
}

/** As Kopia cuts a large file: full parts, and what is left, which may be nothing, as the last. */
export function partsOf(file: SourceFile, partBytes: number | undefined): FileParts {
  if (!partBytes || file.isStream || file.sizeBytes <= partBytes)
    return { count: 1, length: Infinity };
  return { count: Math.floor(file.sizeBytes / partBytes) + 1, length: partBytes };
}

/**
 * The chunks of an object that holds the beginning of a file, up to the first that is lost or marked as deleted; none when they
 * do not fit to the parts of the file.
 */
export async function chunksToTakeOver(
  session: PlaneSession,
  objectId: string,
  file: SourceFile,
  parts: FileParts,
): Promise<readonly IndirectEntry[]> {
  let chunks: readonly IndirectEntry[];
  try {
    chunks = liveBeginning(await session.objectParts(objectId), session.sealedContents);
  } catch (error) {
    // Then the file is read from its beginning.
    if (!isDamage(error)) throw error;
    return [];
  }
  const end = endOf(chunks);
  if (end === 0 || end > file.sizeBytes) return [];
  const starts = new Set(chunks.map(({ start }) => start));
  for (let part = 1; part < parts.count && part * parts.length < end; part++)
    if (!starts.has(part * parts.length)) return [];
  return chunks;
}

function liveBeginning(
  chunks: readonly IndirectEntry[],
  contents: SealedContents,
): readonly IndirectEntry[] {
  const lost = chunks.findIndex(({ objectId }) => {
    const { contentId, indirection } = parseObjectId(objectId);
    return contentId === undefined || indirection > 0 || !contents.has(contentId);
  });
  return lost < 0 ? chunks : chunks.slice(0, lost);
}
