/**
 * Contents whose pack is lost or damaged may lie in another pack as well: two clients have stored them at the same time, or they
 * were rewritten and the old pack is still there. An index entry that is newer by a second makes the sound copy count.
 * Proof: test/doctor-repair.test.ts.
 * @module
 */
import { mapConcurrent } from "@dm/core";
import {
  type ContentId,
  type IndexEntry,
  isDamage,
  listPacks,
  type Repository,
  recoverIndex,
  type VerifyFinding,
} from "@dm/repo";
import { countOf, type Examination } from "./diagnosis.ts";

const readConcurrency = 4;

/** Plans index entries for sound copies of what the findings name; whether there were any. */
export async function useOtherCopies(
  examination: Examination,
  reader: Repository,
  findings: readonly VerifyFinding[],
): Promise<boolean> {
  const { draft, options } = examination;
  const { signal } = options;
  const lost = await lostContents(reader, findings);
  if (lost.size === 0) return false;
  const packs: string[] = [];
  for await (const { id } of listPacks(draft, { signal })) packs.push(id);
  const copies = new Map<ContentId, IndexEntry>();
  await mapConcurrent(
    packs,
    async (packBlobId) => {
      const { entries } = await recoverIndex(reader, { packBlobIds: [packBlobId], signal });
      for (const copy of entries.values()) {
        const { contentId } = copy;
        const entry = lost.get(contentId);
        if (!entry || entry.packBlobId === packBlobId || copies.has(contentId)) continue;
        if (await isSound(reader, copy, signal))
          copies.set(contentId, { ...copy, timestampSeconds: entry.timestampSeconds + 1 });
      }
    },
    { concurrency: readConcurrency, signal },
  );
  if (copies.size === 0) return false;
  const writer = await examination.open({ forWriting: true });
  await recoverIndex(writer, { packBlobIds: [], known: copies.values(), commit: true, signal });
  const byPack = Map.groupBy(copies.values(), ({ contentId }) => lost.get(contentId)!.packBlobId);
  for (const [blobId, [first, ...others]] of byPack) {
    const contents =
      others.length === 0 ? `content ${first!.contentId}` : countOf(others.length + 1, "content");
    const text = `${contents} of pack ${blobId} cannot be read there; pack ${first!.packBlobId}${
      others.some(({ packBlobId }) => packBlobId !== first!.packBlobId)
        ? " and others have"
        : " has"
    } another copy`;
    examination.found("packs", "repairable", text, undefined, { blobId });
  }
  examination.planned(
    "rebuildIndex",
    `write an index blob that names other copies of ${countOf(copies.size, "content")}`,
  );
  return true;
}

/** Index entries of what the findings name: contents, or all that count in a pack. */
export async function lostContents(
  reader: Repository,
  findings: readonly VerifyFinding[],
): Promise<Map<ContentId, IndexEntry>> {
  const contents = new Set<ContentId>();
  const packs = new Set<string>();
  for (const { blobId, contentId, severity } of findings) {
    if (severity === "warning") continue;
    if (contentId) contents.add(contentId);
    else packs.add(blobId);
  }
  const lost = new Map<ContentId, IndexEntry>();
  if (contents.size + packs.size === 0) return lost;
  const index = await reader.contentReader.index.get();
  for (const entry of index.entries())
    if (!entry.deleted && (contents.has(entry.contentId) || packs.has(entry.packBlobId)))
      lost.set(entry.contentId, entry);
  return lost;
}

async function isSound(
  { contentReader }: Repository,
  copy: IndexEntry,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    return contentReader.matchesId(copy.contentId, await contentReader.readEntry(copy, { signal }));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return false;
  }
}
