/**
 * Names of pack blobs: `p` (data) or `q` (contents with a prefix), 32 random hexadecimal digits, a dash and the session id.
 * Format: docs/format/packs.md. Proof: test/verify.test.ts, test/maintenance.test.ts.
 * @module
 */
import type { BlobMetadata, BlobStore, CallOptions } from "@dm/storage";

export const packPrefixes: readonly string[] = ["p", "q"];

// Clients before sessions existed wrote no session id.
const pattern = /^[pq][0-9a-f]{32}(?:-s[0-9a-f]+)?$/;

/** Other programs may keep blobs of their own in the store whose names begin alike. */
export function isPackBlobId(blobId: string): boolean {
  return pattern.test(blobId);
}

/** All packs of a store. */
export async function* listPacks(
  store: BlobStore,
  options: CallOptions & { readonly prefixes?: readonly string[] } = {},
): AsyncGenerator<BlobMetadata> {
  const { prefixes = packPrefixes, signal } = options;
  for (const prefix of prefixes) {
    for await (const blob of store.list(prefix, { signal })) if (isPackBlobId(blob.id)) yield blob;
  }
}

/** Bytes of every pack, by its id. */
export async function lengthsOfPacks(
  store: BlobStore,
  options: CallOptions = {},
): Promise<Map<string, number>> {
  const lengths = new Map<string, number>();
  for await (const { id, length } of listPacks(store, options)) lengths.set(id, length);
  return lengths;
}
