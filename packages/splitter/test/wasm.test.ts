// The WebAssembly kernel is what its sources assemble to, cuts where plain JavaScript does wherever an input, a piece or a
// block of the kernel has a border, and is done without where it is refused.
import { readFileSync } from "node:fs";
import { countingWebAssembly, generate, withoutWebAssembly } from "@dm/fixtures";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { buzhashCutter } from "../src/buzhash.ts";
import { type Cutter, minScanBytes, type Scan } from "../src/cutter.ts";
import { createSplitter, describeSplitters } from "../src/index.ts";
import { rabinKarpCutter } from "../src/rabinkarp.ts";
import { type Scans, wasmScans } from "../src/wasm-scan.ts";
import { kernel, moduleText } from "../wasm/kernel.ts";
import { buzhash, rabinKarp, referenceLengths, windowAt } from "./reference.ts";
import { segmentLengths, segmentLengthsOf } from "./split.ts";

const seed = process.env["DM_SEED"];
if (seed) fc.configureGlobal({ seed: Number(seed) });
const runs = (count: number): { numRuns: number } => ({
  numRuns: process.env["DM_FULL"] ? count * 20 : count,
});

const bytes = generate({ kind: "splitmix64", seed: 31, len: 6 << 20 });
const makers = {
  buzhash: buzhashCutter,
  rabinkarp: rabinKarpCutter,
} satisfies Record<string, (averageBytes: number, scan?: Scan) => Cutter>;
const families = Object.keys(makers) as Array<keyof typeof makers & keyof Scans>;
const scans = wasmScans()!;

it("is what wasm/ assembles to, and offered for the rolling hashes alone", () => {
  const kept = readFileSync(new URL("../src/scan.wasm.ts", import.meta.url), "utf8");
  expect(moduleText(kernel()) === kept, "run `npm run wasm`").toBe(true);
  for (const { algorithm, available, backend } of describeSplitters()) {
    const isFixed = algorithm.startsWith("FIXED");
    expect(available, algorithm).toEqual(isFixed ? ["javascript"] : ["wasm", "javascript"]);
    expect(createSplitter(algorithm).backend).toBe(backend);
  }
});

describe.each(families)("the scan by %s", (family) => {
  const scan = scans[family]();
  const make = makers[family];

  it("finds the first place alone, by the definition, and none behind the end", () => {
    const hash = family === "buzhash" ? buzhash : rabinKarp;
    const end = 1500;
    const hits = Array.from({ length: end - 64 }, (_, index) => index + 65).filter(
      (at) => hash(windowAt(bytes.subarray(0, end), at)) % 128n === 0n,
    );
    expect(hits.length).toBeGreaterThan(5);
    for (let from = 64; from < end; from += 1) {
      const expected = hits.find((at) => at > from) ?? -1;
      expect(scan(bytes, from, end, 127), `from ${from}`).toBe(expected);
      expect(scan(bytes, from, from + 1, 127)).toBe(hits.includes(from + 1) ? from + 1 : -1);
    }
  });

  it("agrees with plain JavaScript for every length up to some blocks, and around pieces", () => {
    const around = (...borders: number[]): number[] =>
      borders.flatMap((at) => [at - 1, at, at + 1, at + 65]);
    const short = Array.from({ length: 700 }, (_, index) => index + 1);
    for (const [mask, lengths] of [
      [0x1fff, [...short, ...around(2048, 4096, 8192)]],
      [0xffff, around(16_384, 32_768, 49_152)],
    ] as const) {
      for (const length of lengths) {
        const from = 64 + ((length * 37) % 5000);
        const expected = slowScan(family, bytes, from, from + length, mask);
        expect(scan(bytes, from, from + length, mask), `${length} from ${from}`).toBe(expected);
      }
    }
  });

  it("cuts the same for any data, average and slicing, as the reference for small data", () => {
    const averages = fc.constantFrom(256, 1024, 4096, 16_384, 65_536);
    const slices = fc.array(fc.oneof(fc.nat(200), fc.nat(3000), fc.nat(70_000)), { maxLength: 30 });
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 300_000),
        fc.nat(300_000),
        fc.tuple(fc.nat(255), fc.nat(20_000), fc.nat(5000)),
        averages,
        slices,
        (start, length, [byte, at, run], averageBytes, lengths) => {
          // A run of one byte in between, where a hash stays as it is.
          const data = bytes.slice(start, start + length).fill(byte, at, at + run);
          const expected = segmentLengths(make(averageBytes), data);
          expect(segmentLengths(make(averageBytes, scan), data)).toEqual(expected);
          const pieces = [...lengths, length].map((piece, index, all) => {
            const from = all.slice(0, index).reduce((sum, each) => sum + each, 0);
            return data.subarray(from, from + piece);
          });
          expect(segmentLengthsOf(make(averageBytes, scan), pieces)).toEqual(expected);
        },
      ),
      runs(30),
    );
    const small = bytes.subarray(0, 9000);
    expect(segmentLengths(make(2048, scan), small)).toEqual(referenceLengths(family, 2048, small));
  });

  it("goes through shared memory, and views at any offset", () => {
    const expected = segmentLengths(make(16_384), bytes.subarray(0, 200_000));
    for (const offset of [0, 1, 7, 8, 4097]) {
      const shared = new Uint8Array(new SharedArrayBuffer(210_000), offset, 200_000);
      shared.set(bytes.subarray(0, 200_000));
      expect(segmentLengths(make(16_384, scan), shared)).toEqual(expected);
    }
  });

  it("is asked only where there is much to look through", () => {
    let calls = 0;
    const counted: Scan = (...parameters) => {
      calls += 1;
      return scan(...parameters);
    };
    const cutter = make(1 << 20, counted);
    segmentLengths(cutter, bytes.subarray(0, 1 << 20), minScanBytes - 1);
    expect(calls).toBe(0);
    cutter.reset();
    segmentLengths(cutter, bytes.subarray(0, 1 << 20), 64 << 10);
    expect(calls).toBeGreaterThan(0);
  });
});

/** What a splitter in plain JavaScript finds behind `from`, for less than its longest segment. */
function slowScan(
  family: keyof typeof makers,
  data: Uint8Array,
  from: number,
  to: number,
  mask: number,
): number {
  const cutter = makers[family](mask + 1);
  // Half the average lies before the first test, so that the first place tested is behind `from`.
  const before = new Uint8Array((mask + 1) / 2 - 1);
  before.set(data.subarray(from - 64, from), before.length - 64);
  cutter.next(before, 0);
  return cutter.next(data.subarray(0, to), from);
}

describe("where WebAssembly", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  const name = "DYNAMIC-128K-BUZHASH";
  const expected = segmentLengths(createSplitter(name), bytes);

  it.each(withoutWebAssembly)("%s, everything works without", async (_, standIn) => {
    vi.resetModules();
    vi.stubGlobal("WebAssembly", standIn);
    const fresh = await import("../src/index.ts");
    for (const { available } of fresh.describeSplitters())
      expect(available).toEqual(["javascript"]);
    const splitter = fresh.createSplitter(name);
    expect(splitter.backend).toBe("javascript");
    expect(segmentLengths(splitter, bytes)).toEqual(expected);
    expect(() => fresh.createSplitter(name, { backend: "wasm" })).toThrow(
      expect.objectContaining({ code: "DM_SPLITTER_BACKEND_UNKNOWN" }),
    );
  });

  it("is there, nothing is compiled before it is wanted, and all once", async () => {
    const { compiled, standIn } = countingWebAssembly();
    vi.resetModules();
    vi.stubGlobal("WebAssembly", standIn);
    const fresh = await import("../src/index.ts");
    fresh.createSplitter("FIXED-4M");
    expect(compiled()).toBe(0);
    fresh.createSplitter("DYNAMIC");
    fresh.createSplitter("DYNAMIC-1M-RABINKARP");
    expect(compiled()).toBe(1);
  });
});
