/** `dm benchmark splitter`: the same data, counts and percentiles as kopia's. */
import type { Command } from "commander";
import type { Session } from "../session.ts";
import { formatBytes, parseCount, parsePositive, parseSize, sizeText } from "../text.ts";
import { measure } from "./measure.ts";
import { recommend } from "./recommend.ts";
import { splitCountsText } from "./split-counts.ts";

interface SplitterOptions {
  readonly randSeed: number;
  readonly dataSize: number;
  readonly blockCount: number;
  readonly parallel: number;
  readonly printOptions?: boolean;
  readonly algorithms?: string;
}

interface Row {
  readonly name: string;
  readonly seconds: number;
  readonly rate: string;
  readonly counts: string;
}

export function splitterCommand(benchmark: Command, session: Session): void {
  benchmark
    .command("splitter")
    .description("Measure splitters, and count their segments of random data")
    .option("--rand-seed <seed>", "seed of the data", parseCount, 42)
    .option("--data-size <size>", "size of a block", parseSize, 32 << 20)
    .option("--block-count <count>", "blocks", parsePositive, 16)
    .option("--parallel <count>", "threads", parsePositive, 1)
    .option("--print-options", "name the fastest dynamic splitter")
    .option("--algorithms <prefixes>", "only splitters whose names begin so, separated by commas")
    .action(async (options: SplitterOptions) => {
      const { blockCount, dataSize, parallel, randSeed: seed } = options;
      const blockText = sizeText(dataSize);
      session.say(`splitting ${blockCount} blocks of ${blockText} each, parallelism ${parallel}`);
      const rows: Row[] = [];
      for (const name of await chosen(options.algorithms)) {
        const job = {
          kind: "split",
          algorithm: name,
          seed,
          blockBytes: dataSize,
          blockCount,
        } as const;
        const measured = await measure(job, { repeat: 1, parallel, signal: session.signal });
        const { seconds, result } = measured;
        const bytes = parallel * blockCount * dataSize;
        const row: Row = {
          name,
          seconds,
          rate: formatBytes(session.io, bytes / seconds),
          counts: result.counts ? splitCountsText(result.counts) : "",
        };
        rows.push(row);
        await session.io.out(`${name.padEnd(25)} ${row.rate.padStart(12)}/s ${row.counts}\n`);
      }
      await session.io.out(`${ranking(rows, options).join("\n")}\n`);
      // A legacy name of another one is no advice.
      const named = rows.filter(({ name }) => name !== "DYNAMIC");
      recommend(session, { splitter: fastestDynamic(named)?.name });
    });
}

async function chosen(prefixes: string | undefined): Promise<string[]> {
  const { splitterAlgorithms } = await import("@dm/splitter");
  const names = Object.keys(splitterAlgorithms).sort();
  const wanted = prefixes?.split(",");
  return wanted ? names.filter((name) => wanted.some((prefix) => name.startsWith(prefix))) : names;
}

/** Of those that find the same segments in a file again when something is put in before them. */
const fastestDynamic = (rows: readonly Row[]): Row | undefined =>
  [...rows].sort((a, b) => a.seconds - b.seconds).find(({ name }) => !name.startsWith("FIXED"));

function ranking(rows: readonly Row[], options: SplitterOptions): string[] {
  const sorted = [...rows].sort((a, b) => a.seconds - b.seconds);
  const lines = sorted.map(
    ({ counts, name, rate }, index) =>
      `${String(index).padStart(3)}. ${name.padEnd(25)} ${rate.padEnd(12)}/s ${counts}`,
  );
  const dynamic = fastestDynamic(rows);
  const fastest =
    options.printOptions && dynamic
      ? [`Fastest option for this machine is: --object-splitter=${dynamic.name}`]
      : [];
  return ["-".repeat(65), ...lines, ...fastest];
}
