/**
 * Reads the local index out of a pack blob: what recovery has when the index blobs are gone.
 * Format: docs/format/packs.md. Proof: test/recover.test.ts.
 * @module
 */

import { FormatError, IntegrityError, isDmError } from "@dm/core";
import type { BlobStore } from "@dm/storage";
import type { Crypter } from "../crypto/crypter.ts";
import { openIndex, type PackIndex } from "../index-blob/open.ts";
import { decodePostamble, maxPostambleBytes } from "./postamble.ts";

/** How much of the end of a pack is read at first; local indexes of most packs fit. */
const tailBytes = 8192;

/**
 * The local index of one pack. Costs one or two ranged reads.
 * @throws {FormatError} `DM_PACK_POSTAMBLE_MISSING` when the pack is cut short or altered at its end
 * @throws {IntegrityError} `DM_PACK_INDEX_ALTERED` when the index does not authenticate
 */
export async function readPackIndex(
  store: BlobStore,
  crypter: Crypter,
  blobId: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<PackIndex> {
  const { signal } = options;
  const { length } = await store.stat(blobId, { signal });
  const tailOffset = Math.max(0, length - tailBytes);
  const tail =
    length === 0
      ? new Uint8Array(0)
      : await store.get(blobId, { offset: tailOffset, length: length - tailOffset, signal });
  const postamble = decodePostamble(tail.subarray(Math.max(0, tail.length - maxPostambleBytes)));
  if (!postamble || postamble.localIndexOffset + postamble.localIndexLength > length) {
    throw new FormatError(
      "DM_PACK_POSTAMBLE_MISSING",
      `pack ${blobId} has no postamble at its end (offset ${length})`,
      {
        blobId,
        offset: length,
      },
    );
  }
  const { localIndexOffset, localIndexLength } = postamble;
  const stored =
    localIndexOffset >= tailOffset
      ? tail.subarray(
          localIndexOffset - tailOffset,
          localIndexOffset - tailOffset + localIndexLength,
        )
      : await store.get(blobId, { offset: localIndexOffset, length: localIndexLength, signal });
  return openPackIndex(crypter, blobId, stored, postamble.localIndexIv, localIndexOffset);
}

/** The local index of a pack that is in memory as a whole. Errors as {@link readPackIndex}. */
export function packIndexOf(crypter: Crypter, blobId: string, pack: Uint8Array): PackIndex {
  const postamble = decodePostamble(pack.subarray(Math.max(0, pack.length - maxPostambleBytes)));
  if (!postamble || postamble.localIndexOffset + postamble.localIndexLength > pack.length) {
    throw new FormatError(
      "DM_PACK_POSTAMBLE_MISSING",
      `pack ${blobId} has no postamble at its end (offset ${pack.length})`,
      { blobId, offset: pack.length },
    );
  }
  const { localIndexOffset, localIndexLength, localIndexIv } = postamble;
  const stored = pack.subarray(localIndexOffset, localIndexOffset + localIndexLength);
  return openPackIndex(crypter, blobId, stored, localIndexIv, localIndexOffset);
}

function openPackIndex(
  crypter: Crypter,
  blobId: string,
  stored: Uint8Array,
  iv: Uint8Array,
  offset: number,
): PackIndex {
  try {
    return openIndex(crypter.open(stored, iv), { overheadBytes: crypter.overheadBytes });
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw new IntegrityError(
      "DM_PACK_INDEX_ALTERED",
      `local index of pack ${blobId} at offset ${offset} is damaged: ${cause.message}`,
      { blobId, offset },
      { cause },
    );
  }
}
