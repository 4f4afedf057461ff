/** `dm benchmark hashing|encryption|crypto`. */
import type { Command } from "commander";
import { hidden } from "../options.ts";
import type { Session } from "../session.ts";
import { formatBytes, parsePositive, parseSize } from "../text.ts";
import { measure } from "./measure.ts";
import { recommend } from "./recommend.ts";

interface CryptoOptions {
  readonly blockSize: number;
  readonly repeat: number;
  readonly parallel: number;
  readonly printOptions?: boolean;
  readonly batch?: boolean;
}

interface Row {
  readonly algorithms: Parameters<typeof recommend>[1];
  readonly columns: string;
  readonly option: string;
  readonly bytesPerSecond: number;
}

const rule = "-".repeat(65);
/** Blocks in one call with `--batch`. */
const batchBlocks = 16;

function withOptions(command: Command, repeat: number): Command {
  return command
    .option("--block-size <size>", "size of a block", parseSize, 1 << 20)
    .option("--repeat <count>", "repetitions", parsePositive, repeat)
    .option("--parallel <count>", "threads", parsePositive, 1)
    .option("--print-options", "add the options of repository create");
}

export function hashingCommand(benchmark: Command, session: Session): void {
  withOptions(benchmark.command("hashing").alias("hash").description("Measure hashes"), 100)
    .option("--batch", `also with ${batchBlocks} blocks in one call`)
    .action(async (options: CryptoOptions) => {
      const { hashAlgorithms } = await import("@dm/hashing");
      const table = (blocksPerCall: number): Promise<void> =>
        singleTable(session, options, {
          kind: "hash",
          title: "Hash",
          width: 20,
          flag: "--block-hash",
          what: "hash",
          names: Object.keys(hashAlgorithms).sort(),
          blocksPerCall,
        });
      await table(1);
      if (options.batch) await table(batchBlocks);
    });
}

export function encryptionCommand(benchmark: Command, session: Session): void {
  withOptions(benchmark.command("encryption").description("Measure encryption"), 1000)
    .option("--batch", `also with ${batchBlocks} blocks in one call`)
    .addOption(hidden("--deprecated"))
    .action(async (options: CryptoOptions) => {
      const { encryptionAlgorithms } = await import("@dm/encryption");
      const table = (blocksPerCall: number): Promise<void> =>
        singleTable(session, options, {
          kind: "encrypt",
          title: "Encryption",
          width: 30,
          flag: "--encryption",
          what: "encryption",
          names: Object.keys(encryptionAlgorithms).sort(),
          blocksPerCall,
        });
      await table(1);
      if (options.batch) await table(batchBlocks);
    });
}

interface Subject {
  readonly kind: "hash" | "encrypt";
  readonly title: string;
  readonly width: number;
  readonly flag: string;
  readonly what: "hash" | "encryption";
  readonly names: readonly string[];
  readonly blocksPerCall: number;
}

async function singleTable(
  session: Session,
  options: CryptoOptions,
  subject: Subject,
): Promise<void> {
  const { blockSize: blockBytes, parallel, repeat } = options;
  const { blocksPerCall, flag, kind, names, title, what, width } = subject;
  const calls = Math.ceil(repeat / blocksPerCall);
  const blocks = calls * blocksPerCall;
  const together = blocksPerCall > 1 ? `, ${blocksPerCall} blocks in one call` : "";
  const rows: Row[] = [];
  for (const algorithm of names) {
    session.say(
      `Benchmarking ${what} '${algorithm}' (${blocks} x ${blockBytes} bytes, parallelism ${parallel}${together})`,
    );
    const job = { kind, algorithm, blockBytes, blocksPerCall };
    const { seconds } = await measure(job, { repeat: calls, parallel, signal: session.signal });
    rows.push({
      algorithms: { [what]: algorithm },
      columns: algorithm.padEnd(width),
      option: `${flag}=${algorithm}`,
      bytesPerSecond: (parallel * blockBytes * blocks) / seconds,
    });
  }
  if (together) await session.io.out(`\n${blocksPerCall} blocks in one call:\n`);
  await printTable(session, options, `     ${title.padEnd(width)} Throughput`, rows);
}

export function cryptoCommand(benchmark: Command, session: Session): void {
  withOptions(
    benchmark.command("crypto").description("Measure all pairs of hash and encryption"),
    100,
  )
    .addOption(hidden("--deprecated"))
    .action(async (options: CryptoOptions) => {
      const [{ hashAlgorithms }, { encryptionAlgorithms }] = await Promise.all([
        import("@dm/hashing"),
        import("@dm/encryption"),
      ]);
      const { blockSize: blockBytes, parallel, repeat } = options;
      const rows: Row[] = [];
      for (const hash of Object.keys(hashAlgorithms).sort()) {
        for (const encryption of Object.keys(encryptionAlgorithms).sort()) {
          session.say(
            `Benchmarking hash '${hash}' and encryption '${encryption}'... (${repeat} x ${blockBytes} bytes, parallelism ${parallel})`,
          );
          const job = { kind: "hash-encrypt", hash, encryption, blockBytes } as const;
          const { seconds } = await measure(job, { repeat, parallel, signal: session.signal });
          rows.push({
            algorithms: { hash, encryption },
            columns: `${hash.padEnd(20)} ${encryption.padEnd(30)}`,
            option: `--block-hash=${hash} --encryption=${encryption}`,
            bytesPerSecond: (parallel * blockBytes * repeat) / seconds,
          });
        }
      }
      const head = `     ${"Hash".padEnd(20)} ${"Encryption".padEnd(30)} Throughput`;
      await printTable(session, options, head, rows);
    });
}

async function printTable(
  session: Session,
  options: CryptoOptions,
  head: string,
  rows: Row[],
): Promise<void> {
  rows.sort((a, b) => b.bytesPerSecond - a.bytesPerSecond);
  const lines = rows.map(({ bytesPerSecond, columns, option }, index) => {
    const rate = `${formatBytes(session.io, bytesPerSecond)} / second`;
    const tail = options.printOptions ? `,   ${option}` : "";
    return `${String(index).padStart(3)}. ${columns} ${rate}${tail}`;
  });
  const fastest = `Fastest option for this machine is: ${rows[0]?.option ?? ""}`;
  await session.io.out(`${[head, rule, ...lines, rule, fastest].join("\n")}\n`);
  recommend(session, rows[0]?.algorithms ?? {});
}
