/**
 * zstd frames from plain TypeScript: legal and with a checksum, but stored. Blocks of one repeated byte shrink to four bytes,
 * all others stay as long as they are; a caller that keeps the shorter form will mostly keep the plain data.
 * Format: docs/format/compression.md. Proof: test/zstd.test.ts.
 * @module
 */
import { xxh64Low } from "./xxh64.ts";
import { blockRaw, blockRepeat, maxBlockBytes } from "./zstd-frame.ts";

/** Magic number, descriptor, window descriptor, content size of four bytes. */
const headerLength = 10;
const blockHeaderLength = 3;
const checksumLength = 4;
/** Content size of four bytes, checksum. */
const descriptor = 0x84;
const maxWindowLog = 23;

function isOneByte(data: Uint8Array, from: number, to: number): boolean {
  const first = data[from]!;
  for (let at = from + 1; at < to; at++) if (data[at] !== first) return false;
  return true;
}

/** One frame, after `prefixLength` bytes left free for the caller. */
export function encodeZstdStored(data: Uint8Array, prefixLength: number): Uint8Array {
  const blockCount = Math.max(1, Math.ceil(data.length / maxBlockBytes));
  const bytes = new Uint8Array(
    prefixLength + headerLength + blockCount * blockHeaderLength + data.length + checksumLength,
  );
  // No match reaches back, so the window only has to allow blocks of the size written.
  const windowLog = Math.min(
    maxWindowLog,
    Math.max(10, 32 - Math.clz32(Math.min(data.length, maxBlockBytes) - 1)),
  );
  const length = data.length;
  bytes.set([0x28, 0xb5, 0x2f, 0xfd, descriptor, (windowLog - 10) << 3], prefixLength);
  bytes.set([length, length >>> 8, length >>> 16, length >>> 24], prefixLength + 6);
  let to = prefixLength + headerLength;
  for (let index = 0; index < blockCount; index++) {
    const from = index * maxBlockBytes;
    const end = Math.min(data.length, from + maxBlockBytes);
    const size = end - from;
    const repeat = size > 1 && isOneByte(data, from, end);
    const header =
      (size << 3) | ((repeat ? blockRepeat : blockRaw) << 1) | (index === blockCount - 1 ? 1 : 0);
    bytes.set([header, header >>> 8, header >>> 16], to);
    to += blockHeaderLength;
    bytes.set(data.subarray(from, repeat ? from + 1 : end), to);
    to += repeat ? 1 : size;
  }
  const checksum = xxh64Low(data);
  bytes.set([checksum, checksum >>> 8, checksum >>> 16, checksum >>> 24], to);
  return bytes.slice(0, to + checksumLength);
}
