/** Backs up a tree of many small files that exist only while they are read, twice; prints figures as JSON. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRepository, openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import type { SourceDirectory, SourceEntry } from "../src/index.ts";
import { uploadSnapshot } from "../src/index.ts";
import { directory, file } from "./memory-source.ts";

const [fileCount = "1000", filesPerDirectory = "100"] = process.argv.slice(2);
const perDirectory = Number(filesPerDirectory);
const directoryCount = Math.ceil(Number(fileCount) / perDirectory);
const text = new TextEncoder().encode("a few bytes");

const filesOf = (index: number): SourceEntry[] =>
  Array.from({ length: perDirectory }, (_, at) =>
    file(`file ${index * perDirectory + at}.txt`, text, {
      modifiedAtNs: BigInt(at) * 1_000_003n,
      sliceBytes: 64,
    }),
  );

/** Directories of at most 100 directories, down to those of files. */
function branch(from: number, count: number): SourceDirectory {
  const list = async (): Promise<SourceEntry[]> => {
    if (count === 1) return filesOf(from);
    const step = Math.max(1, Math.ceil(count / 100));
    const branches: SourceEntry[] = [];
    for (let at = 0; at < count; at += step)
      branches.push(branch(from + at, Math.min(step, count - at)));
    return branches;
  };
  return directory(`directory ${from}`, list);
}

const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const folder = mkdtempSync(join(tmpdir(), "dm-many-"));
try {
  const store = filesystemStore({ path: folder });
  await createRepository(store, { password: "p", deriveKey });
  await using repository = await openRepository(store, { password: "p", deriveKey });
  const source = { host: "h", userName: "u", path: "/many" };
  const runs: { ms: number; cachedFiles: number; files: number }[] = [];
  for (let run = 0; run < 2; run++) {
    const began = performance.now();
    const { rootEntry, stats } = await uploadSnapshot(repository, branch(0, directoryCount), {
      source,
    });
    const ms = Math.round(performance.now() - began);
    runs.push({ ms, cachedFiles: stats.cachedFiles, files: rootEntry!.summary!.fileCount });
  }
  const maxRssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  process.stdout.write(JSON.stringify({ runs, maxRssMiB }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
