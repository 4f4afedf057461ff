/**
 * What differs between Node and a browser: deflate, zstd and CRC-32. The containers around them, and S2, are the same code.
 * @module
 */
import type { CompressorFamily } from "./failures.ts";
import type { Inflated } from "./inflate.ts";
import type { ZstdFrame } from "./zstd-frame.ts";

export type BackendName = "node" | "portable";

export interface Backend {
  readonly name: BackendName;
  /** One raw deflate stream from `from` on. `expectedBytes` is a guess. */
  inflate(
    source: Uint8Array,
    from: number,
    options: {
      readonly family: CompressorFamily;
      readonly maxBytes: number;
      readonly expectedBytes: number;
    },
  ): Inflated;
  /** A raw deflate stream; `level` 1 to 9. */
  deflate(data: Uint8Array, level: number): Uint8Array;
  crc32(data: Uint8Array): number;
  /** The data of frames whose extents are known to lie within `source`. */
  decodeZstd(source: Uint8Array, frames: readonly ZstdFrame[], maxBytes: number): Uint8Array;
  /** One frame with a checksum, after `prefixLength` bytes left free for the caller. */
  encodeZstd(data: Uint8Array, level: number, prefixLength: number): Uint8Array;
}
