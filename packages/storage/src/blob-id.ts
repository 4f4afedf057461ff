/**
 * Blob ids, and the classes of blobs that carry an object lock.
 * Format: docs/format/blobs.md. Proof: test/blobs-page.test.ts, and the contract suite.
 * @module
 */
const pattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const maxLength = 255;

/** Whether `id` can name a blob. */
export function isBlobId(id: string): boolean {
  return id.length <= maxLength && pattern.test(id);
}

/**
 * Refuses what cannot be a blob id, above all anything that could leave a directory. Kopia's own ids are `[a-z0-9._-]`;
 * upper case occurs in blobs that other programs keep beside them.
 * @throws {RangeError}
 */
export function checkBlobId(id: string): void {
  if (!isBlobId(id)) throw new RangeError(`not a blob id: ${JSON.stringify(id.slice(0, 100))}`);
}

/** Prefixes of blobs that get the repository's retention when it has one. */
export const lockedPrefixes: readonly string[] = Object.freeze([
  "n",
  "x",
  "kopia.repository",
  "kopia.blobcfg",
  "p",
  "q",
]);
