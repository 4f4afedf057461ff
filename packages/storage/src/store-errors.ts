/**
 * The errors that every store throws for the same cases.
 * @module
 */
import { AccessError, ConflictError, FormatError, NotFoundError, UnsupportedError } from "@dm/core";
import type { BlobStoreFeatures, PutOptions } from "./blob-store.ts";

/** For a blob that is not there, in `get`, `stat` and `extendRetention`. */
export function blobNotFound(id: string, cause?: unknown): NotFoundError {
  return new NotFoundError(
    "DM_BLOB_NOT_FOUND",
    `blob ${id} does not exist`,
    { blobId: id },
    { cause },
  );
}

/** For a range beyond the end of a blob; `blobLength` in bytes, where it is known. */
export function rangeInvalid(
  id: string,
  offset: number,
  length: number,
  blobLength?: number,
): FormatError {
  const has = blobLength === undefined ? "" : `, the blob has ${blobLength}`;
  return new FormatError(
    "DM_BLOB_RANGE_INVALID",
    `blob ${id} has no bytes ${offset}..${offset + length}${has}`,
    {
      blobId: id,
      offset,
      length,
      blobLength,
    },
  );
}

/** For a put under `ifAbsent` that came second. */
export function blobExists(id: string, cause?: unknown): ConflictError {
  return new ConflictError(
    "DM_BLOB_EXISTS",
    `blob ${id} exists already`,
    { blobId: id },
    { cause },
  );
}

/** For a change on a read-only store; `what` names the call: `put`. */
export function storeReadOnly(what: string): AccessError {
  return new AccessError("DM_STORE_READ_ONLY", `${what} on a store that is open for reading only`, {
    operation: what,
  });
}

/** For an option that `features` denies; `type` is the store's. */
export function optionUnsupported(type: string, option: string, cause?: unknown): UnsupportedError {
  const text = `storage of type ${type} does not support ${option}`;
  return new UnsupportedError("DM_STORE_OPTION_UNSUPPORTED", text, { type, option }, { cause });
}

/** Refuses put options that the store does not have. */
export function checkPutOptions(
  type: string,
  features: BlobStoreFeatures,
  options: PutOptions,
): void {
  if (options.ifAbsent && !features.ifAbsent) throw optionUnsupported(type, "ifAbsent");
  if (options.retention && !features.retention) throw optionUnsupported(type, "retention");
  if (options.timestampNs !== undefined && !features.setTimestamp)
    throw optionUnsupported(type, "timestampNs");
}
