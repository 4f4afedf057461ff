/**
 * Reads an object of any size by range or as a stream. Memory: one part, and the entries of the indexes above it.
 * Format: docs/format/objects.md. Proof: test/object.test.ts, test/golden.test.ts.
 * @module
 */
import { decompress } from "@dm/compression";
import { FormatError, NotFoundError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { maxContentBytes } from "../content/content-decoder.ts";
import type { ContentId } from "../content-id.ts";
import { decodeIndirect, type IndirectEntry } from "./indirect-codec.ts";
import { type ParsedObjectId, parseObjectId } from "./object-id.ts";

/** What an object reader needs of the layer below. */
export interface ContentSource {
  read(id: ContentId, options?: CallOptions): Promise<Uint8Array>;
}

/** What tells the length of a content without reading it. */
export interface ContentLengths {
  info(
    id: ContentId,
    options?: CallOptions,
  ): Promise<{ readonly originalLength: number } | undefined>;
}

/** Longest index object that is read, about 7 million entries: 28 TiB at the default splitter. Also what a string can hold. */
const maxIndexBytes = 500 << 20;
/** What a read allocates at once before any part has proved the object's length. */
const unprovenBytes = 64 << 20;
/** Indexes within indexes; only an object that contains itself has more. */
const maxNesting = 20;

export interface ReadRangeOptions extends CallOptions {
  /** First byte; 0 by default. */
  readonly offset?: number | undefined;
  /** How many bytes; everything to the end by default. */
  readonly length?: number | undefined;
}

/** An open object. Holds its index in memory, not its data; there is nothing to close. Errors as `Repository.readContent`. */
export interface ObjectReader {
  readonly id: string;
  /** Bytes of the whole object. */
  readonly length: number;
  /**
   * Bytes of a range, which must lie inside the object. Allocates `length` bytes.
   * @throws {RangeError} when the range does not lie inside the object
   */
  read(options?: ReadRangeOptions): Promise<Uint8Array>;
  /** The same range in pieces, each at most one part of the object; the next is fetched when it is asked for. */
  stream(options?: ReadRangeOptions): AsyncIterable<Uint8Array>;
}

/**
 * Opens an object; reads its index when it has one, and for a plain object its only content.
 * @throws {FormatError} `DM_OBJECT_ID_INVALID`, `DM_INDIRECT_INVALID`, `DM_OBJECT_PART_LENGTH_MISMATCH`
 */
export async function openObject(
  source: ContentSource,
  text: string,
  options: CallOptions = {},
): Promise<ObjectReader> {
  return openNested(source, text, options, 0);
}

async function openNested(
  source: ContentSource,
  text: string,
  options: CallOptions,
  nesting: number,
): Promise<ObjectReader> {
  const id = parseObjectId(text);
  if (id.contentId === undefined) {
    throw new NotFoundError(
      "DM_OBJECT_EMPTY_ID",
      `object id ${JSON.stringify(text)} names no content`,
      { objectId: text },
    );
  }
  if (id.indirection === 0) {
    const bytes = await readPlain(source, id, text, options);
    return plainObject(text, bytes);
  }
  checkNesting(text, nesting);
  const index = await openNested(source, text.slice(1), options, nesting + 1);
  if (index.length > maxIndexBytes) throw indexTooLong(text, index.length);
  const entries = decodeIndirect(await index.read(options), text);
  return partedObject(source, text, entries, nesting);
}

function indexTooLong(text: string, length: number): FormatError {
  return new FormatError(
    "DM_INDIRECT_INVALID",
    `index of object ${text} has ${length} bytes, more than ${maxIndexBytes}`,
    { objectId: text, length },
  );
}

function checkNesting(text: string, nesting: number): void {
  if (nesting < maxNesting) return;
  throw new FormatError(
    "DM_INDIRECT_INVALID",
    `index of object ${text}: more than ${maxNesting} indexes within each other`,
    { objectId: text },
  );
}

async function readPlain(
  source: ContentSource,
  id: ParsedObjectId,
  text: string,
  options: CallOptions,
): Promise<Uint8Array> {
  if (id.contentId === undefined) return new Uint8Array(0);
  const stored = await source.read(id.contentId, options);
  if (!id.compressed) return stored;
  if (stored.length < 4) {
    throw new FormatError(
      "DM_OBJECT_COMPRESSION_INVALID",
      `compressed object ${text} has ${stored.length} bytes`,
      { objectId: text },
    );
  }
  return decompress(stored, { maxBytes: maxContentBytes });
}

function checkRange(total: number, options: ReadRangeOptions): { offset: number; end: number } {
  const offset = options.offset ?? 0;
  const end = options.length === undefined ? total : offset + options.length;
  if (!(offset >= 0 && end >= offset && end <= total)) {
    throw new RangeError(`range ${offset}..${end} lies outside the object's ${total} bytes`);
  }
  return { offset, end };
}

function plainObject(id: string, bytes: Uint8Array): ObjectReader {
  return {
    id,
    length: bytes.length,
    async read(options = {}) {
      const { offset, end } = checkRange(bytes.length, options);
      return bytes.slice(offset, end);
    },
    async *stream(options = {}) {
      const { offset, end } = checkRange(bytes.length, options);
      if (end > offset) yield bytes.slice(offset, end);
    },
  };
}

function partedObject(
  source: ContentSource,
  id: string,
  entries: readonly IndirectEntry[],
  nesting: number,
): ObjectReader {
  const last = entries.at(-1);
  const length = last ? last.start + last.length : 0;

  async function* stream(options: ReadRangeOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset, end } = checkRange(length, options);
    for (let index = firstEntryAt(entries, offset); index < entries.length; index++) {
      const entry = entries[index]!;
      if (entry.start >= end) return;
      if (entry.length === 0) continue;
      const part = await openNested(source, entry.objectId, options, nesting + 1);
      if (part.length !== entry.length) {
        throw new FormatError(
          "DM_OBJECT_PART_LENGTH_MISMATCH",
          `part ${entry.objectId} of object ${id} has ${part.length} bytes, its index promises ${entry.length}`,
          {
            objectId: id,
            part: entry.objectId,
            offset: entry.start,
            length: part.length,
            expected: entry.length,
          },
        );
      }
      const from = Math.max(0, offset - entry.start);
      const to = Math.min(entry.length, end - entry.start);
      yield* part.stream({ offset: from, length: to - from, signal: options.signal });
    }
  }

  return {
    id,
    length,
    stream,
    async read(options = {}) {
      const { offset, end } = checkRange(length, options);
      const wanted = end - offset;
      // Until the parts arrive their lengths are claims of the index: memory grows with what is there.
      let bytes = new Uint8Array(Math.min(wanted, unprovenBytes));
      let at = 0;
      for await (const piece of stream(options)) {
        const needed = at + piece.length;
        if (needed > bytes.length) {
          const grown = new Uint8Array(Math.min(wanted, Math.max(needed, 2 * bytes.length)));
          grown.set(bytes.subarray(0, at));
          bytes = grown;
        }
        bytes.set(piece, at);
        at = needed;
      }
      return bytes;
    },
  };
}

/** Position of the entry that holds byte `offset`. */
function firstEntryAt(entries: readonly IndirectEntry[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle]!;
    if (entry.start + entry.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The parts of an object, in order: what its index lists, or the object itself as the only one. Reads the index, and data
 * only of a plain object whose length no index entry tells. A part may be an index of its own. Errors as {@link openObject}.
 */
export async function objectParts(
  source: ContentSource & ContentLengths,
  text: string,
  options: CallOptions = {},
): Promise<readonly IndirectEntry[]> {
  const { compressed, contentId, indirection } = parseObjectId(text);
  if (indirection > 0) {
    const index = await openObject(source, text.slice(1), options);
    if (index.length > maxIndexBytes) throw indexTooLong(text, index.length);
    return decodeIndirect(await index.read(options), text);
  }
  // The index knows the length of a content; only a compressed stream does not tell its own.
  const entry = contentId && !compressed ? await source.info(contentId, options) : undefined;
  const length = entry?.originalLength ?? (await openObject(source, text, options)).length;
  return [{ start: 0, length, objectId: text }];
}

/**
 * Ids of all contents that an object consists of, index contents included. An index that occurs several times is visited
 * once, so that indexes which name each other many times over cannot keep a caller busy for ever. Errors as
 * {@link openObject}.
 */
export function objectContents(
  source: ContentSource,
  text: string,
  options: CallOptions = {},
): AsyncGenerator<ContentId> {
  return nestedContents(source, text, options, 0, new Map());
}

async function* nestedContents(
  source: ContentSource,
  text: string,
  options: CallOptions,
  nesting: number,
  visits: Map<string, "open" | "done">,
): AsyncGenerator<ContentId> {
  const id = parseObjectId(text);
  if (id.contentId === undefined) return;
  if (id.indirection === 0) {
    yield id.contentId;
    return;
  }
  checkNesting(text, nesting);
  const visit = visits.get(text);
  if (visit === "open") {
    throw new FormatError("DM_INDIRECT_INVALID", `index of object ${text}: it contains itself`, {
      objectId: text,
    });
  }
  if (visit === "done") return;
  visits.set(text, "open");
  yield* nestedContents(source, text.slice(1), options, nesting + 1, visits);
  const index = await openNested(source, text.slice(1), options, nesting + 1);
  for (const entry of decodeIndirect(await index.read(options), text)) {
    yield* nestedContents(source, entry.objectId, options, nesting + 1, visits);
  }
  visits.set(text, "done");
}
