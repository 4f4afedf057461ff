/**
 * Stores a volume as one object: the one that Kopia makes of the whole stream, though holes are not read, zeros are hashed
 * once for each length of chunk, and of a volume whose changes are known only these are read.
 * Format: docs/format/snapshots.md. Proof: test/volume.test.ts.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import { type ObjectId, parseObjectId, type WriteSession } from "@dm/repo";
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

/** How a chunk is stored. */
export interface PutChunkOptions extends CallOptions {
  readonly compressor?: CompressorName | undefined;
}

/** Takes chunks into a write session. */
export interface ChunkSink {
  /**
   * Waits until `bytes` need not be borrowed any longer; `stored` settles with the object id of the chunk. At most
   * `parallelChunks` of them are not settled at once.
   */
  put(bytes: Uint8Array, options: PutChunkOptions): Promise<{ readonly stored: Promise<string> }>;
  readonly parallelChunks: number;
}

/** What of a volume is read, and who stores it. */
export interface StoreVolumeOptions extends CallOptions {
  /** The repository's by default. */
  readonly splitter?: string | undefined;
  /** None by default. */
  readonly compressor?: CompressorName | undefined;
  /** Of the index object; zstd-fastest by default, none for `null`. */
  readonly metadataCompressor?: CompressorName | null | undefined;
  /** Reads only what has changed. The base must have been made with the same splitter; what it lacks is read. */
  readonly changedBlocks?: ChangedBlocks | undefined;
  /** What hashes and stores; in this thread, one chunk at a time, by default. */
  readonly sink?: ChunkSink | undefined;
  /** Bytes that are read at once; 4 MiB by default. */
  readonly blockBytes?: number | undefined;
  /** Told after each chunk; keep it cheap. */
  readonly onProgress?: ((progress: VolumeProgress) => void) | undefined;
}

/** The object that a volume has become. */
export interface StoredVolume extends VolumeProgress {
  readonly objectId: ObjectId;
}

/** A volume under way. */
export interface VolumeTask {
  readonly done: Promise<StoredVolume>;
  /**
   * The object over what is stored so far, from the volume's beginning on; undefined when that is nothing yet. With it as the
   * base of `changedBlocks`, and no changes, a later run goes on.
   */
  checkpoint(): Promise<{ readonly objectId: ObjectId; readonly sizeBytes: number } | undefined>;
}

/** What is needed of a write session to store volumes. */
export type VolumeSession = Pick<
  WriteSession,
  "contentInfo" | "joinParts" | "objectParts" | "sealedContents" | "writePart"
>;

/**
 * Stores a volume through a write session. Memory: two blocks, two chunks, and about 100 bytes for each chunk.
 * @throws what reading of the volume and writing of contents throw
 * @example const { objectId } = await storeVolume(session, volume);
 */
export async function storeVolume(
  session: VolumeSession,
  volume: Volume,
  options: StoreVolumeOptions = {},
): Promise<StoredVolume> {
  return beginVolume(session, volume, options).done;
}

/** As {@link storeVolume}, for callers that want checkpoints. */
export function beginVolume(
  session: VolumeSession,
  volume: Volume,
  options: StoreVolumeOptions = {},
): VolumeTask {
  const { metadataCompressor } = options;
  const parts: VolumePart[] = [];
  const done = storeParts(session, volume, options, parts);
  done.catch(() => undefined);
  return {
    done,
    async checkpoint() {
      const firstMissing = parts.findIndex(({ objectId }) => objectId === "");
      const stored = firstMissing < 0 ? parts.slice() : parts.slice(0, firstMissing);
      const last = stored.at(-1);
      if (last === undefined) return undefined;
      // Also after an abort.
      const objectId = await session.joinParts(stored, { metadataCompressor });
      return { objectId, sizeBytes: last.start + last.length };
    },
  };
}

interface VolumePart extends ByteRange {
  /** Empty until it is stored. */
  objectId: string;
}

async function storeParts(
  session: VolumeSession,
  volume: Volume,
  options: StoreVolumeOptions,
  parts: VolumePart[],
): Promise<StoredVolume> {
  const { changedBlocks, compressor, metadataCompressor, onProgress, signal, sink } = options;
  const { sizeBytes } = volume;
  const base = changedBlocks && (await openBase(session, changedBlocks, sizeBytes, options));
  const progress = { sizeBytes, doneBytes: 0, readBytes: 0, zeroBytes: 0, keptBytes: 0 };
  const idsOfZeros = new Map<number, string>();
  const write = (bytes: Uint8Array): Promise<string> =>
    session.writePart(bytes, { compressor, signal });
  const writeZeros = async (length: number): Promise<string> => {
    const known = idsOfZeros.get(length);
    if (known !== undefined) return known;
    const id = await write(new Uint8Array(length));
    idsOfZeros.set(length, id);
    return id;
  };
  const underWay = new Set<Promise<void>>();
  let failure: { readonly reason: unknown } | undefined;
  const put = async (part: VolumePart, bytes: Uint8Array): Promise<void> => {
    if (sink === undefined) {
      part.objectId = await write(bytes);
      return;
    }
    while (underWay.size >= sink.parallelChunks) await Promise.race(underWay);
    if (failure) throw failure.reason;
    const { stored } = await sink.put(bytes, { compressor, signal });
    const settled = stored
      .then(
        (id) => {
          part.objectId = id;
        },
        (reason: unknown) => {
          failure ??= { reason };
        },
      )
      .finally(() => underWay.delete(settled));
    underWay.add(settled);
  };
  const chunks = cutVolume(volume, {
    splitter: options.splitter ?? session.sealedContents.format.splitter,
    blockBytes: options.blockBytes,
    base,
    signal,
    onRead: (count) => {
      progress.readBytes += count;
    },
  });
  try {
    for await (const chunk of chunks) {
      const { kind, length, start } = chunk;
      const part: VolumePart = { start, length, objectId: "" };
      parts.push(part);
      if (kind === "data") await put(part, chunk.bytes);
      else if (kind === "zero") part.objectId = await writeZeros(length);
      else part.objectId = chunk.objectId;
      progress.doneBytes += length;
      if (kind === "zero") progress.zeroBytes += length;
      if (kind === "kept") progress.keptBytes += length;
      onProgress?.({ ...progress });
    }
  } finally {
    await Promise.all(underWay);
  }
  if (failure) throw failure.reason;
  if (parts.length === 0) parts.push({ start: 0, length: 0, objectId: await writeZeros(0) });
  return { ...progress, objectId: await session.joinParts(parts, { metadataCompressor, signal }) };
}

/** The parts of the base, as far as they can be read for ever: what is gone or marked as deleted counts as changed. */
async function openBase(
  session: VolumeSession,
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
