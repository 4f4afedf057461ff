// The three checksums agree with their published check values, and with Node's zlib at every length around their strides.
import { constants, crc32 as nodeCrc32, zstdCompressSync } from "node:zlib";
import { utf8Encode } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { expect, it } from "vitest";
import { crc32, crc32c } from "../src/crc32.ts";
import { crc32 as exportedCrc32 } from "../src/index.ts";
import { xxh64Low } from "../src/xxh64.ts";

const data = splitmix64(11n, 5000);

it("published check values", () => {
  const digits = utf8Encode("123456789");
  expect(crc32(digits)).toBe(0xcbf43926);
  expect(crc32c(digits)).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(xxh64Low(new Uint8Array(0))).toBe(0x51d8e999);
});

it("CRC-32 agrees with zlib", () => {
  for (let length = 0; length < 200; length++) {
    const part = data.subarray(length, 2 * length);
    expect(crc32(part)).toBe(nodeCrc32(part));
  }
  expect(crc32(data)).toBe(nodeCrc32(data));
  expect(exportedCrc32(data)).toBe(nodeCrc32(data));
});

it("XXH64 agrees with the checksums that libzstd writes", () => {
  for (let length = 0; length < 300; length++) {
    const part = data.subarray(7, 7 + length);
    const frame = zstdCompressSync(part, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
    expect(xxh64Low(part)).toBe(frame.readUInt32LE(frame.length - 4));
    expect(xxh64Low(data, 7, 7 + length)).toBe(xxh64Low(part));
  }
});
