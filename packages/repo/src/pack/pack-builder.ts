/**
 * Builds one pack blob in memory:
 * `[format copy] preamble(32 random) contents… padding to 4096 local-index postamble`.
 * Contents are encrypted straight into the pack's buffer. Format: docs/format/packs.md. Proof: test/pack.test.ts.
 * @module
 */
import { concatBytes, copyBytes, type RandomBytes, toHex } from "@dm/core";
import type { ContentId } from "../content-id.ts";
import { contentIdHash } from "../content-id.ts";
import { type Crypter, contentIv } from "../crypto/crypter.ts";
import { buildIndex } from "../index-blob/build.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import { encodePostamble } from "./postamble.ts";

const preambleBytes = 32;
const paddingUnit = 4096;
/** Random bytes after the data of an index that must not be equal to another's. */
export const indexSuffixBytes = 32;
const initialBytes = 64 << 10;
/** A pack that outgrows this gets room for all that it may hold: untouched pages cost nothing, copies do. */
const smallPackBytes = 1 << 20;

export type PackPrefix = "p" | "q";

export interface PackBuilderOptions {
  readonly prefix: PackPrefix;
  readonly sessionId: string;
  readonly crypter: Crypter;
  readonly randomBytes: RandomBytes;
  readonly indexVersion: 1 | 2;
  /** Copy of the format blob that repositories without password change carry in every pack; empty otherwise. */
  readonly formatCopy: Uint8Array;
  /** Length at which the caller ends a pack; saves copies when it is known. */
  readonly maxPackSizeBytes?: number | undefined;
  /** Buffers of packs before this one, for its own; none by default. */
  readonly freeBuffers?: Uint8Array[] | undefined;
}

/** What a content is, beside its bytes. */
export interface PackedContent {
  readonly contentId: ContentId;
  readonly originalLength: number;
  readonly compressionHeaderId: number;
  readonly formatVersion: number;
  readonly timestampSeconds: number;
  readonly deleted?: boolean;
}

export class PackBuilder {
  readonly blobId: string;
  readonly prefix: PackPrefix;
  readonly #options: PackBuilderOptions;
  #buffer: Uint8Array;
  #length = 0;
  #isFinished = false;
  readonly #entries: IndexEntry[] = [];

  constructor(options: PackBuilderOptions) {
    this.#options = options;
    this.prefix = options.prefix;
    this.blobId = `${options.prefix}${toHex(options.randomBytes(16))}-${options.sessionId}`;
    this.#buffer = new Uint8Array(initialBytes);
    this.#append(options.formatCopy);
    this.#append(options.randomBytes(preambleBytes));
  }

  /** Bytes so far, without padding and index. */
  get length(): number {
    return this.#length;
  }

  get entries(): readonly IndexEntry[] {
    return this.#entries;
  }

  /**
   * Encrypts `payload` (the plaintext, or its compressed form) to the end of the pack and returns the content's index
   * entry.
   */
  add(content: PackedContent, payload: Uint8Array): IndexEntry {
    this.#assertOpen();
    const { crypter } = this.#options;
    const iv = contentIv(contentIdHash(content.contentId));
    const room = crypter.storedLength(payload.length);
    this.#reserve(room);
    const sealed = crypter.seal(
      payload,
      iv,
      this.#buffer.subarray(this.#length, this.#length + room),
    );
    return this.#enter(content, sealed.length);
  }

  /** The same for a payload that is encrypted already, under the content's iv. */
  addSealed(content: PackedContent, sealed: Uint8Array): IndexEntry {
    this.#assertOpen();
    this.#reserve(sealed.length);
    copyBytes(sealed, this.#buffer, this.#length);
    return this.#enter(content, sealed.length);
  }

  #assertOpen(): void {
    if (this.#isFinished) throw new TypeError(`pack ${this.blobId} is finished`);
  }

  /** Takes in the bytes that were put at the end. */
  #enter(content: PackedContent, packedLength: number): IndexEntry {
    const entry: IndexEntry = {
      contentId: content.contentId,
      timestampSeconds: content.timestampSeconds,
      packBlobId: this.blobId,
      packOffset: this.#length,
      packedLength,
      originalLength: content.originalLength,
      compressionHeaderId: content.compressionHeaderId,
      formatVersion: content.formatVersion,
      encryptionKeyId: 0,
      deleted: content.deleted ?? false,
    };
    this.#length += packedLength;
    this.#entries.push(entry);
    return entry;
  }

  /** Stored bytes of a content in this pack; a view, valid until the next `add`. */
  packed(entry: IndexEntry): Uint8Array {
    return this.#buffer.subarray(entry.packOffset, entry.packOffset + entry.packedLength);
  }

  /**
   * Adds padding, local index and postamble; the result is a view of the builder's own buffer. Asked again, it answers
   * the same bytes: a pack that could not be stored is stored under its name as it was.
   */
  finish(): Uint8Array {
    if (!this.#isFinished) this.#complete();
    return this.#buffer.subarray(0, this.#length);
  }

  /**
   * Hands the buffer on to a later pack: new memory costs a page fault for each 4 KiB, and a collection to get rid of. The pack
   * must not be used any more.
   */
  recycle(): void {
    const { freeBuffers, maxPackSizeBytes = 0 } = this.#options;
    if (this.#buffer.length === maxPackSizeBytes * 1.5) freeBuffers?.push(this.#buffer);
    this.#buffer = new Uint8Array(0);
  }

  #complete(): void {
    const { crypter, indexVersion, randomBytes } = this.#options;
    this.#append(randomBytes(paddingUnit - (this.#length % paddingUnit)));
    const localIndex = concatBytes(
      buildIndex(this.#entries, { version: indexVersion }),
      randomBytes(indexSuffixBytes),
    );
    const localIndexIv = crypter.hash.digest(localIndex);
    const sealed = crypter.seal(localIndex, localIndexIv);
    const localIndexOffset = this.#length;
    this.#append(sealed);
    this.#append(
      encodePostamble({ localIndexIv, localIndexOffset, localIndexLength: sealed.length }),
    );
    this.#isFinished = true;
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const { freeBuffers, maxPackSizeBytes = 0 } = this.#options;
    // Half as much again for the last content and the local index.
    const whole = needed > smallPackBytes ? maxPackSizeBytes * 1.5 : 0;
    const length = Math.max(needed, this.#buffer.length * 2, whole);
    const grown = (length === whole && freeBuffers?.pop()) || new Uint8Array(length);
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
