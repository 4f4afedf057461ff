/** `dm benchmark ecc`: error correction at five overheads, decoding with a damaged shard in each block. */
import type { Command } from "commander";
import type { Session } from "../session.ts";
import { formatBytes, parsePositive, parseSize } from "../text.ts";
import { measure } from "./measure.ts";

interface EccOptions {
  readonly blockSize: number;
  readonly repeat: number;
  readonly parallel: number;
  readonly printOptions?: boolean;
}

interface Row {
  readonly name: string;
  readonly encoding: number;
  readonly decoding: number;
  readonly storedBytes: number;
}

const algorithm = "REED-SOLOMON-CRC32";
const overheads = [1, 2, 5, 10, 20];
const rule = "-".repeat(87);

export function eccCommand(benchmark: Command, session: Session): void {
  benchmark
    .command("ecc")
    .description("Measure error correction")
    .option("--block-size <size>", "size of a block", parseSize, 10 << 20)
    .option("--repeat <count>", "repetitions", parsePositive, 100)
    .option("--parallel <count>", "threads", parsePositive, 1)
    .option("--print-options", "add the options of repository create")
    .action(async (options: EccOptions) => {
      const rows: Row[] = [];
      for (const overhead of overheads) rows.push(await measuredRow(session, options, overhead));
      const slower = ({ decoding, encoding }: Row): number => Math.min(decoding, encoding);
      rows.sort((a, b) => slower(b) - slower(a));
      await session.io.out(`${table(session, options, rows).join("\n")}\n`);
    });
}

async function measuredRow(
  session: Session,
  options: EccOptions,
  overheadPercent: number,
): Promise<Row> {
  const { blockSize: blockBytes, parallel, repeat } = options;
  const rate = async (kind: "ecc-encode" | "ecc-decode"): Promise<[number, number]> => {
    const what = kind === "ecc-encode" ? "encoding" : "decoding";
    session.say(
      `Benchmarking ECC ${what} '${algorithm}' with ${overheadPercent} space overhead... (${repeat} x ${blockBytes} bytes, parallelism ${parallel})`,
    );
    const job = { kind, overheadPercent, blockBytes };
    const { result, seconds } = await measure(job, { repeat, parallel, signal: session.signal });
    return [(parallel * blockBytes * repeat) / seconds, result.storedBytes ?? 0];
  };
  const [encoding] = await rate("ecc-encode");
  const [decoding, storedBytes] = await rate("ecc-decode");
  return { name: `${algorithm} - ${overheadPercent}%`, encoding, decoding, storedBytes };
}

function table(session: Session, options: EccOptions, rows: readonly Row[]): string[] {
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const columns = (name: string, a: string, b: string): string =>
    `     ${name.padEnd(30)} ${a.padStart(14)} ${b.padStart(14)}   `;
  const lines = rows.map(({ decoding, encoding, name, storedBytes }, index) => {
    const growth = Math.round((storedBytes / options.blockSize - 1) * 100);
    const rates = `${size(encoding).padStart(12)}/s ${size(decoding).padStart(12)}/s`;
    const option = options.printOptions ? `,   --ecc=${name}` : "";
    return `${String(index).padStart(3)}. ${name.padEnd(30)} ${rates}   ${String(growth).padStart(6)}% [${size(storedBytes)}]${option}`;
  });
  return [
    `${columns("ECC", "Throughput", "Throughput")}${"Growth".padStart(10)}`,
    `${columns("", "Encoding", "Decoding")}${" ".repeat(6)}`,
    rule,
    ...lines,
    rule,
    `Fastest option for this machine is: --ecc=${rows[0]?.name ?? ""}`,
  ];
}
