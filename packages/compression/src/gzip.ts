/**
 * The gzip container (RFC 1952) of the gzip and pgzip compressors: members around raw deflate streams. Both back-ends use
 * this one, so both are equally strict: library decoders accept trailing zeros or skip the checksum.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { Backend } from "./backend.ts";
import { checksumMismatch, corrupt, tooLarge, trailing, truncated } from "./failures.ts";
import { join } from "./growable.ts";
import type { Inflated } from "./inflate.ts";

const headerLength = 10;
const trailerLength = 8;
/** Deflate cannot do better than 258 bytes for two bits. */
const maxDeflateRatio = 1032;
const flagHeaderCrc = 2;
const flagExtra = 4;
const flagName = 8;
const flagComment = 16;
const reservedFlags = 0xe0;
/** What a writer puts where RFC 1952 asks for its file system, when it has none. */
const unknownSystem = 255;

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Offset just past the header of the member at `from`. */
function skipHeader(source: Uint8Array, from: number, backend: Backend): number {
  const end = source.length;
  const wrong = (what: string) => corrupt("gzip", what, from);
  if (end - from >= 1 && source[from] !== 0x1f) throw wrong("no gzip member begins here");
  if (end - from >= 2 && source[from + 1] !== 0x8b) throw wrong("no gzip member begins here");
  if (end - from < headerLength) throw truncated("gzip", end);
  if (source[from + 2] !== 8) throw wrong("compression method is not deflate");
  const flags = source[from + 3]!;
  if ((flags & reservedFlags) !== 0) throw wrong("reserved flags are set");
  let at = from + headerLength;
  if ((flags & flagExtra) !== 0) {
    if (at + 2 > end) throw truncated("gzip", end);
    at += 2 + (source[at]! | (source[at + 1]! << 8));
  }
  for (const flag of [flagName, flagComment]) {
    if ((flags & flag) === 0) continue;
    const zero = source.indexOf(0, at);
    if (zero < 0) throw truncated("gzip", end);
    at = zero + 1;
  }
  if ((flags & flagHeaderCrc) !== 0) {
    if (at + 2 > end) throw truncated("gzip", end);
    const expected = source[at]! | (source[at + 1]! << 8);
    if ((backend.crc32(source.subarray(from, at)) & 0xffff) !== expected)
      throw checksumMismatch("gzip", at);
    at += 2;
  }
  if (at > end) throw truncated("gzip", end);
  return at;
}

/** The raw deflate stream at `body`; `total` of the `maxBytes` are used up by members before it. */
function inflateMember(
  source: Uint8Array,
  body: number,
  expectedBytes: number,
  maxBytes: number,
  total: number,
  backend: Backend,
): Inflated {
  try {
    const limit = maxBytes - total;
    return backend.inflate(source, body, { family: "gzip", maxBytes: limit, expectedBytes });
  } catch (error) {
    // The caller knows its own limit, not what was left of it.
    throw isDmError(error, "DM_DECOMPRESSED_TOO_LARGE") ? tooLarge(maxBytes, error) : error;
  }
}

/** All members from `from` to the end of `source`, concatenated; at least one. */
export function decodeGzip(
  source: Uint8Array,
  from: number,
  maxBytes: number,
  backend: Backend,
): Uint8Array {
  const parts: Uint8Array[] = [];
  let total = 0;
  let at = from;
  do {
    if (parts.length > 0 && source[at] !== 0x1f) throw trailing("gzip", at, source.length - at);
    const body = skipHeader(source, at, backend);
    // The last four bytes are the length of the last member, nearly always of the only one: a good guess, no more. Later
    // members get none, or many tiny ones would each allocate what the end of the payload claims.
    const room = source.length - body;
    const stated =
      parts.length === 0 && room >= trailerLength ? readUint32(source, source.length - 4) : 0;
    const expectedBytes = Math.min(stated, room * maxDeflateRatio);
    const { bytes, end } = inflateMember(source, body, expectedBytes, maxBytes, total, backend);
    if (end + trailerLength > source.length) throw truncated("gzip", source.length);
    if (readUint32(source, end) !== backend.crc32(bytes)) throw checksumMismatch("gzip", end);
    if (readUint32(source, end + 4) !== bytes.length)
      throw corrupt("gzip", "length in the trailer does not match", end + 4);
    if (bytes.length > 0 || parts.length === 0) parts.push(bytes);
    total += bytes.length;
    at = end + trailerLength;
  } while (at < source.length);
  return join(parts, total);
}

/** One member without name or time, after `prefixLength` bytes left free for the caller. */
export function encodeGzip(
  data: Uint8Array,
  level: number,
  prefixLength: number,
  backend: Backend,
): Uint8Array {
  const body = backend.deflate(data, level);
  const encoded = new Uint8Array(prefixLength + headerLength + body.length + trailerLength);
  encoded.set([0x1f, 0x8b, 8], prefixLength);
  encoded[prefixLength + 8] = level === 9 ? 2 : level === 1 ? 4 : 0;
  encoded[prefixLength + 9] = unknownSystem;
  encoded.set(body, prefixLength + headerLength);
  const trailer = encoded.length - trailerLength;
  writeUint32(encoded, trailer, backend.crc32(data));
  writeUint32(encoded, trailer + 4, data.length);
  return encoded;
}
