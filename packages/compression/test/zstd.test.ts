// The portable zstd decoder reads what libzstd writes at any level and of any data, and both back-ends treat frames, skips and
// impossible headers alike. The portable writer's frames are legal for libzstd.
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { splitmix64 } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { compress, decompress } from "../src/index.ts";
import { outcome, prose } from "./support.ts";

const backends = ["node", "portable"] as const;
const header = [0, 0, 0x11, 0];
const skewed = Uint8Array.from(
  splitmix64(21n, 400_000),
  (byte) => Math.min(byte, 255 - byte) >> (byte & 3),
);
const inputs: Readonly<Record<string, Uint8Array>> = {
  text: prose(500_000),
  "few symbols": skewed,
  "all symbols, few of them often": Uint8Array.from(splitmix64(22n, 300_000), (byte, index) =>
    index % 7 === 0 ? byte : 65 + (byte & 7),
  ),
  "far repetitions": Buffer.concat([
    splitmix64(23n, 200_000),
    prose(30_000),
    splitmix64(23n, 200_000),
  ]),
  "short periods": Uint8Array.from({ length: 300_000 }, (_, index) => (index % 3) * (index >> 14)),
  "mixed blocks": Buffer.concat([
    prose(150_000),
    splitmix64(24n, 150_000),
    new Uint8Array(150_000),
    prose(150_000, 9n),
  ]),
};

function frame(data: Uint8Array, params: Record<number, number>): Uint8Array {
  return Buffer.concat([Uint8Array.from(header), zstdCompressSync(data, { params })]);
}

describe.each(Object.keys(inputs))("%s", (key) => {
  const data = inputs[key]!;
  it.each([-5, 1, 2, 3, 5, 7, 9, 12, 16, 19])("of libzstd's level %i", (level) => {
    const stored = frame(data, {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    });
    expect(
      Buffer.compare(decompress(stored, { maxBytes: data.length, backend: "portable" }), data),
    ).toBe(0);
  });
  it("with small windows and short matches, and without checksum", () => {
    for (const strategy of [1, 3, 5, 8]) {
      const stored = frame(data, {
        [constants.ZSTD_c_windowLog]: 12,
        [constants.ZSTD_c_minMatch]: 3,
        [constants.ZSTD_c_strategy]: strategy,
      });
      expect(
        Buffer.compare(decompress(stored, { maxBytes: data.length, backend: "portable" }), data),
      ).toBe(0);
    }
  });
});

it("libzstd reads the stored frames that the portable writer makes, at every boundary of its blocks", () => {
  for (const length of [
    0,
    1,
    1023,
    1024,
    1025,
    (128 << 10) - 1,
    128 << 10,
    (128 << 10) + 1,
    300_000,
  ]) {
    for (const data of [splitmix64(31n, length), new Uint8Array(length).fill(9)]) {
      const stored = compress("zstd", data, { backend: "portable" });
      expect(Buffer.compare(zstdDecompressSync(stored.subarray(4)), data)).toBe(0);
      expect(
        Buffer.compare(decompress(stored, { maxBytes: length, backend: "portable" }), data),
      ).toBe(0);
    }
  }
});

const magic = [0x28, 0xb5, 0x2f, 0xfd];
const skip = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
const oneByte = [...magic, 0x00, 0x00, 0x09, 0x00, 0x00, 0x61];
const structures: readonly { what: string; body: number[]; result: string }[] = [
  {
    what: "frames to be skipped, around data",
    body: [...skip, ...oneByte, ...skip, ...oneByte],
    result: "aa",
  },
  { what: "only a frame to be skipped", body: skip, result: "" },
  { what: "dictionary 0", body: [...magic, 0x01, 0x00, 0x00, 0x09, 0x00, 0x00, 0x61], result: "a" },
  {
    what: "a dictionary",
    body: [...magic, 0x01, 0x00, 0x07, 0x09, 0x00, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "the reserved bit",
    body: [...magic, 0x08, 0x00, 0x09, 0x00, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "a reserved block type",
    body: [...magic, 0x00, 0x00, 0x0f, 0x00, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "less data than stated",
    body: [...magic, 0x20, 0x02, 0x09, 0x00, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "more data than stated",
    body: [...magic, 0x20, 0x00, 0x09, 0x00, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "a block longer than the window",
    body: [...magic, 0x00, 0x00, 0x0b, 0x20, 0x00, 0x61],
    result: "DM_COMPRESSED_CORRUPT",
  },
  {
    what: "a skipped frame that is cut",
    body: skip.slice(0, -1),
    result: "DM_COMPRESSED_TRUNCATED",
  },
  {
    what: "three bytes after a frame",
    body: [...oneByte, 0x28, 0xb5, 0x2f],
    result: "DM_COMPRESSED_TRAILING",
  },
];

describe.each(backends)("%s", (backend) => {
  it.each(structures)("$what", ({ body, result }) => {
    const actual = outcome(Uint8Array.from([...header, ...body]), 100, backend);
    expect(typeof actual === "string" ? actual : Buffer.from(actual).toString()).toBe(result);
  });
});
