/**
 * The back-end that runs anywhere: decoders of our own, deflate from fflate.
 * @module
 */
import { deflateSync } from "fflate";
import type { Backend } from "./backend.ts";
import { crc32 } from "./crc32.ts";
import { inflate } from "./inflate.ts";
import { decodeZstdFrames } from "./zstd-decoder.ts";
import { encodeZstdStored } from "./zstd-encoder.ts";

export const portableBackend: Backend = {
  name: "portable",
  inflate,
  deflate: (data, level) => deflateSync(data, { level: level as 1 | 6 | 9 }),
  crc32: (data) => crc32(data),
  decodeZstd: decodeZstdFrames,
  encodeZstd: (data, _level, prefixLength) => encodeZstdStored(data, prefixLength),
};
