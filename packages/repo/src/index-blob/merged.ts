/**
 * Several index blobs as one index: look-ups ask all of them, iteration merges them in key order.
 * Keeps nothing but the blobs' own bytes. Proof: test/index-vectors.test.ts, test/index-properties.test.ts.
 * @module
 */
import { compareBytes } from "@dm/core";
import { type ContentId, contentIdKey } from "../content-id.ts";
import { type IndexEntry, preferEntry } from "./entry.ts";
import type { PackIndex } from "./open.ts";

export interface MergedIndexOptions {
  /** Deleted entries with a timestamp up to this (Unix seconds) do not exist; 0 for none. */
  readonly deletedBeforeSeconds?: number | undefined;
}

export interface ListEntriesOptions {
  /** One letter, or the empty text for contents without a prefix; all by default. */
  readonly prefix?: string | undefined;
}

interface Cursor {
  readonly index: PackIndex;
  position: number;
  readonly end: number;
  key: Uint8Array;
}

export class MergedIndex {
  readonly #indexes: readonly PackIndex[];
  readonly #deletedBeforeSeconds: number;

  constructor(indexes: readonly PackIndex[], options: MergedIndexOptions = {}) {
    this.#indexes = indexes.filter((index) => index.count > 0);
    this.#deletedBeforeSeconds = options.deletedBeforeSeconds ?? 0;
  }

  /** Entries of all blobs, those that another outdoes included: an upper bound of the number of contents. */
  get entryCount(): number {
    return this.#indexes.reduce((sum, index) => sum + index.count, 0);
  }

  #exists(entry: IndexEntry): boolean {
    return !entry.deleted || entry.timestampSeconds > this.#deletedBeforeSeconds;
  }

  /** Entries of contents with a prefix, others of the same content included. */
  get metadataCount(): number {
    return this.#indexes.reduce((sum, index) => sum + index.count - firstMetadata(index), 0);
  }

  /** Where the last content with a prefix ends in each pack, by any entry. Looks at all of them: 0.1 µs each. */
  metadataEnds(): Map<string, number> {
    const ends = new Map<string, number>();
    for (const index of this.#indexes) {
      for (let position = firstMetadata(index); position < index.count; position++) {
        const { packBlobId, packOffset, packedLength } = index.entryAt(position, noId);
        const end = packOffset + packedLength;
        if (end > (ends.get(packBlobId) ?? 0)) ends.set(packBlobId, end);
      }
    }
    return ends;
  }

  /** Timestamp of the entry that the deletion watermark hides: a new one must outdo it. Undefined when there is none. */
  hiddenTimestamp(id: ContentId): number | undefined {
    if (this.#deletedBeforeSeconds === 0) return undefined;
    const newest = this.#newest(id);
    return newest && !this.#exists(newest) ? newest.timestampSeconds : undefined;
  }

  /** The entry that counts for a content, also of a deleted one; undefined when there is none. */
  find(id: ContentId): IndexEntry | undefined {
    const newest = this.#newest(id);
    return newest && this.#exists(newest) ? newest : undefined;
  }

  /**
   * A number for a content, the same one for as long as this index lives: from 0 to below `entryCount`, and -1 when the
   * content does not exist.
   */
  positionOf(id: ContentId): number {
    if (this.#deletedBeforeSeconds > 0 && !this.find(id)) return -1;
    const key = contentIdKey(id);
    let before = 0;
    for (const index of this.#indexes) {
      const position = index.find(key);
      if (position >= 0) return before + position;
      before += index.count;
    }
    return -1;
  }

  #newest(id: ContentId): IndexEntry | undefined {
    const key = contentIdKey(id);
    let best: IndexEntry | undefined;
    for (const index of this.#indexes) {
      const position = index.find(key);
      if (position < 0 || (best && index.timestampAt(position) < best.timestampSeconds)) continue;
      const entry = index.entryAt(position, id);
      best = best ? preferEntry(best, entry) : entry;
    }
    return best;
  }

  /** The entries that count, one a content, in the order of the keys. */
  *entries(options: ListEntriesOptions = {}): IterableIterator<IndexEntry> {
    const heap = this.#cursors(options.prefix);
    for (let at = (heap.length >> 1) - 1; at >= 0; at--) siftDown(heap, at);
    while (heap.length > 0) {
      const { key } = heap[0]!;
      let best: IndexEntry | undefined;
      while (heap.length > 0 && compareBytes(heap[0]!.key, key) === 0) {
        const cursor = heap[0]!;
        const entry = cursor.index.entryAt(cursor.position);
        best = best ? preferEntry(best, entry) : entry;
        cursor.position += 1;
        if (cursor.position < cursor.end) cursor.key = cursor.index.keyAt(cursor.position);
        else {
          const last = heap.pop()!;
          if (heap.length > 0) heap[0] = last;
          else break;
        }
        siftDown(heap, 0);
      }
      if (best && this.#exists(best)) yield best;
    }
  }

  #cursors(prefix: string | undefined): Cursor[] {
    const first = prefix === undefined ? undefined : prefix === "" ? 0 : prefix.charCodeAt(0);
    const cursors: Cursor[] = [];
    for (const index of this.#indexes) {
      const start = first === undefined ? 0 : index.lowerBound(Uint8Array.of(first));
      const end = first === undefined ? index.count : index.lowerBound(Uint8Array.of(first + 1));
      if (start < end) cursors.push({ index, position: start, end, key: index.keyAt(start) });
    }
    return cursors;
  }
}

const noId = "" as ContentId;

/** Position of the first content with a prefix: those without have the byte 0. */
const firstMetadata = (index: PackIndex): number => index.lowerBound(Uint8Array.of(1));

function siftDown(heap: Cursor[], start: number): void {
  let at = start;
  for (;;) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      if (child < heap.length && compareBytes(heap[child]!.key, heap[least]!.key) < 0)
        least = child;
    }
    if (least === at) return;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}
