/**
 * The copy of the format blob that opens every pack of a repository without password change (version 1), so that
 * the format blob can be recovered from any pack. Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts.
 * @module
 */
import { concatBytes, equalBytes, utf8Encode } from "@dm/core";
import { hmacSha256 } from "@dm/encryption";

// Not a secret: the tag only tells a copy from other bytes.
const checksumKey = utf8Encode("kopia-repository");
const checksumLength = 32;
const maxBodyLength = 65_000;

/** How many bytes at each end of a pack hold the copy. */
export const formatCopySearchBytes = 65_536;

/**
 * `L || body || L`: body is the exact bytes of `kopia.repository` and their checksum, L its length as u16 little-endian.
 * @throws {RangeError} when the blob is too long to be embedded
 */
export function encodeFormatCopy(formatBlobBytes: Uint8Array): Uint8Array {
  const bodyLength = formatBlobBytes.length + checksumLength;
  if (bodyLength > maxBodyLength) {
    throw new RangeError(
      `a format blob of ${formatBlobBytes.length} bytes is too long to be copied into packs`,
    );
  }
  const length = Uint8Array.of(bodyLength & 0xff, bodyLength >> 8);
  return concatBytes(length, formatBlobBytes, hmacSha256(checksumKey, formatBlobBytes), length);
}

/**
 * Finds the copy at the start or at the end of a pack; undefined when there is none that checks out.
 * @param head the first {@link formatCopySearchBytes} bytes of the pack, or all of it
 * @param tail the last {@link formatCopySearchBytes} bytes of the pack, or all of it
 * @returns the exact bytes of the format blob, the caller's
 */
export function recoverFormatCopy(head: Uint8Array, tail: Uint8Array): Uint8Array | undefined {
  return copyAtStart(head) ?? copyAtEnd(tail);
}

function copyAtStart(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 2) return undefined;
  const length = bytes[0]! + bytes[1]! * 256;
  return length + 2 > bytes.length ? undefined : checked(bytes.subarray(2, 2 + length));
}

function copyAtEnd(bytes: Uint8Array): Uint8Array | undefined {
  const end = bytes.length - 2;
  if (end < 0) return undefined;
  const length = bytes[end]! + bytes[end + 1]! * 256;
  return length > end ? undefined : checked(bytes.subarray(end - length, end));
}

function checked(body: Uint8Array): Uint8Array | undefined {
  if (body.length <= checksumLength || body.length > maxBodyLength) return undefined;
  const copy = body.subarray(0, body.length - checksumLength);
  return equalBytes(hmacSha256(checksumKey, copy), body.subarray(copy.length))
    ? copy.slice()
    : undefined;
}
