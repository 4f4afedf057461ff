/**
 * Verification of a whole repository: every pack that the index names is read once, every content in it decrypted,
 * decompressed and hashed again; manifests are decoded. Memory: `parallelPacks` packs, one number for each pack, and the
 * entries of 262,144 contents (60 MiB), however many there are. Proof: test/verify.test.ts, test/bit-flip.test.ts.
 * @module
 */
import { FormatError, IntegrityError, isDmError, mapConcurrent, NotFoundError } from "@dm/core";
import { type CallOptions, isBlobId } from "@dm/storage";
import type { ContentId } from "./content-id.ts";
import { isDamage } from "./damage.ts";
import type { IndexEntry } from "./index-blob/entry.ts";
import { decodeManifests } from "./manifest/manifest-codec.ts";
import { packIndexOf } from "./pack/pack-index.ts";
import { lengthsOfPacks } from "./pack/pack-name.ts";
import type { Repository } from "./repository.ts";

export interface VerifyOptions extends CallOptions {
  /** `full` reads and hashes everything; `structure` compares the index with lengths of blobs only. `full` by default. */
  readonly depth?: "full" | "structure" | undefined;
  /** Packs in memory at once; 2 by default. */
  readonly parallelPacks?: number | undefined;
  /** Called after each pack; keep it cheap. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export interface VerifyProgress {
  readonly packsDone: number;
  readonly totalPacks: number;
  readonly contentsDone: number;
  readonly totalContents: number;
  readonly bytesDone: number;
}

/** One damage, or one thing that is missing. */
export interface VerifyFinding {
  /** `error`: data is lost or wrong. `warning`: everything can be read, but recovery from packs would miss something. */
  readonly severity: "error" | "warning";
  readonly blobId: string;
  /** When it concerns one content alone. */
  readonly contentId?: ContentId | undefined;
  /** Bytes from the start of the blob. */
  readonly offset?: number | undefined;
  /** How many contents this finding stands for. */
  readonly contentCount: number;
  readonly error: Error;
}

export interface VerifyReport extends VerifyProgress {
  readonly manifestsDone: number;
  readonly findings: readonly VerifyFinding[];
  /** No finding of severity `error`. */
  readonly ok: boolean;
}

/**
 * Reads everything it can; damage is collected, not thrown.
 * @throws what makes reading impossible as a whole: a damaged index blob (unless ignored), storage that fails
 */
export async function verifyRepository(
  repository: Repository,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { depth = "full", onProgress, parallelPacks = 2, signal } = options;
  const index = await repository.contentReader.index.get({ signal, fresh: true });
  const findings: VerifyFinding[] = repository.damagedIndexBlobs.map(({ blobId, error }) => ({
    severity: "error",
    blobId,
    contentCount: 0,
    error,
  }));
  const contentCounts = new Map<string, number>();
  let totalContents = 0;
  for (const { packBlobId } of index.entries()) {
    totalContents += 1;
    contentCounts.set(packBlobId, (contentCounts.get(packBlobId) ?? 0) + 1);
  }
  const progress = {
    packsDone: 0,
    totalPacks: contentCounts.size,
    contentsDone: 0,
    totalContents,
    bytesDone: 0,
  };
  const lengths =
    depth === "structure"
      ? await lengthsOfPacks(repository.store, { signal: options.signal })
      : undefined;
  for (const packs of packBatches(contentCounts)) {
    const byPack = new Map(packs.map((blobId): [string, IndexEntry[]] => [blobId, []]));
    for (const entry of index.entries()) byPack.get(entry.packBlobId)?.push(entry);
    await mapConcurrent(
      byPack,
      async ([blobId, entries]) => {
        const found = lengths
          ? checkLengths(blobId, entries, lengths.get(blobId))
          : await verifyPack(repository, blobId, entries, options);
        findings.push(...found);
        progress.packsDone += 1;
        progress.contentsDone += entries.length;
        for (const entry of entries) progress.bytesDone += entry.packedLength;
        onProgress?.(progress);
      },
      { concurrency: parallelPacks, signal },
    );
  }
  const manifestsDone = await verifyManifests(repository, findings, options);
  findings.sort((a, b) =>
    a.blobId < b.blobId ? -1 : a.blobId > b.blobId ? 1 : (a.offset ?? 0) - (b.offset ?? 0),
  );
  return {
    ...progress,
    manifestsDone,
    findings,
    ok: findings.every((finding) => finding.severity !== "error"),
  };
}

const maxContentsPerBatch = 2 ** 18;

/** Packs in groups of so many contents that their entries fit into memory; a pack with more is a group of its own. Pure. */
export function packBatches(
  contentCounts: ReadonlyMap<string, number>,
  maxContents: number = maxContentsPerBatch,
): string[][] {
  const batches: string[][] = [];
  let room = 0;
  for (const [blobId, count] of contentCounts) {
    if (count > room || batches.length === 0) {
      batches.push([]);
      room = maxContents;
    }
    batches.at(-1)!.push(blobId);
    room -= count;
  }
  return batches;
}

function missingPack(
  blobId: string,
  entries: readonly IndexEntry[],
  cause?: unknown,
): VerifyFinding {
  // A tombstone may outlive its pack: nothing readable is lost.
  const live = entries.filter((entry) => !entry.deleted).length;
  return {
    severity: live > 0 ? "error" : "warning",
    blobId,
    contentCount: entries.length,
    error: new NotFoundError(
      "DM_PACK_NOT_FOUND",
      `pack ${blobId} with ${entries.length} contents is gone`,
      { blobId, contentCount: entries.length },
      { cause },
    ),
  };
}

function checkLengths(
  blobId: string,
  entries: readonly IndexEntry[],
  length: number | undefined,
): VerifyFinding[] {
  if (length === undefined) return [missingPack(blobId, entries)];
  const findings: VerifyFinding[] = [];
  for (const entry of entries) {
    if (entry.packOffset + entry.packedLength > length) findings.push(truncated(entry, length));
  }
  return findings;
}

function truncated(entry: IndexEntry, length: number): VerifyFinding {
  const { contentId, packBlobId: blobId, packOffset: offset } = entry;
  return {
    severity: "error",
    blobId,
    contentId,
    offset,
    contentCount: 1,
    error: new FormatError(
      "DM_PACK_TRUNCATED",
      `pack ${blobId} of ${length} bytes ends before content ${contentId} (${entry.packedLength} bytes at offset ${offset})`,
      { blobId, contentId, offset, length },
    ),
  };
}

async function verifyPack(
  repository: Repository,
  blobId: string,
  entries: readonly IndexEntry[],
  options: CallOptions,
): Promise<VerifyFinding[]> {
  if (!isBlobId(blobId)) return entries.map((entry) => impossiblePack(repository, entry));
  let pack: Uint8Array;
  try {
    pack = await repository.store.get(blobId, { signal: options.signal });
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return [missingPack(blobId, entries, error)];
    throw error;
  }
  const findings: VerifyFinding[] = [];
  for (const entry of entries) {
    const { contentId, packOffset: offset } = entry;
    if (offset + entry.packedLength > pack.length) {
      findings.push(truncated(entry, pack.length));
      continue;
    }
    const error = contentError(
      repository,
      entry,
      pack.subarray(offset, offset + entry.packedLength),
    );
    if (error)
      findings.push({ severity: "error", blobId, contentId, offset, contentCount: 1, error });
  }
  try {
    packIndexOf(repository.crypter, blobId, pack);
  } catch (error) {
    if (!isDmError(error)) throw error;
    findings.push({ severity: "warning", blobId, offset: pack.length, contentCount: 0, error });
  }
  return findings;
}

/** An index entry whose pack cannot exist under that name. */
function impossiblePack(repository: Repository, entry: IndexEntry): VerifyFinding {
  const { contentId, packBlobId: blobId, packOffset: offset } = entry;
  const error = contentError(repository, entry, new Uint8Array(0))!;
  return { severity: "error", blobId, contentId, offset, contentCount: 1, error };
}

function contentError(
  repository: Repository,
  entry: IndexEntry,
  stored: Uint8Array,
): Error | undefined {
  const { contentReader } = repository;
  try {
    const plaintext = contentReader.decode(entry, stored);
    if (contentReader.matchesId(entry.contentId, plaintext)) return undefined;
    return new IntegrityError(
      "DM_CONTENT_HASH_MISMATCH",
      `content ${entry.contentId} in pack ${entry.packBlobId} at offset ${entry.packOffset} has another hash than its id`,
      { contentId: entry.contentId, blobId: entry.packBlobId, offset: entry.packOffset },
    );
  } catch (error) {
    if (!isDmError(error)) throw error;
    return error;
  }
}

async function verifyManifests(
  repository: Repository,
  findings: VerifyFinding[],
  options: CallOptions,
): Promise<number> {
  const damaged = new Set(findings.map((finding) => finding.contentId));
  let manifestsDone = 0;
  for await (const entry of repository.listContents({ prefix: "m", signal: options.signal })) {
    if (damaged.has(entry.contentId)) continue;
    try {
      manifestsDone += decodeManifests(
        await repository.contentReader.readEntry(entry, options),
        entry.contentId,
      ).length;
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { contentId, packBlobId: blobId, packOffset: offset } = entry;
      if (isDmError(error, "DM_PACK_NOT_FOUND") || isDmError(error, "DM_PACK_TRUNCATED")) continue;
      findings.push({ severity: "error", blobId, contentId, offset, contentCount: 1, error });
    }
  }
  return manifestsDone;
}
