/**
 * Merges packs that hold little: their contents are written again, together, under the same ids; the old packs become
 * orphans and are deleted by a later run. Proof: test/maintenance.test.ts.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import type { ContentId } from "../content-id.ts";
import type { IndexEntry } from "../index-blob/entry.ts";
import type { Repository } from "../repository.ts";
import { msToNs, type SafetyParameters } from "./safety.ts";

const shortPackShare = 0.6;

/** Ids of contents to rewrite. Pure. */
export function contentsToRewrite(
  entries: Iterable<IndexEntry>,
  options: {
    readonly maxPackSizeBytes: number;
    readonly prefixes: readonly string[];
    /** Contents written after this stay where they are. */
    readonly newestSeconds: number;
  },
): ContentId[] {
  const packs = new Map<string, { bytes: number; readonly contents: ContentId[] }>();
  for (const entry of entries) {
    if (!options.prefixes.includes(entry.packBlobId[0] ?? "")) continue;
    const pack = packs.get(entry.packBlobId) ?? { bytes: 0, contents: [] };
    pack.bytes += entry.packedLength;
    if (entry.timestampSeconds <= options.newestSeconds) pack.contents.push(entry.contentId);
    packs.set(entry.packBlobId, pack);
  }
  const limit = options.maxPackSizeBytes * shortPackShare;
  const short = [...packs].filter(([, pack]) => pack.bytes < limit);
  return options.prefixes.flatMap((prefix) => {
    const own = short.filter(([blobId]) => blobId.startsWith(prefix));
    // A single short pack would only be copied.
    return own.length < 2 ? [] : own.flatMap(([, pack]) => pack.contents);
  });
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
  },
): Promise<RewriteReport> {
  const { prefixes, safety, signal, startedAtNs } = options;
  const index = await repository.contentReader.index.get({ signal });
  const contents = contentsToRewrite(index.entries(), {
    maxPackSizeBytes: repository.format.maxPackSizeBytes,
    prefixes,
    newestSeconds: Number((startedAtNs - msToNs(safety.rewriteMinAgeMs)) / 1_000_000_000n),
  });
  if (contents.length === 0) return { contentsRewritten: 0 };
  await using session = await repository.openWriteSession({ signal });
  for (const id of contents) await session.rewriteContent(id, { signal });
  await session.commit({ signal });
  return { contentsRewritten: contents.length };
}
