/**
 * Rebuilds lost index blobs from the local indexes at the ends of the packs.
 * Format: docs/format/packs.md. Proof: test/recover.test.ts.
 * @module
 */
import { AccessError, mapConcurrent } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { newSessionId } from "./content/session-marker.ts";
import type { ContentId } from "./content-id.ts";
import { isDamage } from "./damage.ts";
import { buildIndex, shardIndexEntries } from "./index-blob/build.ts";
import { type IndexEntry, preferEntry } from "./index-blob/entry.ts";
import { readPackIndex } from "./pack/pack-index.ts";
import { listPacks } from "./pack/pack-name.ts";
import type { Repository } from "./repository.ts";

export interface RecoverIndexOptions extends CallOptions {
  /** Packs to read; all by default. */
  readonly packBlobIds?: readonly string[] | undefined;
  /** Store what was found as new index blobs; off by default, which only reports. */
  readonly commit?: boolean | undefined;
  /**
   * Entries of index blobs that can be read, to be stored with what packs say: marks of deletion among them, and what only a
   * damaged member of a compaction set makes unreadable.
   */
  readonly known?: Iterable<IndexEntry> | undefined;
  readonly concurrency?: number | undefined;
  readonly onProgress?:
    | ((progress: { readonly packsDone: number; readonly entriesFound: number }) => void)
    | undefined;
}

export interface RecoverIndexReport {
  readonly packsRead: number;
  readonly entriesFound: number;
  /** What the packs say, by content. */
  readonly entries: ReadonlyMap<ContentId, IndexEntry>;
  /** Packs whose local index is gone or damaged. */
  readonly failures: readonly { readonly blobId: string; readonly error: Error }[];
  /** Ids of the new index blobs; empty without `commit`. */
  readonly indexBlobIds: readonly string[];
}

/**
 * Reads local indexes, without any index blob. Deletions are not in packs: contents deleted before come back to life and
 * are removed again by the next garbage collection. The repository sees what was stored after a `refresh`.
 * @throws {AccessError} `DM_REPOSITORY_READ_ONLY` with `commit`
 * @throws what the store throws when it does not work: nothing is stored then
 */
export async function recoverIndex(
  repository: Repository,
  options: RecoverIndexOptions = {},
): Promise<RecoverIndexReport> {
  const { commit = false, concurrency = 4, onProgress, signal } = options;
  if (commit && repository.readOnly) {
    throw new AccessError("DM_REPOSITORY_READ_ONLY", "the repository is open for reading only");
  }
  const packBlobIds = options.packBlobIds ?? (await allPacks(repository, options));
  const entries = new Map<ContentId, IndexEntry>();
  const failures: { blobId: string; error: Error }[] = [];
  let packsDone = 0;
  await mapConcurrent(
    packBlobIds,
    async (blobId) => {
      try {
        const index = await readPackIndex(repository.store, repository.crypter, blobId, { signal });
        for (const entry of index.entries()) {
          const known = entries.get(entry.contentId);
          entries.set(entry.contentId, known ? preferEntry(known, entry) : entry);
        }
      } catch (error) {
        if (!isDamage(error)) throw error;
        failures.push({ blobId, error });
      }
      packsDone += 1;
      onProgress?.({ packsDone, entriesFound: entries.size });
    },
    { concurrency, signal },
  );
  let indexBlobIds: readonly string[] = [];
  const stored = commit ? withKnown(entries, options.known) : entries;
  if (commit && stored.size > 0) {
    const version = repository.format.indexVersion;
    const indexes = shardIndexEntries([...stored.values()]).map((shard) =>
      buildIndex(shard, { version }),
    );
    const sessionId = newSessionId(repository.randomBytes, repository.clock.nowNs());
    indexBlobIds = await repository.indexManager.write(indexes, { sessionId, signal });
  }
  return { packsRead: packsDone, entriesFound: entries.size, entries, failures, indexBlobIds };
}

function withKnown(
  entries: ReadonlyMap<ContentId, IndexEntry>,
  known: Iterable<IndexEntry> | undefined,
): ReadonlyMap<ContentId, IndexEntry> {
  if (!known) return entries;
  const all = new Map(entries);
  for (const entry of known) {
    const found = all.get(entry.contentId);
    all.set(entry.contentId, found ? preferEntry(found, entry) : entry);
  }
  return all;
}

async function allPacks(repository: Repository, options: CallOptions): Promise<string[]> {
  const packs: string[] = [];
  for await (const { id } of listPacks(repository.store, { signal: options.signal }))
    packs.push(id);
  return packs.sort();
}
