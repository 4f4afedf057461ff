/**
 * Looks for copies of the format blob in packs. Format: docs/format/format-blob.md. Proof: test/find-format-copy.test.ts.
 * @module
 */
import { equalBytes, isDmError } from "@dm/core";
import type { BlobMetadata, BlobStore, CallOptions } from "@dm/storage";
import { listPacks } from "../pack/pack-name.ts";
import { formatCopySearchBytes, recoverFormatCopy } from "./format-copy.ts";

/** A format blob that was found in a pack. */
export interface FormatCopy {
  readonly packBlobId: string;
  /** Exact bytes of `kopia.repository` as they were when the pack was written. */
  readonly formatBlob: Uint8Array;
}

/** Where to look. */
export interface FindFormatCopiesOptions extends CallOptions {
  /** Packs to look at, the newest first; 100 by default. Where packs have copies at all, every one has. */
  readonly maxPacks?: number | undefined;
}

/**
 * Format blobs as packs hold them, each once, from the newest pack on: parameters may have been changed between two packs.
 * There are none in repositories that allow a change of password. Costs two ranged reads a pack; needs no password.
 */
export async function* findFormatCopies(
  store: BlobStore,
  options: FindFormatCopiesOptions = {},
): AsyncGenerator<FormatCopy> {
  const { maxPacks = 100, signal } = options;
  const packs: BlobMetadata[] = [];
  for await (const pack of listPacks(store, { signal })) packs.push(pack);
  packs.sort((a, b) => Number(b.timestampNs - a.timestampNs));
  const found: Uint8Array[] = [];
  for (const { id, length } of packs.slice(0, maxPacks)) {
    const formatBlob = await copyIn(store, id, length, options);
    if (!formatBlob || found.some((known) => equalBytes(known, formatBlob))) continue;
    found.push(formatBlob);
    yield { packBlobId: id, formatBlob };
  }
}

async function copyIn(
  store: BlobStore,
  packBlobId: string,
  packLength: number,
  { signal }: CallOptions,
): Promise<Uint8Array | undefined> {
  const length = Math.min(packLength, formatCopySearchBytes);
  if (length === 0) return undefined;
  try {
    const head = await store.get(packBlobId, { offset: 0, length, signal });
    const tail = await store.get(packBlobId, { offset: packLength - length, length, signal });
    return recoverFormatCopy(head, tail);
  } catch (error) {
    // The pack has changed since it was listed.
    const isGone =
      isDmError(error, "DM_BLOB_NOT_FOUND") || isDmError(error, "DM_BLOB_RANGE_INVALID");
    if (!isGone) throw error;
    return undefined;
  }
}
