/**
 * Which ranges of which packs are read for a group of contents: neighbours in one pack together, so that many small files
 * cost few reads. Pure. Proof: test/restore-plan.test.ts.
 * @module
 */
import type { IndexEntry } from "@dm/repo";

export interface PackRange {
  readonly packBlobId: string;
  readonly offset: number;
  readonly length: number;
  /** Positions of the entries that lie in it, by offset. */
  readonly members: readonly number[];
}

/** Longest range of several contents; a single longer content is a range of its own. */
export const maxRangeBytes = 8 << 20;

/** What may lie between two contents of one range and is read in vain: a request costs more than that. */
export const maxGapBytes = 64 << 10;

type Place = Pick<IndexEntry, "packBlobId" | "packOffset" | "packedLength">;

/** Ranges that cover all entries, by pack and offset; entries that overlap share a range. */
export function planReads(
  entries: readonly Place[],
  limits: { readonly maxRangeBytes?: number; readonly maxGapBytes?: number } = {},
): PackRange[] {
  const longest = limits.maxRangeBytes ?? maxRangeBytes;
  const gap = limits.maxGapBytes ?? maxGapBytes;
  const order = entries.map((_, index) => index);
  order.sort((a, b) => comparePlaces(entries[a]!, entries[b]!));
  const ranges: { packBlobId: string; offset: number; length: number; members: number[] }[] = [];
  for (const index of order) {
    const { packBlobId, packedLength, packOffset } = entries[index]!;
    const last = ranges.at(-1);
    const end = packOffset + packedLength;
    const isNear =
      last !== undefined &&
      last.packBlobId === packBlobId &&
      packOffset <= last.offset + last.length + gap &&
      end - last.offset <= longest;
    if (isNear) {
      last.length = Math.max(last.length, end - last.offset);
      last.members.push(index);
    } else {
      ranges.push({ packBlobId, offset: packOffset, length: packedLength, members: [index] });
    }
  }
  return ranges;
}

function comparePlaces(a: Place, b: Place): number {
  if (a.packBlobId !== b.packBlobId) return a.packBlobId < b.packBlobId ? -1 : 1;
  return a.packOffset - b.packOffset || a.packedLength - b.packedLength;
}
