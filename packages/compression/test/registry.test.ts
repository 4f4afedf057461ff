// Names and header IDs lead to each other; what is not known is refused with what is; back-ends can be seen and pinned.
import { UnsupportedError } from "@dm/core";
import { expect, it } from "vitest";
import {
  compress,
  compressorByHeaderId,
  compressorByName,
  compressors,
  decompress,
  describe,
} from "../src/index.ts";

it("holds 17 frozen compressors", () => {
  expect(Object.keys(compressors)).toHaveLength(17);
  expect(Object.isFrozen(compressors)).toBe(true);
  for (const [name, compressor] of Object.entries(compressors)) {
    expect(Object.isFrozen(compressor)).toBe(true);
    expect(compressor.name).toBe(name);
    expect(compressorByName(name)).toBe(compressor);
    expect(compressorByHeaderId(compressor.headerId)).toBe(compressor);
  }
});

it("refuses unknown names and lists the known ones", () => {
  for (const name of ["zstd-fast", "", "toString", "GZIP"]) {
    expect(() => compress(name, new Uint8Array(1))).toThrow(UnsupportedError);
    expect(() => compress(name, new Uint8Array(1))).toThrow(
      /known: gzip, .*deflate-best-compression/,
    );
  }
  expect(() => compress("lz4", new Uint8Array(1))).toThrow(
    expect.objectContaining({
      code: "DM_COMPRESSOR_REMOVED",
      message: expect.stringContaining("lz4"),
    }),
  );
});

it("refuses a header that is not the expected one", () => {
  const stored = compress("zstd", new Uint8Array(9));
  expect(decompress(stored, { maxBytes: 9, headerId: 0x1100 })).toEqual(new Uint8Array(9));
  expect(() => decompress(stored, { maxBytes: 9, headerId: 0x1101 })).toThrow(
    expect.objectContaining({ code: "DM_COMPRESSED_HEADER_MISMATCH" }),
  );
});

it("describes the back-ends and pins them", () => {
  for (const { name, backend, backends } of describe()) {
    expect(backends[0]).toBe(backend);
    expect(backends).toEqual(name.startsWith("s2") ? ["portable"] : ["node", "portable"]);
  }
  for (const pin of [{ backend: "node" as const }, { backend: "gpu" as never }]) {
    const refusal = expect.objectContaining({ code: "DM_COMPRESSION_BACKEND_UNAVAILABLE" });
    expect(() => compress("s2-better", new Uint8Array(1), pin)).toThrow(refusal);
    expect(() =>
      decompress(compress("s2-better", new Uint8Array(1)), { maxBytes: 1, ...pin }),
    ).toThrow(refusal);
  }
});
