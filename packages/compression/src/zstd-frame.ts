/**
 * The outer structure of zstd data (RFC 8878): frames, their headers and the extents of their blocks. Walking it first costs
 * three bytes a block and settles, the same way for both back-ends, where the stream must end, how much memory it may ask
 * for and which features it uses.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts, test/zstd.test.ts.
 * @module
 */
import { corrupt, tooLarge, trailing, truncated } from "./failures.ts";

export const zstdMagic = 0xfd2fb528;
/** The 16 magic numbers of frames to be skipped, without their last four bits. */
const skippableMagic = 0x184d2a5;
/** No block is longer than this, stored or decompressed. */
export const maxBlockBytes = 128 * 1024;

export const blockRaw = 0;
export const blockRepeat = 1;
export const blockCompressed = 2;

export interface ZstdFrame {
  /** Offset of the magic number. */
  readonly start: number;
  /** Offset of the first block header. */
  readonly blocks: number;
  /** Offset just past the checksum, or past the last block. */
  readonly end: number;
  /** How far back a match may reach. Up to 2^41: a statement to be distrusted, not a size to allocate. */
  readonly windowBytes: number;
  /** Stated length of the data, if the header has one. */
  readonly contentBytes: number | undefined;
  /** Whether the header has a window descriptor, at `start + 5`. */
  readonly hasWindowDescriptor: boolean;
  readonly hasChecksum: boolean;
  /** No block of this frame decompresses to more. */
  readonly blockMaxBytes: number;
  /** The data cannot be longer than this, by the blocks there are. */
  readonly boundBytes: number;
}

function readUint(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + bytes[at + index]!;
  return value;
}

function readFrame(source: Uint8Array, start: number): ZstdFrame {
  const length = source.length;
  if (start + 6 > length) throw truncated("zstd", length);
  const descriptor = source[start + 4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0)
    throw corrupt("zstd", "reserved bit of the frame header is set", start + 4);
  const dictionaryLength = [0, 1, 2, 4][descriptor & 3]!;
  const sizeCode = descriptor >> 6;
  const sizeLength = sizeCode === 0 ? (singleSegment ? 1 : 0) : 1 << sizeCode;
  let at = start + 5;
  const headerEnd = at + (singleSegment ? 0 : 1) + dictionaryLength + sizeLength;
  if (headerEnd > length) throw truncated("zstd", length);
  let windowBytes = 0;
  if (!singleSegment) {
    const base = 2 ** (10 + (source[at]! >> 3));
    windowBytes = base + (base / 8) * (source[at]! & 7);
    at++;
  }
  if (readUint(source, at, dictionaryLength) !== 0)
    throw corrupt("zstd", "it asks for a dictionary", at);
  at += dictionaryLength;
  let contentBytes: number | undefined;
  if (sizeLength > 0)
    contentBytes = readUint(source, at, sizeLength) + (sizeLength === 2 ? 256 : 0);
  at += sizeLength;
  if (singleSegment) windowBytes = contentBytes!;
  const blockMaxBytes = Math.min(windowBytes, maxBlockBytes);

  const blocks = at;
  let boundBytes = 0;
  for (let last = false; !last; ) {
    if (at + 3 > length) throw truncated("zstd", length);
    const header = readUint(source, at, 3);
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3) throw corrupt("zstd", "no such block type", at);
    if (size > blockMaxBytes) throw corrupt("zstd", `a block of ${size} bytes is too long`, at);
    boundBytes += type === blockCompressed ? blockMaxBytes : size;
    at += 3 + (type === blockRepeat ? 1 : size);
    if (at > length) throw truncated("zstd", length);
  }
  const hasChecksum = (descriptor & 4) !== 0;
  if (hasChecksum) at += 4;
  if (at > length) throw truncated("zstd", length);
  if (contentBytes !== undefined && contentBytes > boundBytes) {
    throw corrupt("zstd", "its blocks cannot hold the length that its header states", start);
  }
  return {
    start,
    blocks,
    end: at,
    windowBytes,
    contentBytes,
    hasWindowDescriptor: !singleSegment,
    hasChecksum,
    blockMaxBytes,
    boundBytes,
  };
}

/**
 * The frames from `from` to the end of `source`, without those to be skipped; none for an empty payload.
 * @throws {FormatError} `DM_COMPRESSED_TRUNCATED`, `DM_COMPRESSED_TRAILING`, `DM_COMPRESSED_CORRUPT`, and
 *   `DM_DECOMPRESSED_TOO_LARGE` when the stated lengths alone exceed `maxBytes`.
 */
export function readZstdFrames(source: Uint8Array, from: number, maxBytes: number): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  let stated = 0;
  for (let at = from; at < source.length; ) {
    const magic = at + 4 <= source.length ? readUint(source, at, 4) : -1;
    if (magic === zstdMagic) {
      const frame = readFrame(source, at);
      stated += frame.contentBytes ?? 0;
      if (stated > maxBytes) throw tooLarge(maxBytes);
      frames.push(frame);
      at = frame.end;
    } else if (magic >= 0 && Math.floor(magic / 16) === skippableMagic) {
      if (at + 8 > source.length) throw truncated("zstd", source.length);
      at += 8 + readUint(source, at + 4, 4);
      if (at > source.length) throw truncated("zstd", source.length);
    } else if (at > from) {
      throw trailing("zstd", at, source.length - at);
    } else {
      throw magic < 0
        ? truncated("zstd", source.length)
        : corrupt("zstd", "no zstd frame begins here", at);
    }
  }
  return frames;
}
