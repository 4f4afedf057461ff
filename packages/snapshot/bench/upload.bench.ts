/**
 * Backups beside kopia, as whole processes: each program has a repository of its own with the same settings. One long file that
 * does not compress, and 20,000 small files: at first, when nothing has changed, and when 1 % has. Wall and CPU seconds
 * and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/upload.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand. LONG_MIB is the length of the long file, 512 by default; FULL=1 makes it 2 GiB.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { random } from "@dm/fixtures/bench";
import {
  Comparison,
  longMib,
  makeSources,
  openBench,
  smallFileCount,
  smallFilePath,
} from "./beside-kopia.ts";

const { folder, programs, rounds, run } = openBench("upload");

/** The 7th file of each directory, one in a hundred. */
function changeSome(round: number): void {
  for (let index = 7; index < smallFileCount; index += 100)
    writeFileSync(
      smallFilePath(folder, index),
      random({ bytes: 20_000, seed: index * 100 + round }),
    );
}

makeSources(folder);
const rows = [
  `one file of ${longMib} MiB`,
  `${smallFileCount} files of 4 to 64 KiB`,
  "nothing has changed",
  "1 % has changed",
] as const;
const comparison = new Comparison();

async function measure(row: string, round: number, source: string): Promise<void> {
  const both = Object.entries(programs(round));
  // Whoever comes second finds the files in memory: take turns.
  if (round % 2 === 1) both.reverse();
  for (const [name, program] of both) {
    // What another run has left to be written is not this one's.
    await run("sync");
    const create = ["snapshot", "create", "--no-auto-maintenance", join(folder, source)];
    comparison.add(row, name, await program(...create));
  }
}

for (let round = 0; round < rounds; round++) {
  // Each round has repositories of its own, so that the first backup is one.
  for (const [name, program] of Object.entries(programs(round))) {
    const path = join(folder, `${name}-repository-${round}`);
    mkdirSync(path);
    await program("repository", "create", "filesystem", "--path", path);
  }
  const [long, small, same, some] = rows;
  await measure(long, round, "long");
  await measure(small, round, "small");
  await measure(same, round, "small");
  changeSome(round);
  await measure(some, round, "small");
}
comparison.print("upload", rounds, rows);
