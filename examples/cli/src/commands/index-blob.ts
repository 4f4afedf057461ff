/** `dm index inspect|list|recover`. */
import { isDmError } from "@dm/core";
import {
  formatTime,
  type IndexEntry,
  openBlob,
  openIndex,
  poisonBlobId,
  recoverIndex,
} from "@dm/repo";
import type { BlobMetadata } from "@dm/storage";
import type { Command } from "commander";
import { LossError, UsageError } from "../io.ts";
import { hidden, repeatable } from "../options.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import { formatTimestamp, JsonList, parsePositive } from "../text.ts";

const indexPrefixes = ["n", "xn", "xs", "xr"];

async function activeBlobs(session: Session, superseded = false): Promise<BlobMetadata[]> {
  const repository = await session.repository();
  const { signal } = session;
  const { blobIds } = await repository.indexManager.active({ signal });
  const wanted = new Set(blobIds);
  const blobs: BlobMetadata[] = [];
  for (const prefix of indexPrefixes) {
    for await (const blob of repository.store.list(prefix, { signal })) {
      if (superseded || wanted.has(blob.id)) blobs.push(blob);
    }
  }
  return blobs;
}

export function indexCommands(parent: Command, session: Session): void {
  const index = parent.command("index").description("Commands to inspect and recover the index");
  listCommand(index, session);
  inspectCommand(index, session);
  recoverCommand(index, session);
}

interface ListOptions {
  readonly summary?: boolean;
  readonly superseded?: boolean;
  readonly sort: string;
  readonly json?: boolean;
}

function listCommand(index: Command, session: Session): void {
  index
    .command("list")
    .alias("ls")
    .description("List index blobs")
    .option("--summary", "add a total")
    .option("--superseded", "include index blobs that a compaction has replaced")
    .option("--sort <key>", "time, size or name", "time")
    .option("--json", "output as JSON")
    .action(async (options: ListOptions) => {
      const blobs = await activeBlobs(session, options.superseded);
      blobs.sort(ordering(options.sort));
      const json = options.json ? new JsonList(session.io) : undefined;
      for (const blob of blobs) {
        if (json) {
          await json.add({
            id: blob.id,
            length: blob.length,
            timestamp: formatTime(blob.timestampNs),
            Superseded: null,
          });
          continue;
        }
        const time = formatTimestamp(blob.timestampNs, { milliseconds: true });
        await session.io.out(
          `${blob.id.padEnd(60)} ${String(blob.length).padStart(10)} ${time} []\n`,
        );
      }
      await json?.end();
      if (options.summary && !json) await session.io.out(`total ${blobs.length} indexes\n`);
    });
}

function ordering(key: string): (a: BlobMetadata, b: BlobMetadata) => number {
  if (key === "time") return (a, b) => Number(a.timestampNs - b.timestampNs);
  if (key === "size") return (a, b) => a.length - b.length;
  if (key === "name") return (a, b) => (a.id < b.id ? -1 : 1);
  throw new UsageError(`--sort takes time, size or name, not ${key}`);
}

interface InspectOptions {
  readonly all?: boolean;
  readonly active?: boolean;
  readonly contentId?: readonly string[];
}

function inspectCommand(index: Command, session: Session): void {
  index
    .command("inspect")
    .description("Show the entries of index blobs")
    .argument("[blobs...]", "names of index blobs")
    .option("--all", "all index blobs, also inactive ones")
    .option("--active", "all active index blobs")
    .addOption(repeatable("--content-id <id>", "only entries of this content"))
    .addOption(hidden("--parallel <count>"))
    .action(async (names: readonly string[], options: InspectOptions) => {
      let damagedCount = 0;
      for (const blob of await blobsToInspect(session, names, options)) {
        let entries: Iterable<IndexEntry>;
        try {
          entries = await entriesOf(session, blob);
        } catch (error) {
          if (!session.globals.ignoreDamagedIndexes || !isDmError(error)) throw error;
          session.messages.say(`left out index blob ${blob.id}: ${error.message}`, "warning");
          damagedCount += 1;
          continue;
        }
        for (const entry of entries) {
          if (options.contentId && !options.contentId.includes(entry.contentId)) continue;
          await session.io.out(`${inspected(blob, entry)}\n`);
        }
      }
      if (damagedCount > 0) throw new LossError(`${damagedCount} index blobs were left out`);
    });
}

async function blobsToInspect(
  session: Session,
  names: readonly string[],
  options: InspectOptions,
): Promise<BlobMetadata[]> {
  if (options.all || options.active) {
    const blobs = await activeBlobs(session, options.all);
    // The marker of an upgrade is called like an index blob; nobody can decrypt it.
    return blobs.filter(({ id }) => id !== poisonBlobId);
  }
  if (names.length === 0) throw new UsageError("name index blobs, or say --active or --all");
  const { store } = await session.repository();
  const blobs: BlobMetadata[] = [];
  for (const name of names) blobs.push(await store.stat(name, { signal: session.signal }));
  return blobs;
}

async function entriesOf(session: Session, blob: BlobMetadata): Promise<Iterable<IndexEntry>> {
  const { crypter, store } = await session.repository();
  const stored = await store.get(blob.id, { signal: session.signal });
  const { overheadBytes } = crypter;
  return openIndex(openBlob(crypter, blob.id, stored), { overheadBytes }).entries();
}

function inspected(blob: BlobMetadata, entry: IndexEntry): string {
  const written = formatTimestamp(blob.timestampNs, { milliseconds: true });
  const time = formatTimestamp(BigInt(entry.timestampSeconds) * 1_000_000_000n, {
    milliseconds: true,
  });
  const state = entry.deleted ? "deleted" : "created";
  const place = `${entry.packBlobId} ${entry.packOffset} ${entry.packedLength}`;
  return `${written} ${blob.id} ${entry.contentId} ${state} ${time} ${place}`;
}

interface RecoverOptions {
  readonly blobs?: readonly string[];
  readonly blobPrefixes?: readonly string[];
  readonly parallel: number;
  readonly ignoreErrors?: boolean;
  readonly deleteIndexes?: boolean;
  readonly commit?: boolean;
}

function recoverCommand(index: Command, session: Session): void {
  index
    .command("recover")
    .description("Rebuild the index from the packs; reports only, unless --commit is given")
    .addOption(repeatable("--blob-prefixes <prefix>", "prefix of packs to read"))
    .addOption(repeatable("--blobs <id>", "pack to read"))
    .option("--parallel <count>", "packs read at once", parsePositive, 4)
    .option("--ignore-errors", "go on when a pack has no readable index of its own")
    .option(
      "--delete-indexes",
      "with --commit: delete all present index blobs once the new ones are stored",
    )
    .option("--commit", "store what was found")
    .action(async (options: RecoverOptions) => {
      const repository = await session.repository();
      const { signal } = session;
      const packBlobIds =
        options.blobs ?? (await packsWithPrefixes(session, options.blobPrefixes ?? ["p", "q"]));
      const before =
        options.deleteIndexes && options.commit ? await activeBlobs(session, true) : [];
      using progress = await Progress.open(session, "packs");
      const look = { packBlobIds, concurrency: options.parallel, signal };
      let report = await recoverIndex(repository, {
        ...look,
        onProgress: ({ packsDone }) => progress.update(packsDone, packBlobIds.length),
      });
      progress.end();
      for (const { error } of report.failures) session.say(`error: ${error.message}`);
      if (report.failures.length > 0 && !options.ignoreErrors) {
        throw new Error(
          `${report.failures.length} packs have no readable index (--ignore-errors goes on without them)`,
        );
      }
      session.say(`Found ${report.entriesFound} contents in ${report.packsRead} packs.`);
      if (!options.commit) {
        session.say("Nothing was stored; use --commit to store the recovered index.");
        return;
      }
      report = await recoverIndex(repository, { ...look, commit: true });
      // Only in exchange for new ones.
      const doomed = report.indexBlobIds.length > 0 ? before : [];
      for (const blob of doomed) await repository.store.delete(blob.id, { signal });
      session.say(`Stored ${report.indexBlobIds.length} index blobs.`);
      if (report.failures.length > 0) {
        throw new LossError(`${report.failures.length} packs have no readable index`);
      }
    });
}

async function packsWithPrefixes(session: Session, prefixes: readonly string[]): Promise<string[]> {
  const repository = await session.repository();
  const ids: string[] = [];
  for (const prefix of prefixes) {
    for await (const blob of repository.store.list(prefix, { signal: session.signal }))
      ids.push(blob.id);
  }
  return ids;
}
