/**
 * The benchmarks print kopia's tables, and the splitters cut kopia's data as kopia does: counts and percentiles are
 * compared with the recorded run (512 MiB, `kopia benchmark splitter`). Here five of its 23 splitters run; all of them
 * with DM_FULL=1.
 */
import { rmSync, writeFileSync } from "node:fs";
import { loadVectors } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { splitCounts } from "../src/benchmark/split-counts.ts";
import { Home } from "./run.ts";

const rate = String.raw`\d+(\.\d)? [KMGT]?B`;

async function run(line: string): Promise<{ lines: string[]; err: string }> {
  using home = new Home();
  const { err, out } = await home.ok(line);
  expect(out.endsWith("\n")).toBe(true);
  return { lines: out.slice(0, -1).split("\n"), err };
}

/** Index of the rows, and their names in the order of the table. */
function rows(lines: readonly string[]): string[] {
  const found = lines.filter((line) => /^ *\d+\. /.test(line));
  expect(found.map((line) => Number.parseInt(line, 10))).toEqual(found.map((_, index) => index));
  return found.map((line) => line.slice(5).split(" ")[0]!);
}

describe("hashing and encryption", () => {
  it("ranks all hashes", async () => {
    const { err, lines } = await run(
      "benchmark hashing --block-size 4KB --repeat 20 --print-options",
    );
    expect(lines[0]).toBe("     Hash                 Throughput");
    expect(lines[1]).toBe("-".repeat(65));
    const names = rows(lines);
    expect(names.length).toBe(11);
    expect(lines[2]).toMatch(
      new RegExp(`^  0\\. .{20} ${rate} / second,   --block-hash=${names[0]}$`),
    );
    expect(lines.at(-1)).toBe(`Fastest option for this machine is: --block-hash=${names[0]}`);
    expect(err).toContain("Benchmarking hash 'BLAKE2B-256' (20 x 4096 bytes, parallelism 1)\n");
    expect(err).toMatch(
      new RegExp(
        `podConfig\\.env .*\\n  - { name: KOPIA_HASHING_ALGORITHM, value: ${names[0]} }\\n$`,
      ),
    );
  });

  it("adds the figures of many blocks in one call", async () => {
    for (const [what, count] of [
      ["hash", 11],
      ["encryption", 2],
    ] as const) {
      const { lines } = await run(`benchmark ${what} --block-size 1KB --repeat 32 --batch`);
      const second = lines.indexOf("16 blocks in one call:");
      expect(rows(lines.slice(0, second)).length).toBe(count);
      expect(rows(lines.slice(second)).length).toBe(count);
    }
  });

  it("ranks all pairs", async () => {
    const { lines } = await run("benchmark crypto --block-size 1KB --repeat 5");
    expect(lines[0]).toBe("     Hash                 Encryption                     Throughput");
    expect(rows(lines).length).toBe(22);
    expect(lines.at(-1)).toMatch(/^Fastest .*: --block-hash=\S+ --encryption=\S+$/);
  });

  it("runs in several threads", async () => {
    const { err, lines } = await run(
      "benchmark encryption --block-size 64KB --repeat 20 --parallel 2",
    );
    expect(err).toContain("parallelism 2");
    expect(rows(lines).length).toBe(2);
  });
});

describe("splitter", () => {
  const recorded = loadVectors("splitter").benchmark.runs[0];
  const text = (name: string): string => {
    const { count, min, p10, p25, p50, p75, p90, max } = recorded.rows[name];
    return `count:${count} min:${min} 10th:${p10} 25th:${p25} 50th:${p50} 75th:${p75} 90th:${p90} max:${max}`;
  };
  const chosen =
    process.env["DM_FULL"] === "1"
      ? Object.keys(recorded.rows)
      : [
          "DYNAMIC-1M-BUZHASH",
          "DYNAMIC-4M-BUZHASH",
          "DYNAMIC-8M-RABINKARP",
          "FIXED-1M",
          "FIXED-8M",
        ];

  it("has the recorded run's defaults, counts and percentiles", async () => {
    expect(recorded).toMatchObject({ randSeed: 42, dataSize: 32 << 20, blockCount: 16 });
    const { err, lines } = await run(`benchmark splitter --algorithms ${chosen.join(",")}`);
    expect(err).toMatch(
      /^splitting 16 blocks of 32MiB each, parallelism 1\n.*\n.*KOPIA_SPLITTER_ALGORITHM, value: DYNAMIC-\S+ }\n$/,
    );
    const rule = lines.indexOf("-".repeat(65));
    expect(rule).toBe(chosen.length);
    for (const line of lines.slice(0, rule)) {
      const name = line.split(" ")[0]!;
      expect(chosen).toContain(name);
      expect(line.slice(0, 41)).toMatch(new RegExp(`^.{25} +${rate}/s $`));
      expect(line.slice(41)).toBe(text(name));
    }
    const ranked = lines.slice(rule + 1);
    expect(rows(ranked).sort()).toEqual([...chosen].sort());
    for (const line of ranked) expect(line.slice(46)).toBe(text(line.slice(5).split(" ")[0]!));
  });

  it("takes seed, size and count, and names the fastest dynamic splitter", async () => {
    const { lines } = await run(
      "benchmark splitter --rand-seed 7 --data-size 64KB --block-count 2 --print-options",
    );
    expect(rows(lines.slice(24)).length).toBe(23);
    expect(lines.find((line) => line.startsWith("FIXED-4M "))).toContain("count:2 min:65536 ");
    expect(lines.at(-1)).toMatch(/^Fastest option for this machine is: --object-splitter=DYNAMIC/);
  });

  it("counts by kopia's percentile", () => {
    const lengths = Array.from({ length: 10 }, (_, index) => 10 - index);
    const counts = { count: 10, min: 1, p10: 2, p25: 3, p50: 6, p75: 8, p90: 10, max: 10 };
    expect(splitCounts(lengths)).toEqual(counts);
  });
});

describe("compression and error correction", () => {
  it("measures both directions on a file", async () => {
    using home = new Home();
    const file = home.path("data");
    writeFileSync(file, "all work and no play makes jack a dull boy\n".repeat(2000));
    const line = `benchmark compression --data-file ${file} --repeat 2 --verify-stable --by-size --print-options`;
    const { err, out } = await home.ok(line);
    const lines = out.trimEnd().split("\n");
    const head = "     Compression                Compressed   Throughput   Allocs   Memory Usage";
    const starts = lines.flatMap((text, index) => (text === head ? [index] : []));
    expect(starts.length).toBe(2);
    expect(lines[1]).toBe("-".repeat(96));
    expect(rows(lines.slice(0, starts[1])).length).toBe(16);
    expect(lines[2]).toMatch(
      new RegExp(`^  0\\. .{26} ${rate} +${rate}/s     -        .*--compression=\\S+$`),
    );
    expect(err).toContain("Will repeat each benchmark 2 times per compression method");
    const some = await home.ok(
      `benchmark compression --data-file ${file} --repeat 1 --algorithms zstd-best,s2 --operations compress`,
    );
    expect(rows(some.out.split("\n")).sort()).toEqual(
      ["s2-better", "s2-default", "s2-parallel-4", "s2-parallel-8", "zstd-best-compression"].sort(),
    );
    expect(some.out).toContain(" (deprecated)\n");
    rmSync(file);
    writeFileSync(file, "");
    expect((await home.run(line)).code).toBe(2);
  });

  it("measures error correction at five overheads", async () => {
    const { err, lines } = await run("benchmark ecc --block-size 200KB --repeat 1 --print-options");
    expect(lines[0]).toBe(
      "     ECC                                Throughput     Throughput       Growth",
    );
    expect(lines[2]).toBe("-".repeat(87));
    expect(rows(lines).length).toBe(5);
    const five = lines.find((line) => line.includes("- 5%"));
    expect(five).toMatch(
      new RegExp(`- 5% +${rate}/s +${rate}/s +5% \\[${rate}\\],   --ecc=REED-SOLOMON-CRC32 - 5%$`),
    );
    expect(lines.at(-1)).toMatch(
      /^Fastest option for this machine is: --ecc=REED-SOLOMON-CRC32 - \d+%$/,
    );
    expect(err).toContain("Benchmarking ECC decoding");
  });
});
