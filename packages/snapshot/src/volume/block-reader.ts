/**
 * Reads a volume forwards in blocks, holes left out, the next block under way while one is used.
 * Memory: two blocks. Proof: test/volume-cutter.test.ts.
 * @module
 */
import { type ByteRange, firstRangeBehind } from "./byte-ranges.ts";
import type { Volume } from "./volume.ts";

/** Bytes that follow each other: of a block, or `bytes` undefined for a hole. */
export interface Run {
  readonly length: number;
  /** Borrowed until the next call. */
  readonly bytes: Uint8Array | undefined;
}

export interface BlockReader {
  /** What comes at `offset`, as far as one block or one hole goes, and never beyond `end`. */
  next(offset: number, end: number): Promise<Run>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

interface Pending {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly done: Promise<void>;
}

/** @param dataRanges in order, merged */
export function blockReader(
  volume: Volume,
  dataRanges: readonly ByteRange[],
  blockBytes: number,
  signal: AbortSignal | undefined,
): BlockReader {
  const buffers = [new Uint8Array(blockBytes), new Uint8Array(blockBytes)];
  let turn = 0;
  let pending: Pending | undefined;

  /** The next data at or behind `offset`: up to the end of its range, or to a multiple of the block's length. */
  const dataBehind = (offset: number, end: number): ByteRange | undefined => {
    const range = dataRanges[firstRangeBehind(dataRanges, offset)];
    if (range === undefined || range.start >= end) return undefined;
    const start = Math.max(offset, range.start);
    const aligned = start - (start % blockBytes) + blockBytes;
    return { start, length: Math.min(range.start + range.length, end, aligned) - start };
  };

  const begin = ({ length, start }: ByteRange): Pending => {
    const bytes = buffers[turn]!.subarray(0, length);
    turn = 1 - turn;
    const done = volume.read(bytes, start, { signal });
    // Whoever waits for it gets the failure; until then it must not count as unhandled.
    done.catch(() => {});
    return { offset: start, bytes, done };
  };

  const settle = async (): Promise<void> => {
    const under = pending;
    pending = undefined;
    await under?.done.catch(() => {});
  };

  return {
    async next(offset, end) {
      signal?.throwIfAborted();
      if (pending && pending.offset < offset) await settle();
      const data = dataBehind(offset, end);
      if (data === undefined) return { length: end - offset, bytes: undefined };
      if (data.start > offset) return { length: data.start - offset, bytes: undefined };
      if (pending && (pending.offset !== offset || pending.bytes.length > end - offset))
        await settle();
      const current = pending ?? begin(data);
      pending = undefined;
      await current.done;
      const ahead = dataBehind(offset + current.bytes.length, end);
      if (ahead) pending = begin(ahead);
      return { length: current.bytes.length, bytes: current.bytes };
    },
    close: settle,
  };
}
