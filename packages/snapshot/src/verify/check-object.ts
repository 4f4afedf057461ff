/**
 * What is checked of one object: that its contents are in the index and in packs that are long enough, and that it reads to
 * its end with the length that its entry promises. Proof: test/verify.test.ts, test/corrupt.test.ts.
 * @module
 */
import { type DmError, FormatError, NotFoundError } from "@dm/core";
import { type ContentId, type IndexEntry, parseObjectId, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import { openFile } from "../tree.ts";

/** Whether all contents of an object are there, as far as index and list of packs tell; its length where it is known. */
export async function checkContents(
  repository: Repository,
  { objectId }: DirectoryEntry,
  packLengths: ReadonlyMap<string, number>,
  options: CallOptions & { readonly damagedContents?: ReadonlyMap<ContentId, DmError> | undefined },
): Promise<number | undefined> {
  const { damagedContents } = options;
  const { compressed, contentId, indirection } = parseObjectId(objectId);
  let plainLength = 0;
  for await (const id of repository.objectContents(objectId, options)) {
    const info = await contentOfObject(repository, id, objectId, options);
    checkPack(info, objectId, packLengths.get(info.packBlobId));
    const known = damagedContents?.get(id);
    if (known) throw known;
    plainLength = info.originalLength;
  }
  if (indirection > 0 || contentId === undefined)
    return (await repository.openObject(objectId, options)).length;
  return compressed ? undefined : plainLength;
}

/**
 * Where a content of an object is.
 * @throws {NotFoundError} `DM_CONTENT_NOT_FOUND` when it is in no index
 */
export async function contentOfObject(
  repository: Repository,
  contentId: ContentId,
  objectId: string,
  options: CallOptions,
): Promise<IndexEntry> {
  const info = await repository.contentInfo(contentId, options);
  if (info) return info;
  throw new NotFoundError(
    "DM_CONTENT_NOT_FOUND",
    `content ${contentId} of object ${objectId} is in no index`,
    { contentId, objectId },
  );
}

function checkPack(info: IndexEntry, objectId: string, length: number | undefined): void {
  const { contentId, packBlobId: blobId, packedLength, packOffset: offset } = info;
  const details = { blobId, contentId, objectId, offset };
  if (length === undefined) {
    throw new NotFoundError(
      "DM_PACK_NOT_FOUND",
      `pack ${blobId} with content ${contentId} of object ${objectId} is gone`,
      details,
    );
  }
  if (offset + packedLength > length) {
    throw new FormatError(
      "DM_PACK_TRUNCATED",
      `pack ${blobId} of ${length} bytes ends before content ${contentId} of object ${objectId}`,
      { ...details, length },
    );
  }
}

export function checkLength(entry: DirectoryEntry, length: number | undefined): void {
  const { objectId, sizeBytes: expected } = entry;
  if (length === undefined || length === expected) return;
  throw new FormatError(
    "DM_ENTRY_SIZE_MISMATCH",
    `object ${objectId} has ${length} bytes, its entry says ${expected}`,
    { objectId, length, expected },
  );
}

export async function readWhole(
  repository: Repository,
  entry: DirectoryEntry,
  options: CallOptions,
): Promise<number> {
  const object = await openFile(repository, entry, options);
  let length = 0;
  for await (const piece of object.stream(options)) length += piece.length;
  return length;
}
