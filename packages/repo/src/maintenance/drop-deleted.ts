/**
 * Takes contents that were marked as deleted long ago out of the index, so that their packs become orphans.
 * Format: docs/format/maintenance.md. Proof: test/collection.test.ts.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import { EpochManager } from "../index-manager/epoch-manager.ts";
import type { Repository } from "../repository.ts";
import { mergeIndexBlobs } from "./merge-indexes.ts";

export interface DropDeletedReport {
  /** Deleted contents that the index names no longer. */
  readonly contentsDropped: number;
}

/**
 * With epochs, moves the deletion watermark: readers hide deleted entries up to it, compactions leave them out later.
 * Without, merges all index blobs into one that does not have them.
 */
export async function dropDeletedContents(
  repository: Repository,
  options: CallOptions & { readonly deletedBeforeNs: bigint },
): Promise<DropDeletedReport> {
  const { deletedBeforeNs, signal } = options;
  const { contentReader, indexManager } = repository;
  const before = await countDeleted(repository, { signal });
  if (indexManager instanceof EpochManager) {
    const seconds = Number(deletedBeforeNs / 1_000_000_000n);
    await indexManager.setDeletionWatermark(seconds, { signal });
  } else {
    const inputs = await indexManager.activeBlobs({ signal });
    const blobIds = inputs.map((blob) => blob.id);
    const merged = await mergeIndexBlobs(repository, blobIds, {
      dropDeletedBeforeNs: deletedBeforeNs,
      unique: true,
      signal,
    });
    await indexManager.replace(inputs, merged, { signal });
  }
  await contentReader.index.get({ signal, fresh: true });
  const after = await countDeleted(repository, { signal });
  return { contentsDropped: Math.max(0, before - after) };
}

async function countDeleted(repository: Repository, options: CallOptions): Promise<number> {
  const index = await repository.contentReader.index.get(options);
  let count = 0;
  for (const entry of index.entries()) if (entry.deleted) count += 1;
  return count;
}
