/**
 * What a policy decides about the upload of one entry, with the defaults that hold where a policy leaves a field unset. Those
 * differ from the built-in policy's: they count inside a tree, where a policy inherits nothing.
 * Format: docs/format/policies.md. Proof: test/upload-choices.test.ts.
 * @module
 */
import { type CompressorName, compressors } from "@dm/compression";
import { compareUtf8 } from "@dm/repo";
import type { Policy } from "./policy.ts";

/**
 * Compressor of a file's data; undefined for none. `policy` is that of the file itself (`tree.child(name).policy`). Names that
 * are unknown count as none, as in Kopia.
 * @param name base name: its last extension decides
 */
export function compressorOf(
  { compression }: Policy,
  name: string,
  sizeBytes: number,
): CompressorName | undefined {
  const { compressorName, maxSize = 0, minSize = 0, neverCompress, onlyCompress } = compression;
  const compressor = knownCompressor(compressorName);
  if (!compressor) return undefined;
  if ((minSize > 0 && sizeBytes < minSize) || (maxSize > 0 && sizeBytes > maxSize))
    return undefined;
  if (!neverCompress?.length) return compressor;
  const extension = name.slice(extensionStart(name));
  if (onlyCompress?.length && isInSorted(onlyCompress, extension)) return compressor;
  return isInSorted(neverCompress, extension) ? undefined : compressor;
}

/**
 * Compressor of a directory's stream (the policy of the directory), of a symlink and of a file's index objects (their own).
 * `null` for none, as in `StoreFileOptions`.
 */
export function metadataCompressorOf({ metadataCompression }: Policy): CompressorName | null {
  return knownCompressor(metadataCompression.compressorName) ?? null;
}

/** Splitter of a file; undefined for the repository's. */
export function splitterOf({ splitter }: Policy): string | undefined {
  return splitter.algorithm || undefined;
}

/**
 * Bytes above which a file is stored in parts of this length; undefined for never. Kopia splits files of at most this many
 * bytes into one part, and longer ones into parts of it.
 */
export function partBytesOf({ upload }: Policy): number | undefined {
  const { parallelUploadAboveSize = -1 } = upload;
  return parallelUploadAboveSize > 0 ? parallelUploadAboveSize : undefined;
}

/** How many files are read at once, of a source's root policy; undefined when it does not say. */
export function parallelFileReadsOf({ upload }: Policy): number | undefined {
  const { maxParallelFileReads = 0 } = upload;
  return maxParallelFileReads > 0 ? maxParallelFileReads : undefined;
}

/**
 * Which failures leave a snapshot without an error. Kopia asks the entry's own policy about directories and special files,
 * and that of the directory that holds it about files and symlinks.
 */
export interface IgnoredErrors {
  readonly files: boolean;
  readonly directories: boolean;
  readonly unknownTypes: boolean;
}

/** What a policy leaves unset: errors of files and directories count, entries of unknown types do not. */
export function ignoredErrorsOf({ errorHandling }: Policy): IgnoredErrors {
  return {
    files: errorHandling.ignoreFileErrors ?? false,
    directories: errorHandling.ignoreDirectoryErrors ?? false,
    unknownTypes: errorHandling.ignoreUnknownTypes ?? true,
  };
}

function knownCompressor(name: string | undefined): CompressorName | undefined {
  return name !== undefined && Object.hasOwn(compressors, name)
    ? (name as CompressorName)
    : undefined;
}

/** From the last dot on; the end of the name when it has none. */
function extensionStart(name: string): number {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? name.length : dot;
}

/** By halving, as Kopia looks: in a list that is not sorted some are not found. */
function isInSorted(list: readonly string[], wanted: string): boolean {
  let from = 0;
  let to = list.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (compareUtf8(list[middle]!, wanted) < 0) from = middle + 1;
    else to = middle;
  }
  return list[from] === wanted;
}
