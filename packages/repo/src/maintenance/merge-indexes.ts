/**
 * Merges index blobs into one (or, for very large ones, several) for compaction.
 * Proof: test/maintenance.test.ts.
 * @module
 */
import { concatBytes, mapConcurrent } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { openBlob } from "../crypto/crypter.ts";
import { encodeSorted, shardSorted } from "../index-blob/build.ts";
import { MergedIndex } from "../index-blob/merged.ts";
import { openIndex } from "../index-blob/open.ts";
import { indexSuffixBytes } from "../pack/pack-builder.ts";
import type { Repository } from "../repository.ts";

const fetchConcurrency = 5;

/**
 * Encoded indexes with every entry of the given blobs, the winning one where several name one content. Tombstones stay.
 * Memory: the blobs and the result.
 * @param options.dropDeletedBeforeNs leaves out what was marked as deleted before
 * @param options.unique appends random bytes, as the old index manager wants it
 */
export async function mergeIndexBlobs(
  repository: Repository,
  blobIds: readonly string[],
  options: CallOptions & {
    readonly dropDeletedBeforeNs?: bigint;
    readonly unique?: boolean;
  } = {},
): Promise<Uint8Array[]> {
  const { crypter, format, randomBytes, store } = repository;
  const indexes = await mapConcurrent(
    blobIds,
    async (blobId) =>
      openIndex(openBlob(crypter, blobId, await store.get(blobId, { signal: options.signal })), {
        overheadBytes: crypter.overheadBytes,
      }),
    { concurrency: fetchConcurrency, signal: options.signal },
  );
  const { dropDeletedBeforeNs = 0n } = options;
  // The last whole second that lies before; an index says nothing finer.
  const deletedBeforeSeconds = Number((dropDeletedBeforeNs - 1n) / 1_000_000_000n);
  const merged = new MergedIndex(indexes, { deletedBeforeSeconds });
  const version = format.indexVersion;
  return shardSorted(() => merged.entries()).map((entries) => {
    const index = encodeSorted(entries, { version });
    return options.unique ? concatBytes(index, randomBytes(indexSuffixBytes)) : index;
  });
}
