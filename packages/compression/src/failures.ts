/**
 * The refusals of every decoder here, so that one damage has one code whichever family and back-end met it.
 * @module
 */
import { FormatError } from "@dm/core";

export type CompressorFamily = "gzip" | "zstd" | "s2" | "deflate";

/** The payload ends before its stream does. */
export function truncated(family: CompressorFamily, length: number): FormatError {
  return new FormatError(
    "DM_COMPRESSED_TRUNCATED",
    `${family} stream ends early, after ${length} stored bytes`,
    {
      family,
      length,
    },
  );
}

/** `offset` is where in the stored bytes, header ID included, or near there. */
export function corrupt(
  family: CompressorFamily,
  what: string,
  offset?: number,
  cause?: unknown,
): FormatError {
  const place = offset === undefined ? "" : ` near stored byte ${offset}`;
  return new FormatError(
    "DM_COMPRESSED_CORRUPT",
    `${family} stream is damaged${place}: ${what}`,
    { family, offset },
    { cause },
  );
}

/** Something follows a complete stream that is not another one. */
export function trailing(family: CompressorFamily, offset: number, count: number): FormatError {
  return new FormatError(
    "DM_COMPRESSED_TRAILING",
    `${count} bytes follow the ${family} stream, which ends at stored byte ${offset}`,
    { family, offset, count },
  );
}

export function checksumMismatch(
  family: CompressorFamily,
  offset: number,
  cause?: unknown,
): FormatError {
  return new FormatError(
    "DM_COMPRESSED_CHECKSUM",
    `decompressed data does not match the checksum of the ${family} stream near stored byte ${offset}`,
    { family, offset },
    { cause },
  );
}

export function tooLarge(maxBytes: number, cause?: unknown): FormatError {
  return new FormatError(
    "DM_DECOMPRESSED_TOO_LARGE",
    `decompressed data is longer than the ${maxBytes} bytes allowed`,
    { maxBytes },
    { cause },
  );
}
