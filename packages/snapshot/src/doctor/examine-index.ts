/**
 * The index: damaged index blobs are rebuilt from what packs say about themselves and from the index blobs that can be read,
 * and then put out of the way; packs that no index names are looked through for what is missing.
 * Format: docs/format/epochs.md, docs/format/packs.md. Proof: test/doctor.test.ts, test/doctor-repair.test.ts.
 * @module
 */
import type { DmError } from "@dm/core";
import {
  type ContentId,
  type IndexEntry,
  isDamage,
  isSessionMarkerBlobId,
  listPacks,
  type MaintenanceSchedule,
  type Repository,
  recoverIndex,
  sessionIdOfPack,
} from "@dm/repo";
import { countOf, type Examination, textOf } from "./diagnosis.ts";
import { missingContents } from "./examine-snapshots.ts";

const namedPacks = 10;

/** A view of the repository whose index can be read, in the draft. */
export async function examineIndex(examination: Examination): Promise<Repository> {
  examination.progress("index");
  const reader = await withReadableLogs(examination);
  const damaged = reader.damagedIndexBlobs;
  if (damaged.length === 0) return reader;
  const { signal } = examination.options;
  const index = await reader.contentReader.index.get({ signal });
  const named = packsOf(index.entries());
  const report = await recoverIndex(reader, { signal });
  const isUnknown = (entry: IndexEntry): boolean => {
    const known = index.find(entry.contentId);
    return !known || entry.timestampSeconds > known.timestampSeconds;
  };
  // Of a compaction in several blobs the others do not count either, once one of them is out of the way.
  const needsRebuilding =
    damaged.some(({ blobId }) => /^x[sr]/.test(blobId)) ||
    [...report.entries.values()].some(isUnknown);
  if (needsRebuilding) {
    const writer = await examination.open({ forWriting: true });
    const { indexBlobIds } = await recoverIndex(writer, {
      packBlobIds: [],
      known: allEntries(index.entries(), report.entries.values()),
      commit: true,
      signal,
    });
    examination.planned(
      "rebuildIndex",
      `write ${countOf(indexBlobIds.length, "index blob")} with ${countOf(report.entriesFound, "content")} of ` +
        `${countOf(report.packsRead, "pack")}, and what the other index blobs say`,
    );
  }
  for (const { blobId, error } of damaged) {
    const rest = needsRebuilding
      ? "the packs say what was in it, except which contents were deleted"
      : "other index blobs name everything that is in the packs";
    const text = `index blob ${blobId} cannot be used: ${error.message}; ${rest}`;
    examination.found("index", "repairable", text, error, { blobId });
    await examination.setAside(blobId, `put the damaged index blob ${blobId} out of the way`);
  }
  for (const { blobId, error } of report.failures) {
    if (named.has(blobId)) continue;
    const text = `pack ${blobId}, which no other index names, does not say what is in it: ${error.message}`;
    examination.found("index", "lost", text, error, { blobId });
  }
  const repaired = await examination.open();
  await repaired.refresh({ signal });
  return repaired;
}

function* allEntries(...lists: Iterable<IndexEntry>[]): Generator<IndexEntry> {
  for (const list of lists) yield* list;
}

/**
 * Repositories without epochs: a log that says which index blobs a compaction has replaced. Without it they count again, and
 * say nothing that was not true.
 */
async function withReadableLogs(examination: Examination): Promise<Repository> {
  const { signal } = examination.options;
  const tried = new Set<string>();
  for (;;) {
    const reader = await examination.open();
    try {
      await reader.refresh({ signal });
      return reader;
    } catch (error) {
      const blobId = isDamage(error) ? textOf(error.details["blobId"]) : undefined;
      if (blobId === undefined || tried.has(blobId)) throw error;
      tried.add(blobId);
      const { message } = error as DmError;
      const text = `${message}; index blobs that it replaced count again, which does no harm`;
      examination.found("index", "repairable", text, error as DmError);
      await examination.setAside(blobId, `put the damaged compaction log ${blobId} out of the way`);
    }
  }
}

function packsOf(entries: Iterable<IndexEntry>): Set<string> {
  const packs = new Set<string>();
  for (const { packBlobId } of entries) packs.add(packBlobId);
  return packs;
}

/**
 * Packs that no index names are left behind by sessions that were cut off, and by maintenance, which deletes them a day later.
 * Others are a sign that an index blob is gone: those with contents that are missing, and those with contents that are newer
 * than anything that maintenance can have dropped.
 */
export async function examineUnnamedPacks(
  examination: Examination,
  repository: Repository,
  schedule: MaintenanceSchedule,
): Promise<Repository> {
  let reader = repository;
  // What is found may be directories, whose contents are missing, too.
  for (let round = 1; ; round += 1) {
    const lost = await lostPacks(examination, reader, schedule, round === 1);
    if (lost.packBlobIds.length === 0) return reader;
    const { signal } = examination.options;
    const writer = await examination.open({ forWriting: true });
    const report = await recoverIndex(writer, {
      packBlobIds: lost.packBlobIds,
      commit: true,
      signal,
    });
    const packs = countOf(lost.packBlobIds.length, "pack");
    const names = lost.packBlobIds.slice(0, namedPacks).join(", ");
    const more = lost.packBlobIds.length > namedPacks ? ", …" : "";
    examination.found(
      "index",
      "repairable",
      `an index blob is gone: no index names ${packs} (${names}${more}) with ${countOf(lost.contents, "content")} ` +
        "that no other pack has",
      undefined,
      { blobId: lost.packBlobIds[0] },
    );
    examination.planned(
      "rebuildIndex",
      `write ${countOf(report.indexBlobIds.length, "index blob")} with ${countOf(report.entriesFound, "content")} of ` +
        `${packs} that no index names`,
    );
    reader = await examination.open();
    await reader.refresh({ signal });
  }
}

interface LostPacks {
  readonly packBlobIds: readonly string[];
  readonly contents: number;
}

async function lostPacks(
  examination: Examination,
  reader: Repository,
  schedule: MaintenanceSchedule,
  tellsNotes: boolean,
): Promise<LostPacks> {
  const { draft, options } = examination;
  const { signal } = options;
  const none: LostPacks = { packBlobIds: [], contents: 0 };
  // In this order: a writer stores marker, pack and index, and then removes the marker.
  const packs: string[] = [];
  for await (const { id } of listPacks(draft, { signal })) packs.push(id);
  const sessions = new Set<string | undefined>();
  for await (const { id } of draft.list("s", { signal }))
    if (isSessionMarkerBlobId(id)) sessions.add(sessionIdOfPack(id));
  await reader.refresh({ signal });
  const index = await reader.contentReader.index.get({ signal });
  const named = packsOf(index.entries());

  const unnamed = packs.filter((id) => !named.has(id)).sort();
  let missing: ReadonlySet<string> | undefined;
  const isMissing = async (entries: readonly IndexEntry[]): Promise<boolean> => {
    if (entries.every(({ contentId }) => index.find(contentId))) return false;
    missing ??= await missingContents(reader, options);
    return entries.some(({ contentId }) => missing?.has(contentId));
  };
  // A session that was cut off keeps its marker for days; by then others refer to what its index blobs named.
  const flushed = new Set<string | undefined>();
  const ofSessions = unnamed.filter((id) => sessions.has(sessionIdOfPack(id)));
  const { entries: written } = await recoverIndex(reader, { packBlobIds: ofSessions, signal });
  for (const [sessionId, entries] of Map.groupBy(written.values(), ({ packBlobId }) =>
    sessionIdOfPack(packBlobId),
  ))
    if (await isMissing(entries)) flushed.add(sessionId);
  const isUnderWay = (id: string): boolean => {
    const sessionId = sessionIdOfPack(id);
    return sessions.has(sessionId) && !flushed.has(sessionId);
  };
  const underWay = unnamed.filter(isUnderWay);
  const others = unnamed.filter((id) => !isUnderWay(id));
  const note = (text: string, error?: Error): void => {
    if (tellsNotes) examination.found("packs", "note", text, error);
  };
  if (underWay.length > 0)
    note(
      `${countOf(underWay.length, "pack")} of sessions that have not ended, or were cut off, wait for their index`,
    );
  if (others.length === 0) return none;

  const { entries, failures } = await recoverIndex(reader, { packBlobIds: others, signal });
  for (const { blobId, error } of failures)
    note(
      `pack ${blobId}, which no index names, does not say what is in it: ${error.message}`,
      error,
    );
  const unknown = [...entries.values()].filter(({ contentId }) => !index.find(contentId));
  const droppedBefore = lastDropSeconds(reader, schedule);
  let isLost = (entry: IndexEntry): boolean =>
    named.size === 0 || entry.timestampSeconds > droppedBefore;
  if (!unknown.every(isLost) && (await isMissing(unknown))) isLost = () => true;
  const lost = unknown.filter(isLost);
  const lostIds = packsOf(lost);
  const left = others.length - lostIds.size - failures.length;
  if (left > 0)
    note(
      `${countOf(left, "pack")} that no index names hold nothing that is missing: maintenance deletes them when they are old ` +
        "enough",
    );
  return { packBlobIds: [...lostIds].sort(), contents: new Set(lost.map(contentIdOf)).size };
}

const contentIdOf = ({ contentId }: IndexEntry): ContentId => contentId;

/** Unix seconds: contents that are newer cannot have been dropped from the index. */
function lastDropSeconds(reader: Repository, schedule: MaintenanceSchedule): number {
  let seconds = reader.contentReader.index.deletionWatermarkSeconds;
  for (const { endNs } of schedule.runs.get("full-drop-deleted-content") ?? [])
    seconds = Math.max(seconds, Number(endNs / 1_000_000_000n));
  return seconds;
}
