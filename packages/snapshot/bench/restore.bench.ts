/**
 * Restores beside kopia, as whole processes of both programs on one repository that kopia made: one long file that does not
 * compress, and 20,000 small files. Wall and CPU seconds and peak memory, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/restore.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run
 * the sources as they stand. LONG_MIB is the length of the long file, 512 by default; FULL=1 makes it 2 GiB.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Comparison, longMib, makeSources, openBench, smallFileCount } from "./beside-kopia.ts";

const { folder, programs, rounds, run } = openBench("restore");
const both = programs();

makeSources(folder);
const repository = ["filesystem", "--path", join(folder, "repository")];
mkdirSync(join(folder, "repository"));
await both.kopia("repository", "create", ...repository);
await both.dm("repository", "connect", ...repository);

const sources = {
  long: `one file of ${longMib} MiB`,
  small: `${smallFileCount} files of 4 to 64 KiB`,
};
const comparison = new Comparison();
for (const [source, row] of Object.entries(sources)) {
  const made = await both.kopia("snapshot", "create", "--json", join(folder, source));
  rmSync(join(folder, source), { recursive: true });
  const root: string = JSON.parse(made.out).rootEntry.obj;
  for (let round = 0; round < rounds; round++) {
    for (const [name, program] of Object.entries(both)) {
      // What another run has left to be written is not this one's; and some file systems look for room among what was just
      // deleted, which takes longer than anything else here: everything stays until the end.
      await run("sync");
      const target = join(folder, `${source}-${round}-${name}`);
      comparison.add(row, name, await program("restore", root, target));
    }
  }
}
comparison.print("restore", rounds, Object.values(sources));
