/**
 * What every splitter is below its name: it looks for the next cut and keeps what it must of the bytes before.
 * @module
 */
export interface Cutter {
  /** Offset in `bytes` just past the next cut at or after `from`, or -1 when the segment goes on. */
  next(bytes: Uint8Array, from: number): number;
  reset(): void;
}

/** Slides the window (oldest byte first) over `bytes[from..to)`. */
export function slide(window: Uint8Array, bytes: Uint8Array, from: number, to: number): void {
  const length = to - from;
  const windowBytes = window.length;
  if (length >= windowBytes) {
    window.set(bytes.subarray(to - windowBytes, to));
    return;
  }
  window.copyWithin(0, length);
  // A loop: for a handful of bytes, making a view costs more than copying.
  for (let index = from; index < to; index++) window[windowBytes + index - to] = bytes[index]!;
}

/**
 * Looks through `bytes[from..to)` for the first byte after which the hash has no bit of `mask`; answers the offset just past it, or
 * -1. The 64 bytes before `from` are in `bytes`, and their hash is not handed over: it is worth its start only for many bytes.
 */
export type Scan = (bytes: Uint8Array, from: number, to: number, mask: number) => number;

/** Fewer bytes than this are not worth a {@link Scan}. */
export const minScanBytes = 1024;
