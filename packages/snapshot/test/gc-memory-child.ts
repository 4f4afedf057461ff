/**
 * One step on a repository of many contents, half of them garbage, in a process of its own; prints what it did, the time it took
 * and the peak of its memory as JSON. The contents of files are in packs and index, but what is stored for them is noise: nothing
 * here reads it, and it costs no hashing.
 *
 * node --conditions=@dm/source gc-memory-child.ts <directory> <contents> make | collect | maintain
 * @module
 */
import { manualClock, systemClock } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import {
  type ContentId,
  createRepository,
  openRepository,
  runMaintenance,
  type WriteSession,
} from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import {
  collectGarbage,
  type DirectoryEntry,
  encodeDirectory,
  summarizeDirectory,
} from "../src/index.ts";
import { withClock } from "./killed/scenarios.ts";
import { entryOf } from "./made-up.ts";
import { snapshotIn } from "./new-repository.ts";

const [, , path = "", contents = "1000", task = "make"] = process.argv;
const filesPerDirectory = 1000;
/** So many of 64 bytes fill a pack well enough not to be rewritten. */
const maxUnflushedEntries = 1 << 18;
const clock = manualClock(systemClock.nowNs());
const common = { password: "p", deriveKey: async () => new Uint8Array(32).fill(9), clock };

const sealed = splitmix64(1, 64);
/** Any id that looks like a hash. */
const idOf = (index: number): ContentId =>
  Buffer.from(splitmix64(index, 16)).toString("hex") as ContentId;

async function directoryOf(session: WriteSession, name: string, entries: DirectoryEntry[]) {
  const stream = encodeDirectory({ entries, summary: summarizeDirectory(entries, 0n) });
  const objectId = await session.writeObject(stream, { prefix: "k" });
  return entryOf({ name, type: "d", mode: 0o755, objectId });
}

/** Every second directory of files is in the snapshot, the others nobody knows. */
async function make(): Promise<object> {
  const store = filesystemStore({ path, create: true });
  await using repository = await createRepository(store, common);
  await using session = await repository.openWriteSession({ maxUnflushedEntries });
  const known: DirectoryEntry[] = [];
  const directories = Math.ceil(Number(contents) / filesPerDirectory);
  for (let at = 0; at < directories; at++) {
    const entries: DirectoryEntry[] = [];
    await session.sealedContents.prepare();
    for (let index = 0; index < filesPerDirectory; index++) {
      const contentId = idOf(at * filesPerDirectory + index);
      session.sealedContents.write({
        contentId,
        sealed,
        originalLength: 30,
        compressionHeaderId: 0,
      });
      const name = `${index}`.padStart(4, "0");
      entries.push(entryOf({ name, sizeBytes: 30, objectId: contentId }));
    }
    const directory = await directoryOf(session, `${at}`.padStart(6, "0"), entries);
    if (at % 2 === 0) known.push(directory);
  }
  await snapshotIn(session, await directoryOf(session, "", known));
  await session.commit();
  return {};
}

const began = performance.now();
let figures: object;
if (task === "make") figures = await make();
else {
  // A day after `make`, and then an hour later.
  clock.advance((task === "collect" ? 25 : 26) * 3_600_000);
  await using repository = await openRepository(
    withClock(filesystemStore({ path }), clock),
    common,
  );
  if (task === "collect") {
    figures = await collectGarbage(repository);
  } else {
    const report = await runMaintenance(repository, {
      mode: "full",
      safety: "none",
      force: true,
      collectGarbage,
    });
    figures = report.tasks.map(({ figures: done, task: name }) => ({ name, ...done }));
  }
}
const maxRssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
const seconds = Math.round((performance.now() - began) / 100) / 10;
process.stdout.write(JSON.stringify({ figures, seconds, maxRssMiB }));
