/**
 * Verification of a snapshot: its whole tree is read; of every file all contents must be in the index, and in packs that
 * are long enough; as many files as asked for are read, decrypted and measured. Each object is looked at once.
 * Memory: the directories on the way to the current entry, the lengths of all packs, and the ids of the objects seen.
 * Proof: test/corrupt.test.ts, test/verify.test.ts.
 * @module
 */
import { type DmError, FormatError, mapConcurrent, NotFoundError } from "@dm/core";
import { compareUtf8, type IndexEntry, parseObjectId, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "./directory-entry.ts";
import type { Snapshot } from "./snapshot-codec.ts";
import { isDamage, openFile, type TreeItem, walkTree } from "./tree.ts";

export interface VerifySnapshotOptions extends CallOptions {
  /** Share of the files whose data is read, 0 to 1, each file by chance; or `"all"`. `"all"` by default. */
  readonly readFiles?: "all" | number | undefined;
  /** Files under way at once; 4 by default. */
  readonly parallel?: number | undefined;
  /** Told after each entry; keep it cheap. */
  readonly onProgress?: ((progress: VerifySnapshotProgress) => void) | undefined;
  /** From 0 to below 1; chooses the files that are read. The repository's random bytes by default. */
  readonly random?: (() => number) | undefined;
}

export interface VerifySnapshotProgress {
  /** Entries looked at; those of directories that were known already do not count. */
  readonly entriesDone: number;
  /** Bytes of the files among them, by their entries. */
  readonly bytesDone: number;
  readonly filesRead: number;
  readonly bytesRead: number;
  /** Of the whole snapshot, by its summary; undefined when it has none. */
  readonly totalFiles: number | undefined;
  readonly totalBytes: number | undefined;
}

export interface SnapshotFinding {
  readonly snapshotId: string;
  /** Relative to the root of the snapshot, which has the empty path. */
  readonly path: string;
  readonly objectId: string;
  readonly error: DmError;
}

export interface VerifySnapshotReport extends VerifySnapshotProgress {
  readonly findings: readonly SnapshotFinding[];
  /** No findings. */
  readonly ok: boolean;
}

/**
 * Reads everything it can; damage is collected, not thrown.
 * @throws what makes reading impossible as a whole: storage that fails, a damaged index blob
 * @throws {RangeError} when `readFiles` is no share
 * @example
 * const { findings } = await verifySnapshot(repository, snapshot, { readFiles: 0.1 });
 * for (const { path, error } of findings) console.log(path, error.message);
 */
export async function verifySnapshot(
  repository: Repository,
  snapshot: Snapshot,
  options: VerifySnapshotOptions = {},
): Promise<VerifySnapshotReport> {
  const { onProgress, parallel = 4, readFiles = "all", signal } = options;
  const share = readFiles === "all" ? 1 : readFiles;
  if (!(share >= 0 && share <= 1)) throw new RangeError(`readFiles must be 0 to 1, not ${share}`);
  const random = options.random ?? (() => randomShare(repository));
  const { id: snapshotId, rootEntry: root } = snapshot;
  const findings: SnapshotFinding[] = [];
  const progress = {
    entriesDone: 0,
    bytesDone: 0,
    filesRead: 0,
    bytesRead: 0,
    totalFiles: root?.summary?.fileCount,
    totalBytes: root?.summary?.totalBytes,
  };
  if (!root) return { ...progress, findings: [withoutRoot(snapshotId)], ok: false };
  const found = ({ entry, path }: TreeItem, error: DmError): void => {
    findings.push({ snapshotId, path, objectId: entry.objectId, error });
  };
  // A damaged index blob is thrown here, and not found again in every directory.
  await repository.refresh({ signal });
  const packLengths = await lengthsOfPacks(repository, { signal });

  const verifyFile = async ({ entry }: TreeItem): Promise<DmError | undefined> => {
    try {
      checkLength(entry, await checkContents(repository, entry, packLengths, { signal }));
      if (share === 1 || random() < share) {
        const length = await readWhole(repository, entry, { signal });
        progress.bytesRead += length;
        progress.filesRead += 1;
        checkLength(entry, length);
      }
      return undefined;
    } catch (error) {
      if (isDamage(error)) return error;
      throw error;
    }
  };
  const once = outcomes();
  const visit = async (item: TreeItem): Promise<void> => {
    const { entry } = item;
    if (entry.type !== "d") {
      // Two entries of one object may disagree about its size.
      const error = await once(`${entry.objectId} ${entry.sizeBytes}`, () => verifyFile(item));
      if (error) found(item, error);
    }
    progress.entriesDone += 1;
    if (entry.type === "f") progress.bytesDone += entry.sizeBytes;
    onProgress?.({ ...progress });
  };
  const walk = walkTree(repository, root, { signal, descend: firstVisits(), onDamaged: found });
  await mapConcurrent(walk, visit, { concurrency: parallel, signal });
  findings.sort((a, b) => compareUtf8(a.path, b.path));
  return { ...progress, findings, ok: findings.length === 0 };
}

/** Says yes to each directory once; and to one that contains itself, which the walk then refuses. */
function firstVisits(): (item: TreeItem) => boolean {
  const seen = new Set<string>();
  const above: string[] = [];
  return ({ depth, entry: { objectId } }) => {
    above.length = depth;
    const isCycle = above.includes(objectId);
    above.push(objectId);
    if (seen.has(objectId)) return isCycle;
    seen.add(objectId);
    return true;
  };
}

/** Runs a check once for each key; who asks while it runs waits for the same. Sound keys cost no more than their text. */
function outcomes(): (
  key: string,
  check: () => Promise<DmError | undefined>,
) => Promise<DmError | undefined> {
  const sound = new Set<string>();
  const others = new Map<string, Promise<DmError | undefined>>();
  return async (key, check) => {
    if (sound.has(key)) return undefined;
    const known = others.get(key);
    if (known) return known;
    const running = check();
    others.set(key, running);
    const error = await running;
    if (!error) {
      sound.add(key);
      others.delete(key);
    }
    return error;
  };
}

function withoutRoot(snapshotId: string): SnapshotFinding {
  const error = new FormatError(
    "DM_SNAPSHOT_INVALID",
    `snapshot manifest ${snapshotId}: rootEntry: there is none`,
    { manifestId: snapshotId, where: "rootEntry" },
  );
  return { snapshotId, path: "", objectId: "", error };
}

function randomShare(repository: Repository): number {
  const bytes = repository.randomBytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) / 2 ** 32;
}

async function lengthsOfPacks(
  { store }: Repository,
  options: CallOptions,
): Promise<Map<string, number>> {
  const lengths = new Map<string, number>();
  for (const prefix of ["p", "q"])
    for await (const { id, length } of store.list(prefix, options)) lengths.set(id, length);
  return lengths;
}

/** Whether all contents of an object are there, as far as index and list of packs tell; its length where it is known. */
async function checkContents(
  repository: Repository,
  { objectId }: DirectoryEntry,
  packLengths: ReadonlyMap<string, number>,
  options: CallOptions,
): Promise<number | undefined> {
  const { compressed, contentId, indirection } = parseObjectId(objectId);
  let plainLength = 0;
  for await (const id of repository.objectContents(objectId, options)) {
    const info = await repository.contentInfo(id, options);
    if (!info) {
      throw new NotFoundError(
        "DM_CONTENT_NOT_FOUND",
        `content ${id} of object ${objectId} is in no index`,
        { contentId: id, objectId },
      );
    }
    checkPack(info, objectId, packLengths.get(info.packBlobId));
    plainLength = info.originalLength;
  }
  if (indirection > 0 || contentId === undefined)
    return (await repository.openObject(objectId, options)).length;
  return compressed ? undefined : plainLength;
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

function checkLength(entry: DirectoryEntry, length: number | undefined): void {
  const { objectId, sizeBytes: expected } = entry;
  if (length === undefined || length === expected) return;
  throw new FormatError(
    "DM_ENTRY_SIZE_MISMATCH",
    `object ${objectId} has ${length} bytes, its entry says ${expected}`,
    { objectId, length, expected },
  );
}

async function readWhole(
  repository: Repository,
  entry: DirectoryEntry,
  options: CallOptions,
): Promise<number> {
  const object = await openFile(repository, entry, options);
  let length = 0;
  for await (const piece of object.stream(options)) length += piece.length;
  return length;
}
