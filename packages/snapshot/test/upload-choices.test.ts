// What a policy decides about one file, and what holds where it says nothing.
import { expect, it } from "vitest";
import {
  type CompressionPolicy,
  compressorOf,
  defaultPolicy,
  emptyPolicy,
  ignoredErrorsOf,
  metadataCompressorOf,
  parallelFileReadsOf,
  partBytesOf,
  splitterOf,
} from "../src/index.ts";

const compressor = (compression: CompressionPolicy, name: string, sizeBytes = 10) =>
  compressorOf({ ...emptyPolicy, compression }, name, sizeBytes);

it("compresses by size and by the last extension", () => {
  const compressorName = "zstd-fastest";
  expect(compressor({}, "a.txt")).toBeUndefined();
  expect(compressor({ compressorName: "none" }, "a.txt")).toBeUndefined();
  expect(compressor({ compressorName: "unheard-of" }, "a.txt")).toBeUndefined();
  expect(compressor({ compressorName: "constructor" }, "a.txt")).toBeUndefined();
  expect(compressor({ compressorName }, "a.txt")).toBe(compressorName);
  const sizes = { compressorName, minSize: 10, maxSize: 20 };
  expect([9, 10, 20, 21].map((size) => compressor(sizes, "a", size))).toEqual([
    undefined,
    compressorName,
    compressorName,
    undefined,
  ]);
  const never = { compressorName, neverCompress: [".gz", ".zip"] };
  expect(compressor(never, "a.tar.gz")).toBeUndefined();
  expect(compressor(never, ".gz")).toBeUndefined();
  expect(compressor(never, "a.gz.txt")).toBe(compressorName);
  expect(compressor(never, "gz")).toBe(compressorName);
  expect(compressor({ ...never, neverCompress: ["", ".gz"] }, "gz")).toBeUndefined();
});

it("lets the list of what to compress win, without keeping others out", () => {
  const lists = { compressorName: "pgzip", onlyCompress: [".txt"], neverCompress: [".gz", ".txt"] };
  expect(compressor(lists, "a.txt")).toBe("pgzip");
  expect(compressor(lists, "a.gz")).toBeUndefined();
  expect(compressor(lists, "a.jpg")).toBe("pgzip");
});

it("misses what it looks for in a list that is not sorted, as kopia does", () => {
  const unsorted = { compressorName: "pgzip", neverCompress: [".z", ".b", ".a"] };
  expect(compressor(unsorted, "x.z")).toBe("pgzip");
  expect(compressor(unsorted, "x.a")).toBe("pgzip");
});

it("has defaults of its own where a policy says nothing", () => {
  expect(metadataCompressorOf(emptyPolicy)).toBeNull();
  expect(metadataCompressorOf(defaultPolicy)).toBe("zstd-fastest");
  expect(splitterOf(emptyPolicy)).toBeUndefined();
  expect(splitterOf({ ...emptyPolicy, splitter: { algorithm: "FIXED-4M" } })).toBe("FIXED-4M");
  expect(partBytesOf(emptyPolicy)).toBeUndefined();
  expect(partBytesOf(defaultPolicy)).toBe(2 ** 31);
  expect(partBytesOf({ ...emptyPolicy, upload: { parallelUploadAboveSize: -1 } })).toBeUndefined();
  expect(parallelFileReadsOf(emptyPolicy)).toBeUndefined();
  expect(parallelFileReadsOf({ ...emptyPolicy, upload: { maxParallelFileReads: 3 } })).toBe(3);
  expect(ignoredErrorsOf(emptyPolicy)).toEqual({
    files: false,
    directories: false,
    unknownTypes: true,
  });
  const errorHandling = { ignoreFileErrors: true, ignoreUnknownTypes: false };
  expect(ignoredErrorsOf({ ...emptyPolicy, errorHandling })).toEqual({
    files: true,
    directories: false,
    unknownTypes: false,
  });
});
