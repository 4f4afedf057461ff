/** `dm benchmark compression`: speed and size on a file. */
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { choice } from "../options.ts";
import type { Session } from "../session.ts";
import { formatBytes, formatBytesBase2, parseCount, parsePositive } from "../text.ts";
import { maxCompressedBytes } from "./jobs.ts";
import { measure } from "./measure.ts";

interface CompressionOptions {
  readonly dataFile: string;
  readonly repeat: number;
  readonly bySize?: boolean;
  readonly byAlloc?: boolean;
  readonly parallel: number;
  readonly operations: "both" | "compress" | "decompress";
  readonly verifyStable?: boolean;
  readonly printOptions?: boolean;
  readonly deprecated?: boolean;
  readonly algorithms?: string;
}

interface Row {
  readonly name: string;
  readonly deprecated: boolean;
  readonly storedBytes: number;
  readonly bytesPerSecond: number;
  /** Growth of memory while the row was measured; JavaScript does not count allocations. */
  readonly memoryBytes: number;
}

export function compressionCommand(benchmark: Command, session: Session): void {
  benchmark
    .command("compression")
    .description("Measure compressors on a file")
    .requiredOption("--data-file <file>", "file to compress; its first 128 MiB")
    .option("--repeat <count>", "repetitions; 0 for 128 MiB in all", parseCount, 0)
    .option("--by-size", "sort by compressed size")
    .option("--by-alloc", "sort by memory")
    .option("--parallel <count>", "threads", parsePositive, 1)
    .addOption(
      choice("--operations <which>", "what to measure", ["both", "compress", "decompress"]).default(
        "both",
      ),
    )
    .option("--verify-stable", "compare the results of all repetitions")
    .option("--print-options", "add the option to choose the compressor with")
    .option("--deprecated", "deprecated compressors, too")
    .option("--algorithms <prefixes>", "only compressors whose names begin so, separated by commas")
    .action(async (options: CompressionOptions) => {
      const bytes = await lengthOf(options.dataFile, session);
      const repeat = options.repeat || Math.max(1, Math.floor(maxCompressedBytes / bytes));
      const compressors = await chosen(options);
      const total = formatBytes(session.io, repeat * bytes);
      session.say(
        `Will repeat each benchmark ${repeat} times per compression method (total ${total}). Override with --repeat=N.`,
      );
      for (const kind of ["compress", "decompress"] as const) {
        if (options.operations !== "both" && options.operations !== kind) continue;
        const verb = kind === "compress" ? "Compressing" : "Decompressing";
        const size = formatBytes(session.io, bytes);
        session.say(
          `${verb} input file ${JSON.stringify(options.dataFile)} (${size}) using ${compressors.length} compression methods.`,
        );
        const rows: Row[] = [];
        for (const compressor of compressors) {
          session.say(`Benchmarking ${kind}or '${compressor.name}'...`);
          rows.push(await measuredRow(session, options, { kind, repeat, bytes, ...compressor }));
        }
        await printTable(session, options, rows);
      }
    });
}

async function lengthOf(file: string, session: Session): Promise<number> {
  const { size } = await stat(file).catch((cause: Error) => {
    throw new UsageError(`--data-file ${file}: ${cause.message}`, { cause });
  });
  if (size === 0) throw new UsageError("empty data file");
  if (size <= maxCompressedBytes) return size;
  const limit = formatBytesBase2(maxCompressedBytes);
  session.say(`NOTICE: The file is longer than ${limit}: only that much of it is used.`);
  return maxCompressedBytes;
}

interface Chosen {
  readonly name: string;
  readonly deprecated: boolean;
}

async function chosen(options: CompressionOptions): Promise<Chosen[]> {
  const { compressors } = await import("@dm/compression");
  const all = Object.values(compressors).map(({ name, deprecated }) => ({ name, deprecated }));
  const wanted = options.algorithms?.split(",");
  return all
    .filter(({ name, deprecated }) =>
      wanted ? wanted.some((prefix) => name.startsWith(prefix)) : options.deprecated || !deprecated,
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function measuredRow(
  session: Session,
  options: CompressionOptions,
  what: Chosen & {
    readonly kind: "compress" | "decompress";
    readonly repeat: number;
    readonly bytes: number;
  },
): Promise<Row> {
  const { bytes, deprecated, kind, name, repeat } = what;
  const { dataFile: file, parallel, verifyStable = false } = options;
  const before = process.memoryUsage().rss;
  const job = { kind, algorithm: name, file, verifyStable };
  const { result, seconds } = await measure(job, { repeat, parallel, signal: session.signal });
  return {
    name,
    deprecated,
    storedBytes: result.storedBytes ?? 0,
    bytesPerSecond: (parallel * bytes * repeat) / seconds,
    memoryBytes: Math.max(0, process.memoryUsage().rss - before),
  };
}

async function printTable(
  session: Session,
  options: CompressionOptions,
  rows: Row[],
): Promise<void> {
  if (options.bySize) rows.sort((a, b) => a.storedBytes - b.storedBytes);
  else if (options.byAlloc) rows.sort((a, b) => a.memoryBytes - b.memoryBytes);
  else rows.sort((a, b) => b.bytesPerSecond - a.bytesPerSecond);
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const head = `     ${"Compression".padEnd(26)} ${"Compressed".padEnd(12)} ${"Throughput".padEnd(12)} Allocs   Memory Usage`;
  const lines = rows.map((row, index) => {
    const place = `${String(index).padStart(3)}. ${row.name.padEnd(26)} ${size(row.storedBytes).padEnd(12)}`;
    const rate = `${size(row.bytesPerSecond).padStart(8)}/s     ${"-".padEnd(8)} ${size(row.memoryBytes)}`;
    const note = row.deprecated ? " (deprecated)" : "";
    const option = options.printOptions ? `, --compression=${row.name}` : "";
    return `${place} ${rate}${note}${option}`;
  });
  await session.io.out(`${[head, "-".repeat(96), ...lines].join("\n")}\n`);
}
