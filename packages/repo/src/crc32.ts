/**
 * CRC-32 (IEEE 802.3), as pack postambles and error-corrected shards carry it.
 * @module
 */
import { nodeBuiltin } from "@dm/core";

let slices: Uint32Array | undefined;

/** Eight tables of 256 words, so that eight bytes are taken at a time. */
function makeSlices(): Uint32Array {
  const tables = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    tables[byte] = value;
  }
  for (let index = 256; index < tables.length; index++) {
    const before = tables[index - 256]!;
    tables[index] = (before >>> 8) ^ tables[before & 255]!;
  }
  return tables;
}

function portable(bytes: Uint8Array, seed: number): number {
  slices ??= makeSlices();
  const t = slices;
  let crc = ~seed;
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t[1792 + (crc & 255)]! ^
      t[1536 + ((crc >>> 8) & 255)]! ^
      t[1280 + ((crc >>> 16) & 255)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}

const native = nodeBuiltin<typeof import("node:zlib")>("node:zlib")?.crc32;

/** The checksum as an unsigned number; `seed` is the checksum of the bytes before. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return native ? native(bytes, seed) : portable(bytes, seed);
}

/** The same without Node's own, for browsers and for tests. */
export const portableCrc32: (bytes: Uint8Array, seed: number) => number = portable;
