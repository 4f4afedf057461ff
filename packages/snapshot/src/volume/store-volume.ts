/**
 * Stores a volume as one object: the one that Kopia makes of the whole stream, though holes are not read, zeros are hashed
 * once for each length of chunk, and of a volume whose changes are known only these are read.
 * Format: docs/format/snapshots.md. Proof: test/volume.test.ts.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { IndirectEntry, ObjectId, WriteSession } from "@dm/repo";
import { parseObjectId } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { type ByteRange, mergeRanges } from "./byte-ranges.ts";
import { type CutBase, cutVolume } from "./cutter.ts";
import type { ChangedBlocks, Volume } from "./volume.ts";

/** What is done so far; all counts are bytes of the volume. */
export interface VolumeProgress {
  readonly sizeBytes: number;
  /** Stored or taken over, zeros included. */
  readonly doneBytes: number;
  /** Read from the volume. */
  readonly readBytes: number;
  /** Chunks that are all zeros. */
  readonly zeroBytes: number;
  /** Taken over from the base. */
  readonly keptBytes: number;
}

export interface StoreVolumeOptions extends CallOptions {
  /** The repository's, by name. */
  readonly splitter: string;
  /** None by default. */
  readonly compressor?: CompressorName | undefined;
  /** Of the index object; zstd-fastest by default, none for `null`. */
  readonly metadataCompressor?: CompressorName | null | undefined;
  /** Reads only what has changed. The base must have been made with the same splitter; what it lacks is read. */
  readonly changedBlocks?: ChangedBlocks | undefined;
  /** Bytes that are read at once; 4 MiB by default. */
  readonly blockBytes?: number | undefined;
  /** Told after each chunk. */
  readonly onProgress?: ((progress: VolumeProgress) => void) | undefined;
  /** How often to give out an object over what is stored so far; never by default. */
  readonly checkpointIntervalMs?: number | undefined;
  readonly onCheckpoint?:
    | ((stored: { readonly objectId: ObjectId; readonly sizeBytes: number }) => Promise<void>)
    | undefined;
}

export interface StoredVolume extends VolumeProgress {
  readonly objectId: ObjectId;
}

/**
 * Stores a volume through a write session. Memory: two blocks, two chunks, and about 100 bytes for each chunk.
 * @throws what reading of the volume and writing of contents throw
 * @example const { objectId } = await storeVolume(session, volume, { splitter: repository.format.splitter });
 */
export async function storeVolume(
  session: WriteSession,
  volume: Volume,
  options: StoreVolumeOptions,
): Promise<StoredVolume> {
  const { changedBlocks, onProgress, signal } = options;
  const base = changedBlocks && (await openBase(session, changedBlocks, volume.sizeBytes, options));
  const parts: IndirectEntry[] = [];
  const idsOfZeros = new Map<number, string>();
  const progress = {
    sizeBytes: volume.sizeBytes,
    doneBytes: 0,
    readBytes: 0,
    zeroBytes: 0,
    keptBytes: 0,
  };
  const store = (bytes: Uint8Array): Promise<string> => session.writePart(bytes, options);
  const storeZeros = async (length: number): Promise<string> => {
    const known = idsOfZeros.get(length);
    if (known !== undefined) return known;
    const id = await store(new Uint8Array(length));
    idsOfZeros.set(length, id);
    return id;
  };
  const join = (): Promise<ObjectId> => session.joinParts(parts, options);
  const chunks = cutVolume(volume, {
    splitter: options.splitter,
    blockBytes: options.blockBytes,
    base,
    signal,
    onRead: (count) => {
      progress.readBytes += count;
    },
  });
  let checkpointAtMs = performance.now();
  for await (const chunk of chunks) {
    const { length, start } = chunk;
    let objectId: string;
    if (chunk.kind === "data") objectId = await store(chunk.bytes);
    else if (chunk.kind === "zero") objectId = await storeZeros(length);
    else objectId = chunk.objectId;
    parts.push({ start, length, objectId });
    progress.doneBytes += length;
    if (chunk.kind === "zero") progress.zeroBytes += length;
    if (chunk.kind === "kept") progress.keptBytes += length;
    onProgress?.({ ...progress });
    const { checkpointIntervalMs, onCheckpoint } = options;
    if (onCheckpoint === undefined || checkpointIntervalMs === undefined) continue;
    if (performance.now() - checkpointAtMs < checkpointIntervalMs) continue;
    await onCheckpoint({ objectId: await join(), sizeBytes: progress.doneBytes });
    checkpointAtMs = performance.now();
  }
  if (parts.length === 0) parts.push({ start: 0, length: 0, objectId: await storeZeros(0) });
  return { ...progress, objectId: await join() };
}

/** The parts of the base, as far as they can be read for ever: what is gone or marked as deleted counts as changed. */
async function openBase(
  session: WriteSession,
  { baseObjectId, ranges }: ChangedBlocks,
  sizeBytes: number,
  options: CallOptions,
): Promise<CutBase> {
  const parts = await session.objectParts(baseObjectId, options);
  const changed: ByteRange[] = [];
  for await (const range of ranges) changed.push(range);
  for (const part of parts) {
    const { contentId, indirection } = parseObjectId(part.objectId);
    const isPlain = indirection === 0 && contentId !== undefined;
    const entry = isPlain ? await session.contentInfo(contentId, options) : undefined;
    if (!entry || entry.deleted) changed.push({ start: part.start, length: part.length });
  }
  return { parts, changed: mergeRanges(changed, sizeBytes) };
}
