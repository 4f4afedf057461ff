/**
 * Kopia's compressors: names, the header IDs that stored data begins with, and the little that tells them apart.
 * Format: docs/format/compression.md. Proof: test/registry.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { CompressorFamily } from "./failures.ts";
import type { Effort } from "./matcher.ts";

export type CompressorName =
  | "gzip"
  | "gzip-best-speed"
  | "gzip-best-compression"
  | "zstd"
  | "zstd-fastest"
  | "zstd-better-compression"
  | "zstd-best-compression"
  | "s2-default"
  | "s2-better"
  | "s2-parallel-4"
  | "s2-parallel-8"
  | "pgzip"
  | "pgzip-best-speed"
  | "pgzip-best-compression"
  | "deflate-default"
  | "deflate-best-speed"
  | "deflate-best-compression";

export interface CompressorDescription {
  readonly name: CompressorName;
  /** First four bytes of stored data, big-endian. */
  readonly headerId: number;
  /** The stream format; all that a reader needs to know. */
  readonly family: CompressorFamily;
  /** Kopia reads and writes it, but no longer offers it. */
  readonly deprecated: boolean;
  /** What the writer aims at: zlib's or zstd's level, or the effort of the S2 encoder. Never affects what can be read. */
  readonly level: number | Effort;
}

function describeAll(): Record<CompressorName, CompressorDescription> {
  const describe = (
    name: CompressorName,
    headerId: number,
    family: CompressorFamily,
    level: number | Effort,
    deprecated = false,
  ): [CompressorName, CompressorDescription] => [
    name,
    Object.freeze({ name, headerId, family, deprecated, level }),
  ];
  return Object.fromEntries([
    describe("gzip", 0x1000, "gzip", 6),
    describe("gzip-best-speed", 0x1001, "gzip", 1),
    describe("gzip-best-compression", 0x1002, "gzip", 9),
    describe("zstd", 0x1100, "zstd", 3),
    describe("zstd-fastest", 0x1101, "zstd", 1),
    describe("zstd-better-compression", 0x1102, "zstd", 7),
    describe("zstd-best-compression", 0x1103, "zstd", 11, true),
    describe("s2-default", 0x1200, "s2", "fast"),
    describe("s2-better", 0x1201, "s2", "better"),
    describe("s2-parallel-4", 0x1202, "s2", "fast"),
    describe("s2-parallel-8", 0x1203, "s2", "fast"),
    describe("pgzip", 0x1300, "gzip", 6),
    describe("pgzip-best-speed", 0x1301, "gzip", 1),
    describe("pgzip-best-compression", 0x1302, "gzip", 9),
    describe("deflate-default", 0x1500, "deflate", 6),
    describe("deflate-best-speed", 0x1501, "deflate", 1),
    describe("deflate-best-compression", 0x1502, "deflate", 9),
  ]) as Record<CompressorName, CompressorDescription>;
}

/** All compressors that can be read and written, by name. */
export const compressors: Readonly<Record<CompressorName, CompressorDescription>> = Object.freeze(
  describeAll(),
);

const byHeaderId: ReadonlyMap<number, CompressorDescription> = new Map(
  Object.values(compressors).map((compressor) => [compressor.headerId, compressor]),
);

const removed = { name: "lz4", headerId: 0x1400 };

function removedError(): UnsupportedError {
  return new UnsupportedError(
    "DM_COMPRESSOR_REMOVED",
    "compressor lz4 (header ID 0x1400) was removed from the format; Kopia v0.22.3 or older can rewrite such a repository",
    { ...removed },
  );
}

/**
 * @throws {UnsupportedError} `DM_COMPRESSOR_UNKNOWN` listing the known names; `DM_COMPRESSOR_REMOVED` for lz4.
 */
export function compressorByName(name: string): CompressorDescription {
  if (Object.hasOwn(compressors, name)) return compressors[name as CompressorName];
  if (name === removed.name) throw removedError();
  const known = Object.keys(compressors);
  throw new UnsupportedError(
    "DM_COMPRESSOR_UNKNOWN",
    `unknown compressor ${JSON.stringify(name)}; known: ${known.join(", ")}`,
    {
      name,
      known,
    },
  );
}

/**
 * The compressor of stored data, by the number it begins with.
 * @throws {UnsupportedError} `DM_COMPRESSOR_UNKNOWN` naming the ID; `DM_COMPRESSOR_REMOVED` for 0x1400 (lz4).
 */
export function compressorByHeaderId(id: number): CompressorDescription {
  const found = byHeaderId.get(id);
  if (found !== undefined) return found;
  if (id === removed.headerId) throw removedError();
  const known = [...byHeaderId].map(([headerId, { name }]) => `0x${headerId.toString(16)} ${name}`);
  throw new UnsupportedError(
    "DM_COMPRESSOR_UNKNOWN",
    `unknown compressor header ID 0x${id.toString(16)}; known: ${known.join(", ")}`,
    { headerId: id, known },
  );
}
