/**
 * Compressing and decompressing contents as Kopia stores them: four bytes of header ID, then the stream.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts.
 * @module
 */
import { FormatError, UnsupportedError } from "@dm/core";
import type { Backend, BackendName } from "./backend.ts";
import type { CompressorFamily } from "./failures.ts";
import { decodeGzip, encodeGzip } from "./gzip.ts";
import type { Effort } from "./matcher.ts";
import { createNodeBackend } from "./node-backend.ts";
import { portableBackend } from "./portable-backend.ts";
import {
  type CompressorName,
  compressorByHeaderId,
  compressorByName,
  compressors,
} from "./registry.ts";
import { decodeS2, encodeS2 } from "./s2.ts";
import { readZstdFrames } from "./zstd-frame.ts";

/** Bytes of header ID before the stream. */
export const compressionHeaderBytes = 4;

let nodeBackend: Backend | undefined;
let nodeLookedFor = false;

/** The back-ends of this platform, the preferred one first. */
function availableBackends(): Backend[] {
  if (!nodeLookedFor) {
    nodeBackend = createNodeBackend();
    nodeLookedFor = true;
  }
  return nodeBackend === undefined ? [portableBackend] : [nodeBackend, portableBackend];
}

function backendsFor(family: CompressorFamily): Backend[] {
  return family === "s2" ? [portableBackend] : availableBackends();
}

function chooseBackend(family: CompressorFamily, name: string | undefined): Backend {
  const available = backendsFor(family);
  if (name === undefined) return available[0]!;
  const found = available.find((backend) => backend.name === name);
  if (found !== undefined) return found;
  const known = available.map((backend) => backend.name);
  throw new UnsupportedError(
    "DM_COMPRESSION_BACKEND_UNAVAILABLE",
    `no back-end ${JSON.stringify(name)} for ${family} here; there is: ${known.join(", ")}`,
    { name, family, known },
  );
}

export interface CompressOptions {
  /** Pins a back-end instead of the preferred one; see {@link describe}. */
  readonly backend?: BackendName | undefined;
}

export interface DecompressOptions {
  /** The longest result that is accepted, in bytes. Not much more than this is ever allocated. */
  readonly maxBytes: number;
  /** The header ID that the index entry states; stored data with another one is refused. */
  readonly headerId?: number | undefined;
  readonly backend?: BackendName | undefined;
}

/**
 * Compresses `data`: header ID and stream, in a new array. The result can be longer than the data; whether it is worth
 * storing is the caller's decision.
 * @throws {UnsupportedError} `DM_COMPRESSOR_UNKNOWN`, `DM_COMPRESSOR_REMOVED`, `DM_COMPRESSION_BACKEND_UNAVAILABLE`
 * @example const stored = compress("zstd-fastest", new TextEncoder().encode("hello, hello, hello"));
 */
export function compress(
  name: string,
  data: Uint8Array,
  options: CompressOptions = {},
): Uint8Array {
  const { family, level, headerId } = compressorByName(name);
  const backend = chooseBackend(family, options.backend);
  const stored = encode(family, data, level, backend);
  new DataView(stored.buffer, stored.byteOffset).setUint32(0, headerId);
  return stored;
}

function encode(
  family: CompressorFamily,
  data: Uint8Array,
  level: number | Effort,
  backend: Backend,
): Uint8Array {
  switch (family) {
    case "gzip":
      return encodeGzip(data, level as number, compressionHeaderBytes, backend);
    case "zstd":
      return backend.encodeZstd(data, level as number, compressionHeaderBytes);
    case "s2":
      return encodeS2(data, level as Effort, compressionHeaderBytes);
    case "deflate": {
      const stream = backend.deflate(data, level as number);
      const stored = new Uint8Array(compressionHeaderBytes + stream.length);
      stored.set(stream, compressionHeaderBytes);
      return stored;
    }
  }
}

/**
 * Decompresses what a Kopia writer stored. The result is the caller's; nothing else points at it.
 * Damage that the stream format can show is always refused; deflate has no checksum, so there it may go unseen here.
 * @throws {UnsupportedError} `DM_COMPRESSOR_UNKNOWN`, `DM_COMPRESSOR_REMOVED`, `DM_COMPRESSION_BACKEND_UNAVAILABLE`
 * @throws {FormatError} `DM_COMPRESSED_HEADER_MISMATCH`, `DM_COMPRESSED_TRUNCATED`, `DM_COMPRESSED_TRAILING`,
 *   `DM_COMPRESSED_CHECKSUM`, `DM_COMPRESSED_CORRUPT`, `DM_DECOMPRESSED_TOO_LARGE`
 * @example const data = decompress(stored, { maxBytes: 8 << 20 });
 */
export function decompress(stored: Uint8Array, options: DecompressOptions): Uint8Array {
  const { maxBytes } = options;
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 0)
    throw new RangeError(`maxBytes must be a length, not ${maxBytes}`);
  if (stored.length < compressionHeaderBytes) {
    throw new FormatError(
      "DM_COMPRESSED_TRUNCATED",
      `${stored.length} stored bytes are too few for a compression header`,
      {
        length: stored.length,
      },
    );
  }
  const headerId = new DataView(stored.buffer, stored.byteOffset).getUint32(0);
  if (options.headerId !== undefined && headerId !== options.headerId) {
    throw new FormatError(
      "DM_COMPRESSED_HEADER_MISMATCH",
      `stored data begins with compression header 0x${headerId.toString(16)}, expected 0x${options.headerId.toString(16)}`,
      { headerId, expected: options.headerId },
    );
  }
  const { family } = compressorByHeaderId(headerId);
  const backend = chooseBackend(family, options.backend);
  const from = compressionHeaderBytes;
  switch (family) {
    case "gzip":
      return decodeGzip(stored, from, maxBytes, backend);
    case "zstd":
      return backend.decodeZstd(stored, readZstdFrames(stored, from, maxBytes), maxBytes);
    case "s2":
      return decodeS2(stored, from, maxBytes);
    case "deflate":
      return backend.inflate(stored, from, { family, maxBytes, expectedBytes: 4 * stored.length })
        .bytes;
  }
}

/** CRC-32 of IEEE 802.3, as gzip ends with, unsigned; Node's own code where there is one. Packs and shards carry it, too. */
export function crc32(data: Uint8Array): number {
  return availableBackends()[0]!.crc32(data);
}

export interface CompressorSupport {
  readonly name: CompressorName;
  /** What is used unless another one is pinned. */
  readonly backend: BackendName;
  /** What can be pinned here. */
  readonly backends: readonly BackendName[];
  /** False where writing with the preferred back-end is legal but saves no space ("store-only"). */
  readonly shrinks: boolean;
}

/** Which back-end each compressor uses on this platform, which there are, and whether writing really compresses. */
export function describe(): CompressorSupport[] {
  return Object.values(compressors).map(({ name, family }) => {
    const backends = backendsFor(family).map((backend) => backend.name);
    return {
      name,
      backend: backends[0]!,
      backends,
      shrinks: !(family === "zstd" && backends[0] === "portable"),
    };
  });
}
