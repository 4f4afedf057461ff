/**
 * The chunks of one file, in any order of arrival: which of them are stored, from the beginning on and without gaps.
 * Proof: test/data-plane.test.ts.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { ContentId, IndirectEntry } from "@dm/repo";
import type { ChunkOwner } from "./chunks.ts";

/** A part of a file, or all of it: chunks that follow each other from `start` on. */
export class PartChunks implements ChunkOwner {
  /** Where the part begins in the file. */
  readonly start: number;
  readonly compressor: CompressorName | undefined;
  readonly signal: AbortSignal | undefined;
  /** Settles when the end was reached and all chunks are stored, or at the first failure. */
  readonly done: Promise<void>;
  readonly #settle: PromiseWithResolvers<void>;
  readonly #chunks: Array<{ start: number; length: number; objectId: string | undefined }> = [];
  #end: number;
  #missing = 0;
  #isEnded = false;
  #failure: { readonly reason: unknown } | undefined;

  constructor(
    start: number,
    options: {
      readonly compressor?: CompressorName | undefined;
      readonly signal?: AbortSignal | undefined;
    },
    taken: readonly IndirectEntry[] = [],
  ) {
    this.compressor = options.compressor;
    this.signal = options.signal;
    this.#settle = Promise.withResolvers();
    this.done = this.#settle.promise;
    // Whoever waits for it comes later.
    this.done.catch(() => undefined);
    this.start = start;
    this.#end = start;
    for (const { length, objectId } of taken) this.#push(length, objectId);
  }

  /** Where the last chunk ends: where reading goes on. */
  get end(): number {
    return this.#end;
  }

  get count(): number {
    return this.#chunks.length;
  }

  get failure(): { readonly reason: unknown } | undefined {
    return this.#failure;
  }

  get isComplete(): boolean {
    return this.#isEnded && this.#missing === 0 && !this.#failure;
  }

  #push(length: number, objectId: string | undefined): void {
    this.#chunks.push({ start: this.#end, length, objectId });
    this.#end += length;
  }

  /** Notes the next chunk, which is not stored yet; answers its place. */
  add(length: number): number {
    this.#missing += 1;
    this.#push(length, undefined);
    return this.#chunks.length - 1;
  }

  /** No chunk follows. */
  finish(): void {
    this.#isEnded = true;
    if (this.isComplete) this.#settle.resolve();
  }

  stored(place: number, id: ContentId): void {
    this.#chunks[place]!.objectId = id;
    this.#missing -= 1;
    if (this.isComplete) this.#settle.resolve();
  }

  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#settle.reject(this.#failure.reason);
  }

  /** Stored chunks from the beginning on, up to the first that is missing. */
  storedPrefix(): IndirectEntry[] {
    const prefix: IndirectEntry[] = [];
    for (const { length, objectId, start } of this.#chunks) {
      if (objectId === undefined) break;
      prefix.push({ start, length, objectId });
    }
    return prefix;
  }
}
