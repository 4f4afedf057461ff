/**
 * The back-end on Node's zlib: native deflate, zstd and CRC-32, found at run time. It only ever sees one deflate stream or
 * one zstd frame at a time, whose surroundings the shared code has checked.
 * @module
 */
import { isDmError, nodeBuiltin } from "@dm/core";
import type { Backend } from "./backend.ts";
import {
  type CompressorFamily,
  checksumMismatch,
  corrupt,
  tooLarge,
  truncated,
} from "./failures.ts";
import { join } from "./growable.ts";
import type { Inflated } from "./inflate.ts";
import type { ZstdFrame } from "./zstd-frame.ts";

type Zlib = typeof import("node:zlib");

/** Pieces in which zlib returns its output. Below the lower bound Node takes them from a pool that others share. */
const minPieceBytes = 8 * 1024;
const maxPieceBytes = 4 * 1024 * 1024;
/** A window up to this needs no thought; every zstd decoder is asked to support it (RFC 8878, 3.1.1.1.2). */
const freeWindowBytes = 8 * 1024 * 1024;
const largestWindowLog = 30;

function pieceBytes(expectedBytes: number, maxBytes: number): number {
  return Math.max(minPieceBytes, Math.min(expectedBytes + 64, maxBytes + 64, maxPieceBytes));
}

/** zlib's result as plain bytes that share no memory and waste none. */
function ownBytes(buffer: Uint8Array): Uint8Array {
  return buffer.length === buffer.buffer.byteLength
    ? new Uint8Array(buffer.buffer, 0, buffer.length)
    : Uint8Array.prototype.slice.call(
        new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length),
      );
}

/** Node's codes in our terms. Anything else, such as a failed allocation, is not about the data. */
function translate(
  error: unknown,
  family: CompressorFamily,
  at: number,
  length: number,
  maxBytes: number,
): unknown {
  if (isDmError(error)) return error;
  const code = String((error as { code?: unknown })?.code);
  if (code === "ERR_BUFFER_TOO_LARGE") return tooLarge(maxBytes, error);
  if (code === "Z_BUF_ERROR" || code === "ZSTD_error_srcSize_wrong")
    return truncated(family, length);
  if (code === "ZSTD_error_checksum_wrong") return checksumMismatch(family, at, error);
  if (
    code === "Z_DATA_ERROR" ||
    code === "Z_NEED_DICT" ||
    (code.startsWith("ZSTD_") && code !== "ZSTD_error_memory_allocation")
  ) {
    return corrupt(family, (error as Error).message, at, error);
  }
  return error;
}

/** With `info`, zlib's one-shot calls also return their engine, which knows how much it read; the types do not say so. */
interface WithInfo {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

/**
 * The frame, with its window cut down to what its data can need. A header may ask for terabytes, and the native decoder
 * allocates what it asks for; the data, and so any match, can reach no further than `maxBytes` allows.
 */
function boundedFrame(source: Uint8Array, frame: ZstdFrame, maxBytes: number): Uint8Array {
  const bytes = source.subarray(frame.start, frame.end);
  if (frame.windowBytes <= freeWindowBytes || !frame.hasWindowDescriptor) return bytes;
  const needed = Math.max(freeWindowBytes, Math.min(frame.boundBytes, maxBytes));
  const log = Math.min(largestWindowLog, Math.ceil(Math.log2(needed)));
  if (2 ** log >= frame.windowBytes) return bytes;
  const bounded = bytes.slice();
  bounded[5] = (log - 10) << 3;
  return bounded;
}

/** Undefined where Node's zlib, or a part of it that is needed, is missing. */
export function createNodeBackend(): Backend | undefined {
  const zlib = nodeBuiltin<Zlib>("node:zlib");
  if (zlib === undefined) return undefined;
  if (typeof zlib.zstdDecompressSync !== "function" || typeof zlib.crc32 !== "function")
    return undefined;
  const { constants } = zlib;

  const inflate: Backend["inflate"] = (
    source,
    from,
    { family, maxBytes, expectedBytes },
  ): Inflated => {
    try {
      const { buffer, engine } = zlib.inflateRawSync(source.subarray(from), {
        info: true,
        chunkSize: pieceBytes(expectedBytes, maxBytes),
        maxOutputLength: Math.max(1, maxBytes),
      }) as unknown as WithInfo;
      if (buffer.length > maxBytes) throw tooLarge(maxBytes);
      return { bytes: ownBytes(buffer), end: from + engine.bytesWritten };
    } catch (error) {
      throw translate(error, family, from, source.length, maxBytes);
    }
  };

  const decodeZstd: Backend["decodeZstd"] = (source, frames, maxBytes) => {
    const parts: Uint8Array[] = [];
    let total = 0;
    for (const frame of frames) {
      const allowed = maxBytes - total;
      try {
        const expected =
          frame.contentBytes ?? Math.min(frame.boundBytes, 4 * (frame.end - frame.start));
        const part = zlib.zstdDecompressSync(boundedFrame(source, frame, allowed), {
          chunkSize: pieceBytes(expected, allowed),
          maxOutputLength: Math.max(1, allowed),
          params: { [constants.ZSTD_d_windowLogMax]: largestWindowLog },
        });
        if (part.length > allowed) throw tooLarge(maxBytes);
        parts.push(ownBytes(part));
        total += part.length;
      } catch (error) {
        throw translate(error, "zstd", frame.start, source.length, maxBytes);
      }
    }
    return join(parts, total);
  };

  const withPrefix = (encoded: Uint8Array, prefixLength: number): Uint8Array => {
    const bytes = new Uint8Array(prefixLength + encoded.length);
    bytes.set(encoded, prefixLength);
    return bytes;
  };

  return {
    name: "node",
    inflate,
    deflate: (data, level) =>
      zlib.deflateRawSync(data, { level, chunkSize: pieceBytes(data.length >> 1, data.length) }),
    crc32: (data) => zlib.crc32(data),
    decodeZstd,
    encodeZstd: (data, level, prefixLength) =>
      withPrefix(
        zlib.zstdCompressSync(data, {
          chunkSize: pieceBytes(data.length >> 1, data.length),
          params: {
            [constants.ZSTD_c_compressionLevel]: level,
            [constants.ZSTD_c_checksumFlag]: 1,
          },
        }),
        prefixLength,
      ),
  };
}
