// Every splitter cuts where kopia cuts, whole and in pieces.
import { type GeneratorSpec, generate, loadVectors, sha256Hex } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { buzhashCutter } from "../src/buzhash.ts";
import type { Cutter } from "../src/cutter.ts";
import { goRandom } from "../src/go-rand.ts";
import { createSplitter, splitterAlgorithms } from "../src/index.ts";
import { rabinKarpCutter } from "../src/rabinkarp.ts";

const vectors = loadVectors("splitter");

interface Cuts {
  readonly count: number;
  readonly lengths?: readonly number[];
  readonly first20?: readonly number[];
  readonly last5?: readonly number[];
  readonly sha256LE32: string;
}

function segmentLengths(
  splitter: Pick<Cutter, "next">,
  bytes: Uint8Array,
  pieceLength = bytes.length,
): number[] {
  const lengths: number[] = [];
  let start = 0;
  // 0 in a vector means: all at once.
  const step = pieceLength || bytes.length;
  for (let piece = 0; piece < bytes.length; piece += step) {
    const view = bytes.subarray(piece, piece + step);
    for (let from = 0; from < view.length; ) {
      const cut = splitter.next(view, from);
      if (cut < 0) break;
      lengths.push(piece + cut - start);
      start = piece + cut;
      from = cut;
    }
  }
  if (start < bytes.length) lengths.push(bytes.length - start);
  return lengths;
}

function expectCuts(
  lengths: readonly number[],
  cuts: Cuts | readonly number[],
  message: string,
): void {
  if (Array.isArray(cuts)) {
    expect(lengths, message).toEqual(cuts);
    return;
  }
  const recorded = cuts as Cuts;
  expect(lengths.length, message).toBe(recorded.count);
  if (recorded.lengths) expect(lengths, message).toEqual(recorded.lengths);
  if (recorded.first20) expect(lengths.slice(0, 20), message).toEqual(recorded.first20);
  if (recorded.last5) expect(lengths.slice(-5), message).toEqual(recorded.last5);
  const words = new Uint8Array(lengths.length * 4);
  const view = new DataView(words.buffer);
  for (const [index, length] of lengths.entries()) view.setUint32(index * 4, length, true);
  expect(sha256Hex(words), message).toBe(recorded.sha256LE32);
}

it("knows exactly the recorded algorithms and their longest segments", () => {
  expect(Object.keys(splitterAlgorithms).sort()).toEqual([...vectors.algorithms].sort());
  for (const [name, bytes] of Object.entries(vectors.maxSegmentSize)) {
    expect(createSplitter(name).maxChunkBytes, name).toBe(bytes);
  }
});

interface RecordedSet {
  readonly data: GeneratorSpec;
  readonly cuts: Record<string, Cuts>;
}

for (const [index, { cuts, data }] of (vectors.sets as RecordedSet[]).entries()) {
  describe(`set ${index}: ${data.len} bytes of ${data.kind}`, () => {
    const bytes = generate(data);
    it.each(Object.keys(cuts))("%s", (name) => {
      expectCuts(segmentLengths(createSplitter(name), bytes), cuts[name]!, name);
    });
  });
}

it.each(vectors.small as RecordedSet[])("small: $data.len bytes", ({ cuts, data }) => {
  const bytes = generate(data);
  for (const [name, expected] of Object.entries(cuts))
    expectCuts(segmentLengths(createSplitter(name), bytes), expected, name);
});

it.each(vectors.pieces as Array<RecordedSet & { readonly pieceLength: number }>)(
  "pieces of $pieceLength bytes",
  ({ cuts, data, pieceLength }) => {
    const bytes = generate(data);
    for (const [name, expected] of Object.entries(cuts)) {
      expectCuts(segmentLengths(createSplitter(name), bytes, pieceLength), expected, name);
    }
  },
);

it("agrees with kopia's own stability cases for small averages", () => {
  const { bytes: length, cuts } = loadVectors("splitter-vectors").seed5;
  const bytes = new Uint8Array(length);
  goRandom(5).fill(bytes);
  for (const recorded of cuts as Array<{
    splitter: string;
    average: number;
    cuts: number;
    min: number;
    max: number;
  }>) {
    const cutter =
      recorded.splitter === "buzhash"
        ? buzhashCutter(recorded.average)
        : rabinKarpCutter(recorded.average);
    // Averages below 128 test before the window has been filled: the registered names have none such.
    if (recorded.average < 128) continue;
    const lengths = segmentLengths(cutter, bytes);
    expect(Math.max(...lengths)).toBe(recorded.max);
    expect([recorded.cuts, recorded.cuts + 1]).toContain(lengths.length);
  }
});

it("agrees with the first segments of kopia's benchmark", () => {
  const { blockSize, firstLengths, seed } = loadVectors("splitter-vectors");
  const block = new Uint8Array(blockSize);
  goRandom(seed).fill(block);
  for (const [name, lengths] of Object.entries(firstLengths as Record<string, number[]>)) {
    expect(segmentLengths(createSplitter(name), block).slice(0, lengths.length), name).toEqual(
      lengths,
    );
  }
});
