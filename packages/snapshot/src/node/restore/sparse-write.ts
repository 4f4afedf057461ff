/**
 * Positioned writes into a file that is new: what is left out reads as zeros.
 * Proof: test/restore-sparse.test.ts.
 * @module
 */
import { writeSync } from "node:fs";

/**
 * Bytes handed to one write call. With 5 MiB at once the kernel spent two to three times as long on the same bytes as with
 * 64 KiB (Linux 6.18, ext4; bench/restore.bench.ts).
 */
const writePieceBytes = 64 << 10;

const zeros = Buffer.alloc(writePieceBytes);

/** Writes everything. */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  writeRange(fd, bytes, 0, bytes.length, position);
}

/** Leaves out blocks of the file that are zeros as a whole; `blockBytes` is at most 64 KiB. */
export function writeSparse(
  fd: number,
  bytes: Uint8Array,
  position: number,
  blockBytes: number,
): void {
  let dataFrom = -1;
  for (let at = 0; at < bytes.length; ) {
    const next = Math.min(bytes.length, at + blockBytes - ((position + at) % blockBytes));
    if (isZero(bytes, at, next)) {
      if (dataFrom >= 0) writeRange(fd, bytes, dataFrom, at, position);
      dataFrom = -1;
    } else if (dataFrom < 0) dataFrom = at;
    at = next;
  }
  if (dataFrom >= 0) writeRange(fd, bytes, dataFrom, bytes.length, position);
}

/** The two ends first: of data at least one of them is hardly ever a zero. */
function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[from] !== 0 || bytes[to - 1] !== 0) return false;
  return zeros.compare(bytes, from, to, 0, to - from) === 0;
}

function writeRange(
  fd: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  position: number,
): void {
  for (let at = from; at < to; )
    at += writeSync(fd, bytes, at, Math.min(writePieceBytes, to - at), position + at);
}
