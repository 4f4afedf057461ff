/** Volumes in memory, laid out by segments, which refuse that a hole is read and count what is. */
import { splitmix64 } from "@dm/fixtures";
import { type ByteRange, lengthOfRanges, mergeRanges } from "../src/volume/byte-ranges.ts";
import type { Volume } from "../src/volume/volume.ts";
import { fc } from "./property.ts";

export interface MemoryVolume extends Volume {
  readonly bytes: Uint8Array;
  readonly dataRanges: readonly ByteRange[];
  /** Bytes read so far. */
  readBytes: number;
}

export function memoryVolume(bytes: Uint8Array, dataRanges?: readonly ByteRange[]): MemoryVolume {
  const ranges = mergeRanges(dataRanges ?? [{ start: 0, length: bytes.length }], bytes.length);
  return {
    bytes,
    sizeBytes: bytes.length,
    dataRanges: ranges,
    readBytes: 0,
    async read(target, offset) {
      const end = offset + target.length;
      const wanted = ranges.filter(({ length, start }) => start < end && start + length > offset);
      const inside = wanted.map(({ length, start }) => ({
        start: Math.max(start, offset),
        length: Math.min(start + length, end) - Math.max(start, offset),
      }));
      if (lengthOfRanges(inside) !== target.length)
        throw new Error(`reads ${target.length} bytes from ${offset} on, a hole among them`);
      target.set(bytes.subarray(offset, end));
      this.readBytes += target.length;
    },
  };
}

export interface Segment {
  /** `zeros` are data to the file system. */
  readonly kind: "hole" | "zeros" | "random" | "same";
  readonly length: number;
  readonly seed: number;
}

const interesting = [1, 63, 64, 65, 4096, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 128 << 10];

export const segment: fc.Arbitrary<Segment> = fc.record({
  kind: fc.constantFrom("hole", "hole", "zeros", "random", "random", "same"),
  length: fc.oneof(
    fc.constantFrom(...interesting),
    fc.integer({ min: 1, max: 5000 }),
    fc.integer({ min: 1, max: 400_000 }),
  ),
  seed: fc.nat(1_000_000),
});

export function bytesOfSegments(segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(segments.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const { kind, length, seed } of segments) {
    if (kind === "random") bytes.set(splitmix64(seed, length), at);
    if (kind === "same") bytes.fill(1 + (seed % 255), at, at + length);
    at += length;
  }
  return bytes;
}

export function volumeOfSegments(segments: readonly Segment[]): MemoryVolume {
  const ranges: ByteRange[] = [];
  let start = 0;
  for (const { kind, length } of segments) {
    if (kind !== "hole") ranges.push({ start, length });
    start += length;
  }
  return memoryVolume(bytesOfSegments(segments), ranges);
}
