/**
 * Cuts a volume into the chunks that the splitter makes of its whole stream, without reading its holes, and with the parts
 * of an earlier object taken over where nothing has changed.
 *
 * Holes go through the splitter as zeros from memory. That costs next to nothing: a chunk's first half (of the average) is
 * skipped, and behind it a window of zeros has the hash 0 in both families, which is a cut.
 * Parts can be taken over because a splitter remembers nothing across a cut that counts: its window of 64 bytes is far
 * shorter than the shortest chunk. So the cuts behind a common cut are the same as long as the bytes are.
 * Memory: two blocks, and one chunk of the splitter's longest. Format: docs/format/splitting.md, docs/format/snapshots.md.
 * Proof: test/volume-cutter.test.ts.
 * @module
 */
import type { IndirectEntry } from "@dm/repo";
import { createSplitter, splitterDescription } from "@dm/splitter";
import { blockReader } from "./block-reader.ts";
import { type ByteRange, firstRangeBehind, mergeRanges } from "./byte-ranges.ts";
import type { Volume } from "./volume.ts";
import { isZero } from "./zeros.ts";

/** Parts of an earlier object of the volume, and where the volume may differ from it. */
export interface CutBase {
  /** In order, without gaps, as an index has them. */
  readonly parts: readonly IndirectEntry[];
  /** In order, merged. */
  readonly changed: readonly ByteRange[];
}

export interface CutOptions {
  readonly splitter: string;
  readonly base?: CutBase | undefined;
  /** Bytes that are read at once; 4 MiB by default. */
  readonly blockBytes?: number | undefined;
  /** Told of bytes as they are read. */
  readonly onRead?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type VolumeChunk = { readonly start: number; readonly length: number } & (
  | {
      readonly kind: "data";
      /** Borrowed until the next chunk is asked for. */
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "zero" }
  | {
      /** A part of the base. */
      readonly kind: "kept";
      readonly objectId: string;
    }
);

const defaultBlockBytes = 4 << 20;
/** What goes through the splitter for a hole. */
const zeroBlock = new Uint8Array(256 << 10);

/**
 * The chunks of a volume, in order; they cover it without gaps. A volume of no bytes has none.
 * @example for await (const { start, length, kind } of cutVolume(volume, { splitter: "DYNAMIC-4M-BUZHASH" })) …
 */
export async function* cutVolume(
  volume: Volume,
  options: CutOptions,
): AsyncGenerator<VolumeChunk, void, void> {
  const { blockBytes = defaultBlockBytes, onRead, signal } = options;
  const { sizeBytes } = volume;
  const splitter = createSplitter(options.splitter);
  const dataRanges = mergeRanges(volume.dataRanges ?? [{ start: 0, length: sizeBytes }], sizeBytes);
  const base = options.base && keptParts(options.base, sizeBytes, options.splitter);
  const reader = blockReader(volume, dataRanges, blockBytes, signal);
  const buffer = chunkBuffer(splitter.maxChunkBytes);
  /** Where the chunk under way begins. */
  let start = 0;
  const take = (tail?: Uint8Array): VolumeChunk => {
    const length = buffer.length + (tail?.length ?? 0);
    const at = start;
    start += length;
    const bytes = buffer.take(tail);
    return bytes ? { kind: "data", start: at, length, bytes } : { kind: "zero", start: at, length };
  };
  try {
    let position = 0;
    while (position < sizeBytes) {
      if (position === start) {
        const part = base?.at(position);
        if (part) {
          yield { kind: "kept", start, length: part.length, objectId: part.objectId };
          start += part.length;
          position = start;
          splitter.reset();
          continue;
        }
      }
      // No kept part begins before that, so that all of it is needed.
      const run = await reader.next(position, base?.nextBehind(position) ?? sizeBytes);
      position += run.length;
      if (run.bytes === undefined) {
        for (let left = run.length; left > 0; ) {
          const zeros = zeroBlock.subarray(0, Math.min(left, zeroBlock.length));
          const cut = splitter.next(zeros);
          const count = cut < 0 ? zeros.length : cut;
          buffer.addZeros(count);
          left -= count;
          if (cut >= 0) yield take();
        }
        continue;
      }
      onRead?.(run.length);
      for (let from = 0; from < run.length; ) {
        const cut = splitter.next(run.bytes, from);
        const piece = run.bytes.subarray(from, cut < 0 ? run.length : cut);
        from += piece.length;
        if (cut >= 0) yield take(piece);
        else buffer.add(piece);
      }
    }
    if (buffer.length > 0) yield take();
  } finally {
    await reader.close();
  }
}

interface KeptParts {
  /** The part that begins here and is taken over. */
  at(offset: number): IndirectEntry | undefined;
  /** Where the next part behind `offset` begins that is taken over. */
  nextBehind(offset: number): number | undefined;
}

function keptParts({ changed, parts }: CutBase, sizeBytes: number, splitter: string): KeptParts {
  const { maxChunkBytes, minChunkBytes } = splitterDescription(splitter);
  const last = parts.at(-1);
  const baseBytes = last ? last.start + last.length : 0;
  /** Ends of those parts that have to be made again, being changed or no chunk of this splitter. */
  const isKept = ({ length, start }: IndirectEntry): boolean => {
    const end = start + length;
    if (length === 0 || end > sizeBytes || length > maxChunkBytes) return false;
    // The end of the base was no cut; it is one only where it is the end of the volume, too.
    if (end === baseBytes ? end !== sizeBytes : length < minChunkBytes) return false;
    const change = changed[firstRangeBehind(changed, start)];
    return change === undefined || change.start >= end;
  };
  const kept = parts.filter(isKept);
  /** Of the first kept part at or behind an offset. */
  const indexAt = (offset: number): number => {
    let low = 0;
    let high = kept.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (kept[middle]!.start < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    at(offset) {
      const part = kept[indexAt(offset)];
      return part?.start === offset ? part : undefined;
    },
    nextBehind: (offset) => kept[indexAt(offset + 1)]?.start,
  };
}

interface ChunkBuffer {
  readonly length: number;
  addZeros(count: number): void;
  add(bytes: Uint8Array): void;
  /** All bytes and `tail` behind them; undefined when they are all zeros. Empties the buffer. */
  take(tail?: Uint8Array): Uint8Array | undefined;
}

/** Gathers one chunk. Zeros at its beginning take no memory, and a chunk that lies in one block is not copied. */
function chunkBuffer(maxChunkBytes: number): ChunkBuffer {
  let memory: Uint8Array | undefined;
  let length = 0;
  /** Nothing but zeros so far: they are counted, not written. */
  let allZero = true;

  const append = (bytes: Uint8Array): void => {
    memory ??= new Uint8Array(maxChunkBytes);
    if (allZero) memory.fill(0, 0, length);
    allZero = false;
    memory.set(bytes, length);
    length += bytes.length;
  };
  const addZeros = (count: number): void => {
    if (!allZero) memory!.fill(0, length, length + count);
    length += count;
  };
  const add = (bytes: Uint8Array): void => {
    if (allZero && isZero(bytes)) length += bytes.length;
    else append(bytes);
  };

  return {
    get length() {
      return length;
    },
    addZeros,
    add,
    take(tail) {
      if (tail && length === 0) return isZero(tail) ? undefined : tail;
      if (tail) add(tail);
      const bytes = allZero ? undefined : memory!.subarray(0, length);
      length = 0;
      allZero = true;
      return bytes;
    },
  };
}
