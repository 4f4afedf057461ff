/**
 * A volume, as an uploader sees it: a size, bytes by position, and what is known of it without reading. A block device or
 * an image file is one (`openVolume` of `@dm/snapshot/node`).
 * @module
 */
import type { CallOptions } from "@dm/storage";
import type { ByteRange } from "./byte-ranges.ts";

/** A block device, an image, or anything else that is read by position. */
export interface Volume {
  readonly sizeBytes: number;
  /** What may hold data; everything else reads as zeros and is never read. All of it by default. */
  readonly dataRanges?: readonly ByteRange[] | undefined;
  /** Fills `target` with the bytes from `offset` on. It is borrowed until the promise settles. */
  read(target: Uint8Array, offset: number, options?: CallOptions): Promise<void>;
}

/** What has changed since a volume was backed up, as change trackers tell it. */
export interface ChangedBlocks {
  /** The object with the volume's bytes as they were: that of the only file of its snapshot. */
  readonly baseObjectId: string;
  /** What may differ from the base, in any order. What lies beyond the base's end counts as changed anyhow. */
  readonly ranges: Iterable<ByteRange> | AsyncIterable<ByteRange>;
}
