/**
 * Snapshot garbage collection: contents that no snapshot refers to are marked as deleted, those that a snapshot refers to
 * again are revived. Nothing is removed here: maintenance drops what two collections have agreed on.
 * Format: docs/format/maintenance.md. Proof: test/collect-garbage.test.ts, test/collect-garbage.kopia.test.ts.
 * @module
 */
import { AccessError } from "@dm/core";
import {
  type CollectionFigures,
  contentIdPrefix,
  type IndexEntry,
  type Repository,
  safetyParameters,
  type WriteSession,
} from "@dm/repo";
import { listSnapshots } from "../snapshots.ts";
import { type LiveContentsOptions, liveContents } from "./live-contents.ts";

/** What may be collected already. */
export interface CollectGarbageOptions extends LiveContentsOptions {
  /** From when ages count; the repository's clock by default. Maintenance gives the store's time of its start. */
  readonly startedAtNs?: bigint | undefined;
  /** Age below which a content that nothing refers to is left alone; 24 hours by default. */
  readonly minAgeMs?: number | undefined;
  /** Only counts; off by default. */
  readonly dryRun?: boolean | undefined;
  /** Told of each content that nothing refers to and that is old enough, also when it is marked as deleted already. */
  readonly onGarbage?: ((entry: IndexEntry) => void) | undefined;
}

/** About 25 MiB of entries. */
const maxUnflushedEntries = 2 ** 16;
const manifestPrefix = "m";

/**
 * Collects garbage. Memory: a few bits for each content of the index, and 25 MiB for changes.
 * Writers may be at work, also kopia: what they have written in the last 24 hours stays, and what they begin to refer to
 * while this runs, the next collection revives.
 * @throws {IntegrityError} `DM_SNAPSHOT_DAMAGED`; then nothing was changed
 * @throws {FormatError} `DM_SNAPSHOT_INVALID`; the same
 * @throws {AccessError} `DM_REPOSITORY_READ_ONLY`
 * @example await runMaintenance(repository, { mode: "full", collectGarbage });
 */
export async function collectGarbage(
  repository: Repository,
  options: CollectGarbageOptions = {},
): Promise<CollectionFigures> {
  const { dryRun = false, minAgeMs = safetyParameters.full.garbageMinAgeMs, signal } = options;
  if (repository.readOnly && !dryRun)
    throw new AccessError("DM_REPOSITORY_READ_ONLY", "the repository is open for reading only");
  const startedAtNs = options.startedAtNs ?? repository.clock.nowNs();
  await repository.refresh({ signal });
  // Snapshots first: an index that is loaded later has all that they refer to.
  const snapshots = await listSnapshots(repository, { signal });
  const live = await liveContents(repository, snapshots, options);
  const index = live.index;
  const isYoung = (entry: IndexEntry): boolean =>
    startedAtNs - BigInt(entry.timestampSeconds) * 1_000_000_000n <
    BigInt(Math.round(minAgeMs)) * 1_000_000n;

  const tally = new Tally();
  const session = dryRun
    ? undefined
    : await repository.openWriteSession({ maxUnflushedEntries, signal });
  try {
    for (const entry of index.entries()) {
      signal?.throwIfAborted();
      if (contentIdPrefix(entry.contentId) === manifestPrefix) tally.add("inUseSystem", entry);
      else if (live.has(entry.contentId)) {
        tally.add("inUse", entry);
        if (!entry.deleted) continue;
        await session?.undeleteContent(entry.contentId, { signal });
        tally.add("recovered", entry);
      } else if (isYoung(entry)) tally.add("unreferencedRecent", entry);
      else {
        tally.add("unreferenced", entry);
        options.onGarbage?.(entry);
        if (entry.deleted || !session) continue;
        if (await markDeleted(session, entry, { signal })) tally.add("deleted", entry);
      }
    }
    await session?.commit({ signal });
  } finally {
    await session?.[Symbol.asyncDispose]();
  }
  return tally.figures();
}

/** Whether the content was marked. One that somebody has written again since the walk began is left to the next run. */
async function markDeleted(
  session: WriteSession,
  entry: IndexEntry,
  options: { readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const newest = await session.contentInfo(entry.contentId, options);
  if (newest?.timestampSeconds !== entry.timestampSeconds) return false;
  await session.deleteContent(entry.contentId, options);
  return true;
}

type Kind =
  | "unreferenced"
  | "deleted"
  | "unreferencedRecent"
  | "inUse"
  | "inUseSystem"
  | "recovered";

class Tally {
  readonly #counts = new Map<Kind, { count: number; size: number }>();

  add(kind: Kind, entry: IndexEntry): void {
    const sum = this.#counts.get(kind) ?? { count: 0, size: 0 };
    this.#counts.set(kind, sum);
    sum.count += 1;
    sum.size += entry.packedLength;
  }

  figures(): CollectionFigures {
    const of = (kind: Kind): { count: number; size: number } =>
      this.#counts.get(kind) ?? { count: 0, size: 0 };
    return {
      unreferencedContentCount: of("unreferenced").count,
      unreferencedContentSize: of("unreferenced").size,
      deletedContentCount: of("deleted").count,
      deletedContentSize: of("deleted").size,
      unreferencedRecentContentCount: of("unreferencedRecent").count,
      unreferencedRecentContentSize: of("unreferencedRecent").size,
      inUseContentCount: of("inUse").count,
      inUseContentSize: of("inUse").size,
      inUseSystemContentCount: of("inUseSystem").count,
      inUseSystemContentSize: of("inUseSystem").size,
      recoveredContentCount: of("recovered").count,
      recoveredContentSize: of("recovered").size,
    };
  }
}
