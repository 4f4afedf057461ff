/**
 * Chunks between their hash and their place in a pack: each content is sealed once, however many files hold it at the same
 * time. Proof: test/data-plane.test.ts.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { ContentId, SealedContents } from "@dm/repo";

/** What a chunk is part of. */
export interface ChunkOwner {
  readonly compressor: CompressorName | undefined;
  readonly signal: AbortSignal | undefined;
  /** The content of the chunk at `place` is in the session. */
  stored(place: number, id: ContentId): void;
  /** Something went wrong with one of the chunks; may be called several times. */
  fail(reason: unknown): void;
}

export interface Chunk {
  readonly owner: ChunkOwner;
  /** The owner's own number for it. */
  readonly place: number;
  readonly length: number;
}

/** What of a job has to be sealed. */
export interface Sealing {
  readonly ids: ContentId[];
  readonly lengths: number[];
  /** Places in the job's list of chunks. */
  readonly picks: number[];
  readonly compressors: Array<CompressorName | undefined>;
}

export class ContentGate {
  readonly #contents: SealedContents;
  /** Contents that a worker is sealing, with all who wait for them. */
  readonly #sealing = new Map<ContentId, Chunk[]>();

  constructor(contents: SealedContents) {
    this.#contents = contents;
  }

  /**
   * Waits until contents may be added. Owners whose signal aborts, and all when the session fails, are told.
   * @returns whether anybody is left who wants them
   */
  async open(chunks: readonly Chunk[]): Promise<boolean> {
    for (;;) {
      let signal: AbortSignal | undefined;
      let isWanted = false;
      for (const { owner } of chunks) {
        if (owner.signal?.aborted) continue;
        isWanted = true;
        signal = owner.signal;
        break;
      }
      if (!isWanted) {
        for (const { owner } of chunks) owner.fail(owner.signal?.reason);
        return false;
      }
      try {
        await this.#contents.prepare({ signal });
        return true;
      } catch (reason) {
        if (signal?.aborted) continue;
        for (const { owner } of chunks) owner.fail(reason);
        return false;
      }
    }
  }

  /** Sorts out which chunks are new. `digests` are hexadecimal, one after the other. Waits for nothing. */
  pick(chunks: readonly Chunk[], digests: string): Sealing {
    const sealing: Sealing = { ids: [], lengths: [], picks: [], compressors: [] };
    const digits = chunks.length === 0 ? 0 : digests.length / chunks.length;
    for (let index = 0; index < chunks.length; index += 1) {
      const chunk = chunks[index]!;
      const { owner, place } = chunk;
      if (owner.signal?.aborted) {
        owner.fail(owner.signal.reason);
        continue;
      }
      const id = digests.slice(index * digits, (index + 1) * digits) as ContentId;
      const waiting = this.#sealing.get(id);
      if (waiting) waiting.push(chunk);
      else if (this.#contents.has(id)) owner.stored(place, id);
      else {
        this.#sealing.set(id, [chunk]);
        sealing.ids.push(id);
        sealing.lengths.push(chunk.length);
        sealing.picks.push(index);
        sealing.compressors.push(owner.compressor);
      }
    }
    return sealing;
  }

  /** Puts a sealed content into the session, and tells all who wait for it. */
  sealed(id: ContentId, originalLength: number, sealed: Uint8Array, headerId: number): void {
    try {
      const compressionHeaderId = headerId;
      this.#contents.write({ contentId: id, sealed, originalLength, compressionHeaderId });
    } catch (reason) {
      this.lost(id, reason);
      return;
    }
    for (const { owner, place } of this.#leave(id)) owner.stored(place, id);
  }

  /** The content will not be sealed. */
  lost(id: ContentId, reason: unknown): void {
    for (const { owner } of this.#leave(id)) owner.fail(reason);
  }

  #leave(id: ContentId): readonly Chunk[] {
    const waiting = this.#sealing.get(id) ?? [];
    this.#sealing.delete(id);
    return waiting;
  }
}
