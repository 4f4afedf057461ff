/**
 * Reading of blobs that need not be there. Proof: test/get-if-present.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { BlobStore, CallOptions } from "./blob-store.ts";

/** A whole blob, or undefined when there is none. All other errors of the store are thrown. */
export async function getIfPresent(
  store: Pick<BlobStore, "get">,
  id: string,
  { signal }: CallOptions = {},
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id, { signal });
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return undefined;
    throw error;
  }
}
