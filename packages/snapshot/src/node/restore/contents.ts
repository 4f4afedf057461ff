/**
 * From stored bytes of packs to plaintext, for whoever writes files: in this thread or in another.
 * Proof: test/restore-tree.test.ts.
 * @module
 */
import { decompress } from "@dm/compression";
import { FormatError, IntegrityError } from "@dm/core";
import type { ContentReader, IndexEntry } from "@dm/repo";
import type { Failure } from "./failures.ts";

/** One content of a group: where it lies among the bytes that were read, or what became of it. */
export type LoadedContent =
  | { readonly entry: IndexEntry; readonly buffer: number; readonly at: number }
  | { readonly entry: IndexEntry; readonly plaintext: Uint8Array }
  | { readonly failure: Failure };

/** A piece of a file: bytes of one content. */
export interface Piece {
  /** Position among the contents of the group. */
  readonly content: number;
  /** Offset in the file. */
  readonly start: number;
  /** As the entry or the index of the object says; undefined for a link. */
  readonly length: number | undefined;
  /** The content holds a compressed stream, as objects of index version 1 do. */
  readonly isCompressed: boolean;
}

/** Contents of one group, and the stored bytes that they lie in. */
export interface LoadedContents {
  readonly buffers: readonly Uint8Array[];
  readonly contents: readonly LoadedContent[];
}

export type Decoder = Pick<ContentReader, "decode" | "matchesId">;

/** Longest part of a compressed object. */
const maxPartBytes = 2 ** 28 - 1;

/** Shorter memory is the collector's. */
const freedBytes = 16 << 10;

/** What a piece that cannot be had throws; the failure is known already. */
export class PieceFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.reason);
    this.failure = failure;
  }
}

/** Decrypts pieces, and remembers the last: runs of zeros in a large file are one content many times over. */
export class PieceReader {
  readonly #decoder: Decoder;
  readonly #isOwner: boolean;
  #lastKey = "";
  #last: Uint8Array | undefined;

  /** @param options `isOwner`: what was borrowed is gone with the next call, and its memory freed at once; off by default */
  constructor(decoder: Decoder, options: { readonly isOwner?: boolean } = {}) {
    this.#decoder = decoder;
    this.#isOwner = options.isOwner ?? false;
  }

  /**
   * The plaintext of a piece; borrowed until the next call.
   * @throws {PieceFailure} when the content could not be read; damage as `ContentReader.decode`
   */
  plaintext({ buffers, contents }: LoadedContents, piece: Piece): Uint8Array {
    const loaded = contents[piece.content]!;
    if ("failure" in loaded) throw new PieceFailure(loaded.failure);
    const { entry } = loaded;
    const key = `${piece.isCompressed ? "Z" : ""}${entry.contentId}`;
    if (this.#last === undefined || key !== this.#lastKey) {
      if (this.#isOwner && this.#last) free(this.#last);
      this.#last = undefined;
      const bytes = "plaintext" in loaded ? loaded.plaintext : this.#decode(loaded, buffers);
      this.#last = piece.isCompressed ? decompressed(bytes, key) : bytes;
      this.#lastKey = key;
    }
    const { length } = this.#last;
    if (piece.length !== undefined && piece.length !== length) {
      throw new FormatError(
        "DM_OBJECT_PART_LENGTH_MISMATCH",
        `content ${entry.contentId} has ${length} bytes where its file has ${piece.length}`,
        { contentId: entry.contentId, length, expected: piece.length },
      );
    }
    return this.#last;
  }

  #decode(
    { at, buffer, entry }: { entry: IndexEntry; buffer: number; at: number },
    buffers: readonly Uint8Array[],
  ): Uint8Array {
    return this.#decoder.decode(entry, buffers[buffer]!.subarray(at, at + entry.packedLength));
  }

  /** @throws {IntegrityError} `DM_CONTENT_ALTERED` when the plaintext does not hash to the content's id */
  checkHash(loaded: LoadedContent, plaintext: Uint8Array): void {
    if ("failure" in loaded || this.#decoder.matchesId(loaded.entry.contentId, plaintext)) return;
    const { contentId } = loaded.entry;
    throw new IntegrityError(
      "DM_CONTENT_ALTERED",
      `content ${contentId} does not have the hash of its name`,
      { contentId },
    );
  }
}

/** Frees long memory without waiting for the collector, which sees what is outside of its heap late. */
function free({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > freedBytes && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer)
    buffer.transfer(0);
}

function decompressed(stored: Uint8Array, id: string): Uint8Array {
  if (stored.length < 4) {
    throw new FormatError(
      "DM_OBJECT_COMPRESSION_INVALID",
      `compressed object ${id} has ${stored.length} bytes`,
      { objectId: id },
    );
  }
  return decompress(stored, { maxBytes: maxPartBytes });
}
