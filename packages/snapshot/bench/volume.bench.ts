/**
 * An image of 4 GiB of which a tenth is allocated, backed up by kopia as a file and by us as a volume, as whole processes with
 * a repository each: at first, and again with a new time, so that everything that may hold data is read once more. Wall and
 * CPU seconds and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/volume.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand.
 */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { random } from "@dm/fixtures/bench";
import { Comparison, openBench } from "./beside-kopia.ts";

const { folder, programs, rounds, run } = openBench("volume");
const sizeMib = 4096;
/** One run of data in each; the rest is a hole. */
const stepMib = 40;
const dataMib = 4;

const image = join(folder, "disk.img");
const fd = openSync(image, "w");
ftruncateSync(fd, sizeMib * 2 ** 20);
for (let at = 0; at < sizeMib; at += stepMib)
  writeSync(fd, random({ bytes: dataMib << 20, seed: at + 1 }), 0, dataMib << 20, at * 2 ** 20);
closeSync(fd);

const comparison = new Comparison();
const rows = ["first backup", "again, with a new time"] as const;
for (let round = 0; round < rounds; round++) {
  const both = Object.entries(programs(round));
  const repository = (name: string): string => join(folder, `${name}-repository-${round}`);
  for (const [name, program] of both) {
    mkdirSync(repository(name));
    await program("repository", "create", "filesystem", "--path", repository(name));
  }
  // Whoever comes second finds the image in memory: take turns.
  if (round % 2 === 1) both.reverse();
  for (const [index, row] of rows.entries()) {
    utimesSync(image, 1_700_000_000 + index, 1_700_000_000 + index);
    for (const [name, program] of both) {
      // What another run has left to be written is not this one's.
      await run("sync");
      const how = name === "dm" ? ["--block"] : [];
      comparison.add(row, name, await program("snapshot", "create", ...how, image));
    }
  }
  for (const [name] of both) rmSync(repository(name), { recursive: true });
}
const allocatedMib = Math.ceil(sizeMib / stepMib) * dataMib;
comparison.print(`volume of ${sizeMib} MiB, ${allocatedMib} allocated`, rounds, rows);
