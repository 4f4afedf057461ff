/**
 * Backups beside kopia, as whole processes: each program has a repository of its own with the same settings. One long file that
 * does not compress, and 20,000 small files: at first, when nothing has changed, and when 1 % has. Wall and CPU seconds
 * and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/upload.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand. LONG_MIB is the length of the long file, 512 by default; FULL=1 makes it 2 GiB.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { random } from "@dm/fixtures/bench";
import {
  Comparison,
  longMib,
  makeSources,
  openBench,
  type Program,
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

/** Both programs; whoever comes second finds the files in memory, so they take turns. */
const inTurns = (round: number, suffix: string | number): Array<[name: string, Program]> => {
  const both = Object.entries(programs(suffix));
  return round % 2 === 1 ? both.reverse() : both;
};

const repositoryPath = (name: string, suffix: string | number): string =>
  join(folder, `${name}-repository-${suffix}`);

async function createRepository(
  name: string,
  program: Program,
  suffix: string | number,
): Promise<void> {
  const path = repositoryPath(name, suffix);
  mkdirSync(path);
  await program("repository", "create", "filesystem", "--path", path);
}

/**
 * Frees what the system keeps of a repository in memory. A virtual machine pays for each page that it has never used, up to
 * 2.5 s of CPU time a GiB written: whoever meets such pages would be measured by that.
 */
function removeRepository(name: string, suffix: string | number): void {
  rmSync(repositoryPath(name, suffix), { recursive: true });
}

async function measure(row: string, name: string, program: Program, source: string): Promise<void> {
  // What another run has left to be written is not this one's.
  await run("sync");
  const create = ["snapshot", "create", "--no-auto-maintenance", join(folder, source)];
  comparison.add(row, name, await program(...create));
}

for (let round = 0; round < rounds; round++) {
  const [long, small, same, some] = rows;
  // Each round has repositories of its own, so that the first backup is one.
  for (const [name, program] of inTurns(round, `long-${round}`)) {
    await createRepository(name, program, `long-${round}`);
    await measure(long, name, program, "long");
    removeRepository(name, `long-${round}`);
  }
  const both = inTurns(round, round);
  for (const [name, program] of both) await createRepository(name, program, round);
  for (const row of [small, same, some]) {
    if (row === some) changeSome(round);
    for (const [name, program] of both) await measure(row, name, program, "small");
  }
  for (const [name] of both) removeRepository(name, round);
}
comparison.print("upload", rounds, rows);
