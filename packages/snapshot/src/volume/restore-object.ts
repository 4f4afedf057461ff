/**
 * Writes the object of a volume onto a target by position, zeros left out where the target has them already, and reads it
 * all again to compare it with the contents.
 * Memory: `parallelParts` parts, each at most the splitter's longest. Proof: test/volume-restore.test.ts.
 * @module
 */
import { type DmError, equalBytes, FormatError, mapConcurrent } from "@dm/core";
import { type IndirectEntry, isDamage, parseObjectId, type Repository } from "@dm/repo";
import { type CallOptions, isNearby } from "@dm/storage";
import type { ByteRange } from "./byte-ranges.ts";
import { isZero } from "./zeros.ts";

/** What is written to. Calls for ranges that do not overlap may run at once. */
export interface VolumeTarget {
  /** Whether all of it reads as zeros before the first write. */
  readonly readsAsZeros: boolean;
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Makes a range read as zeros without writing it; false where that is not possible or not certain. */
  clear(range: ByteRange): Promise<boolean>;
  /** Fills `bytes` from `offset` on. */
  read(bytes: Uint8Array, offset: number): Promise<void>;
  /** Everything written is on the medium. */
  flush(): Promise<void>;
}

/** How an object is written and proven. */
export interface RestoreObjectOptions extends CallOptions {
  /** Reads everything again and compares it with the contents; on by default. */
  readonly verifyContent?: boolean | undefined;
  /** Leaves parts as they are that the target has already: for a restore that was cut off. Off by default. */
  readonly resume?: boolean | undefined;
  /**
   * Parts that are read and written at once; 3 by default. From a store across a network as many as have 64 MiB together, from 4
   * to 32.
   */
  readonly parallelParts?: number | undefined;
  /** Told after each part; keep it cheap. */
  readonly onProgress?: ((progress: VolumeRestoreProgress) => void) | undefined;
}

/** All counts are bytes of the volume. */
export interface VolumeRestoreProgress {
  readonly sizeBytes: number;
  /** Written, left out, cleared or kept, and what was lost. */
  readonly doneBytes: number;
  readonly writtenBytes: number;
  /** Zeros that were not written. */
  readonly zeroBytes: number;
  /** Was there already (`resume`). */
  readonly keptBytes: number;
  /** Read again and found right. */
  readonly verifiedBytes: number;
}

/** A range that is not as the snapshot has it. */
export interface VolumeLoss extends ByteRange {
  readonly code: string;
  readonly reason: string;
}

/** What was written, proven and lost. */
export interface RestoredObject extends VolumeRestoreProgress {
  /** By position. */
  readonly losses: readonly VolumeLoss[];
  readonly ok: boolean;
}

/** Zeros count by blocks of this length; fewer are written with what lies around them, since a call costs more. */
const runBytes = 32 << 10;
/** What a device clears is made of these; beyond them zeros are written. */
const clearedBytes = 4096;
/** What may be under way from a store across a network. */
const maxInFlightBytes = 64 << 20;

/**
 * Restores all parts, then flushes, then compares. Damage in the repository costs the ranges concerned, which are listed; what
 * the target says is thrown.
 */
export async function restoreObject(
  repository: Repository,
  objectId: string,
  target: VolumeTarget,
  options: RestoreObjectOptions = {},
): Promise<RestoredObject> {
  const { onProgress, resume = false, signal, verifyContent = true } = options;
  const parts = await flatParts(repository, objectId, 0, { signal });
  const { parallelParts = defaultParallel(repository, parts) } = options;
  const last = parts.at(-1);
  const progress = {
    sizeBytes: last ? last.start + last.length : 0,
    doneBytes: 0,
    writtenBytes: 0,
    zeroBytes: 0,
    keptBytes: 0,
    verifiedBytes: 0,
  };
  const losses: VolumeLoss[] = [];
  const lost = new Set<IndirectEntry>();
  /** Objects that have turned out to be zeros: they are the many of a volume, and are read once. */
  const zeroIds = new Set<string>();
  const lose = (part: IndirectEntry, code: string, reason: string): void => {
    losses.push({ start: part.start, length: part.length, code, reason });
    lost.add(part);
  };

  const writeData = async (bytes: Uint8Array, offset: number): Promise<void> => {
    await target.write(bytes, offset);
    progress.writtenBytes += bytes.length;
  };
  const writeZeros = async ({ length, start }: ByteRange): Promise<void> => {
    if (target.readsAsZeros) {
      progress.zeroBytes += length;
      return;
    }
    const end = start + length;
    const first = Math.ceil(start / clearedBytes) * clearedBytes;
    const inside = Math.floor(end / clearedBytes) * clearedBytes - first;
    if (inside > 0 && (await target.clear({ start: first, length: inside }))) {
      progress.zeroBytes += inside;
      if (first > start) await writeData(new Uint8Array(first - start), start);
      if (end > first + inside)
        await writeData(new Uint8Array(end - first - inside), first + inside);
      return;
    }
    const zeros = new Uint8Array(Math.min(length, 1 << 20));
    for (let at = start; at < end; at += zeros.length)
      await writeData(zeros.subarray(0, Math.min(zeros.length, end - at)), at);
  };
  const writePart = async ({ length, start }: IndirectEntry, bytes: Uint8Array): Promise<void> => {
    for (const run of runsOf(bytes, start)) {
      const at = start + run.start;
      if (run.isZero) await writeZeros({ start: at, length: run.length });
      else await writeData(bytes.subarray(run.start, run.start + run.length), at);
    }
    progress.doneBytes += length;
  };
  const restorePart = async (part: IndirectEntry): Promise<void> => {
    const { length, objectId: id, start } = part;
    if (resume && (await isInPlace(repository, part, target, zeroIds))) {
      progress.keptBytes += length;
      progress.doneBytes += length;
    } else if (zeroIds.has(id)) {
      await writeZeros({ start, length });
      progress.doneBytes += length;
    } else {
      try {
        const bytes = await readPart(repository, part, { signal });
        if (isZero(bytes)) zeroIds.add(id);
        await writePart(part, bytes);
      } catch (error) {
        if (!isDamage(error)) throw error;
        lose(part, (error as DmError).code, (error as DmError).message);
        progress.doneBytes += length;
      }
    }
    onProgress?.({ ...progress });
  };
  await mapConcurrent(parts, restorePart, { concurrency: parallelParts, signal });
  await target.flush();

  const verifyPart = async (part: IndirectEntry): Promise<void> => {
    if (lost.has(part)) return;
    if (await isInPlace(repository, part, target, zeroIds)) progress.verifiedBytes += part.length;
    else
      lose(
        part,
        "DM_RESTORE_DIFFERS",
        `${part.length} bytes from ${part.start} on are not what was written`,
      );
    onProgress?.({ ...progress });
  };
  if (verifyContent) await mapConcurrent(parts, verifyPart, { concurrency: parallelParts, signal });
  losses.sort((a, b) => a.start - b.start);
  return { ...progress, losses, ok: losses.length === 0 };
}

function defaultParallel({ store }: Repository, parts: readonly IndirectEntry[]): number {
  if (isNearby(store)) return 3;
  const longest = parts.reduce((most, { length }) => Math.max(most, length), 1);
  return Math.min(32, Math.max(4, Math.floor(maxInFlightBytes / longest)));
}

/** Parts that are contents, by position; those that are indexes of their own are opened. */
async function flatParts(
  repository: Repository,
  objectId: string,
  start: number,
  options: CallOptions,
  depth = 0,
): Promise<IndirectEntry[]> {
  const flat: IndirectEntry[] = [];
  if (depth > 20)
    throw new FormatError(
      "DM_INDIRECT_INVALID",
      `index of object ${objectId}: it contains itself`,
      { objectId },
    );
  for (const part of await repository.objectParts(objectId, options)) {
    if (part.length === 0) continue;
    const placed = { ...part, start: start + part.start };
    if (part.objectId.startsWith("I"))
      flat.push(...(await flatParts(repository, part.objectId, placed.start, options, depth + 1)));
    else flat.push(placed);
  }
  return flat;
}

async function readPart(
  repository: Repository,
  { length, objectId }: IndirectEntry,
  options: CallOptions,
): Promise<Uint8Array> {
  const { compressed, contentId } = parseObjectId(objectId);
  const bytes =
    contentId && !compressed
      ? await repository.readContent(contentId, options)
      : await (await repository.openObject(objectId, options)).read(options);
  if (bytes.length === length) return bytes;
  throw new FormatError(
    "DM_OBJECT_PART_LENGTH_MISMATCH",
    `part ${objectId} has ${bytes.length} bytes, its index promises ${length}`,
    { part: objectId, length: bytes.length, expected: length },
  );
}

/** Whether the target holds the bytes of a part, told by their hash. */
async function isInPlace(
  repository: Repository,
  part: IndirectEntry,
  target: VolumeTarget,
  zeroIds: Set<string>,
): Promise<boolean> {
  const bytes = new Uint8Array(part.length);
  await target.read(bytes, part.start);
  if (zeroIds.has(part.objectId)) return isZero(bytes);
  const { compressed, contentId } = parseObjectId(part.objectId);
  if (contentId && !compressed) {
    if (!repository.contentReader.matchesId(contentId, bytes)) return false;
    if (isZero(bytes)) zeroIds.add(part.objectId);
    return true;
  }
  // The id is the hash of the compressed bytes, which another compressor need not make.
  return equalBytes(bytes, await readPart(repository, part, {}));
}

interface BytesRun extends ByteRange {
  readonly isZero: boolean;
}

/** Runs of zeros, by blocks of the target, and what lies between them. */
function runsOf(bytes: Uint8Array, position: number): BytesRun[] {
  const runs: BytesRun[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + runBytes - ((position + at) % runBytes));
    const isZeroBlock = isZero(bytes.subarray(at, end));
    const last = runs.at(-1);
    if (last?.isZero === isZeroBlock) runs[runs.length - 1] = { ...last, length: end - last.start };
    else runs.push({ start: at, length: end - at, isZero: isZeroBlock });
    at = end;
  }
  return runs;
}
