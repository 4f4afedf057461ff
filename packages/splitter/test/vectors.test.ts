// Every splitter cuts where kopia cuts, whole and in pieces.
import { type GeneratorSpec, generate, loadVectors, sha256Hex } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { buzhashCutter } from "../src/buzhash.ts";
import { goRandom } from "../src/go-rand.ts";
import { createSplitter, describeSplitters } from "../src/index.ts";
import { rabinKarpCutter } from "../src/rabinkarp.ts";
import { segmentLengths, summarize } from "./split.ts";

const vectors = loadVectors("splitter");

interface Cuts {
  readonly count: number;
  readonly lengths?: readonly number[];
  readonly first20?: readonly number[];
  readonly last5?: readonly number[];
  readonly sha256LE32: string;
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
  for (const { algorithm: name, available } of describeSplitters()) {
    const expected = cuts[name];
    if (!expected) continue;
    for (const backend of available)
      expectCuts(segmentLengths(createSplitter(name, { backend }), bytes), expected, name);
  }
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

describe("kopia's own stability cases, for small averages", () => {
  const { bytes: length, cuts } = loadVectors("splitter-vectors").seed5;
  const bytes = new Uint8Array(length);
  goRandom(5).fill(bytes);

  it.each(cuts as { splitter: string; average: number; cuts: number; min: number; max: number }[])(
    "$splitter $average",
    ({ average, cuts, max, min, splitter }) => {
      const cutter = splitter === "buzhash" ? buzhashCutter(average) : rabinKarpCutter(average);
      const lengths = segmentLengths(cutter, bytes);
      // Kopia's test counts cuts: the rest at the end is none.
      lengths.pop();
      expect(lengths.length).toBe(cuts);
      expect(lengths.reduce((a, b) => Math.max(a, b))).toBe(max);
      expect(lengths.reduce((a, b) => Math.min(a, b))).toBe(min);
    },
  );
});

describe("kopia's benchmark", () => {
  const { blockCount, blockSize, firstLengths, seed, summary } = loadVectors("splitter-vectors");

  it("first segments", () => {
    const block = new Uint8Array(blockSize);
    goRandom(seed).fill(block);
    for (const [name, lengths] of Object.entries(firstLengths as Record<string, number[]>)) {
      const ours = segmentLengths(createSplitter(name), block).slice(0, lengths.length);
      expect(ours, name).toEqual(lengths);
    }
  });

  // 512 MiB through 23 splitters: half a minute.
  const when = process.env["DM_FULL"] ? "" : " (runs with DM_FULL=1)";
  it.runIf(process.env["DM_FULL"])(`every count and percentile${when}`, () => {
    const all = new Map<string, number[]>(Object.keys(summary).map((name) => [name, []]));
    const random = goRandom(seed);
    const block = new Uint8Array(blockSize);
    for (let count = 0; count < blockCount; count++) {
      random.fill(block);
      for (const [name, lengths] of all)
        lengths.push(...segmentLengths(createSplitter(name), block));
    }
    for (const [name, lengths] of all) expect(summarize(lengths), name).toEqual(summary[name]);
  });
});
