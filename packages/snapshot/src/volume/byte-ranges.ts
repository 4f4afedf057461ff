/**
 * Ranges of bytes: what of a volume holds data, what of it has changed.
 * Proof: test/byte-ranges.test.ts.
 * @module
 */

/** A part of a volume. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/**
 * The same bytes in as few ranges as possible, in order; what lies beyond `sizeBytes` is cut off, empty ranges are left out.
 * @throws {RangeError} for a range that is not made of integers from 0 to 2^53 - 1
 */
export function mergeRanges(ranges: Iterable<ByteRange>, sizeBytes: number): ByteRange[] {
  const sorted: ByteRange[] = [];
  for (const { length, start } of ranges) {
    if (!isOffset(start) || !isOffset(length))
      throw new RangeError(`no range of bytes: ${length} from ${start} on`);
    if (length > 0 && start < sizeBytes) sorted.push({ start, length });
  }
  sorted.sort((a, b) => a.start - b.start);
  const merged: ByteRange[] = [];
  for (const { length, start } of sorted) {
    const end = Math.min(start + length, sizeBytes);
    const last = merged.at(-1);
    if (last === undefined || last.start + last.length < start)
      merged.push({ start, length: end - start });
    else if (last.start + last.length < end)
      merged[merged.length - 1] = { start: last.start, length: end - last.start };
  }
  return merged;
}

const isOffset = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** How many bytes ranges that do not overlap have together. */
export function lengthOfRanges(ranges: Iterable<ByteRange>): number {
  let total = 0;
  for (const { length } of ranges) total += length;
  return total;
}

/** Position of the first range that ends behind `offset`; ranges are in order and do not overlap. */
export function firstRangeBehind(ranges: readonly ByteRange[], offset: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { length, start } = ranges[middle]!;
    if (start + length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
