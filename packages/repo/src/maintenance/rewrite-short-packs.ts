/**
 * Merges packs that hold little: their contents are written again, together, under the same ids; the old packs become
 * orphans and are deleted by a later run. Proof: test/maintenance.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type { ContentId } from "../content-id.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { Repository } from "../repository.ts";
import type { WriteSession } from "../write-session.ts";
import { msToNs, type SafetyParameters } from "./safety.ts";

/** A pack with less than this share of the greatest pack size in use is short. */
export const shortPackShare = 0.6;

/**
 * Ids of contents to rewrite, those of one pack together. Pure.
 * @param entries asked for twice, so that only short packs cost memory
 */
export function contentsToRewrite(
  entries: () => Iterable<IndexEntry>,
  options: {
    readonly maxPackSizeBytes: number;
    readonly prefixes: readonly string[];
    /** Contents written after this stay where they are. */
    readonly newestSeconds: number;
    /** Leaves deleted contents where they are, and packs that hold nothing else. */
    readonly leaveDeleted?: boolean | undefined;
  },
): ContentId[] {
  const { leaveDeleted = false, newestSeconds, prefixes } = options;
  const packBytes = new Map<string, number>();
  const wantedPacks = new Set<string>();
  for (const { deleted, packBlobId, packedLength } of entries()) {
    packBytes.set(packBlobId, (packBytes.get(packBlobId) ?? 0) + packedLength);
    if (!deleted || !leaveDeleted) wantedPacks.add(packBlobId);
  }
  const limit = Math.floor(options.maxPackSizeBytes * shortPackShare);
  const contents = new Map<string, ContentId[]>();
  for (const prefix of prefixes) {
    const short = [...packBytes].filter(
      ([id, bytes]) => id.startsWith(prefix) && bytes < limit && wantedPacks.has(id),
    );
    // A single short pack would only be copied.
    if (short.length > 1) for (const [blobId] of short) contents.set(blobId, []);
  }
  if (contents.size === 0) return [];
  for (const { contentId, deleted, packBlobId, timestampSeconds } of entries()) {
    if (timestampSeconds > newestSeconds || (deleted && leaveDeleted)) continue;
    contents.get(packBlobId)?.push(contentId);
  }
  return [...contents.values()].flat();
}

export interface RewriteReport {
  readonly contentsRewritten: number;
}

export async function rewriteShortPacks(
  repository: Repository,
  options: CallOptions & {
    readonly prefixes: readonly string[];
    readonly startedAtNs: bigint;
    readonly safety: SafetyParameters;
    /**
     * Where deleted contents are dropped later. Rewriting would copy what is to go, and make it look as if it had been
     * deleted just now: written again every other day, it would never be old enough.
     */
    readonly leaveDeleted?: boolean | undefined;
  },
): Promise<RewriteReport> {
  const { leaveDeleted, prefixes, safety, signal, startedAtNs } = options;
  const index = await repository.contentReader.index.get({ signal });
  const contents = contentsToRewrite(() => index.entries(), {
    maxPackSizeBytes: repository.format.maxPackSizeBytes,
    prefixes,
    leaveDeleted,
    newestSeconds: Number((startedAtNs - msToNs(safety.rewriteMinAgeMs)) / 1_000_000_000n),
  });
  if (contents.length === 0) return { contentsRewritten: 0 };
  await using session = await repository.openWriteSession({ signal });
  let contentsRewritten = 0;
  for (const id of contents) if (await rewritten(session, id, { signal })) contentsRewritten += 1;
  await session.commit({ signal });
  return { contentsRewritten };
}

/** Whether the content is in a new pack. A deleted one may have lost its pack: nobody needs it, its entry stays. */
async function rewritten(
  session: WriteSession,
  id: ContentId,
  options: CallOptions,
): Promise<boolean> {
  try {
    return await session.rewriteContent(id, options);
  } catch (error) {
    const isGone = isDmError(error, "DM_PACK_NOT_FOUND");
    if (isGone && (await session.contentInfo(id, options))?.deleted) return false;
    throw error;
  }
}
