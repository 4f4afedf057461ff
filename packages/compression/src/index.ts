export type { BackendName } from "./backend.ts";
export {
  type CompressOptions,
  type CompressorSupport,
  compress,
  compressionHeaderBytes,
  crc32,
  type DecompressOptions,
  decompress,
  describe,
} from "./compression.ts";
export type { CompressorFamily } from "./failures.ts";
export type { Effort } from "./matcher.ts";
export {
  type CompressorDescription,
  type CompressorName,
  compressorByHeaderId,
  compressorByName,
  compressors,
} from "./registry.ts";
