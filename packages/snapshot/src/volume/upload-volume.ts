/**
 * Makes the snapshot of a volume, laid out as Velero does it.
 * Format: docs/format/velero.md. Proof: test/volume-upload.test.ts, test/volume.root.test.ts.
 * @module
 */
import { isDamage, type Repository, type WriteSession } from "@dm/repo";
import type { Snapshot } from "../snapshot-codec.ts";
import { listSnapshots } from "../snapshots.ts";
import { type ObjectSource, readDirectory } from "../tree.ts";
import { inPlacePlane } from "../upload/in-place-plane.ts";
import { fileOfPartial, previousSnapshots } from "../upload/previous.ts";
import {
  type UploadedSnapshot,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "../upload/upload.ts";
import type { VolumeProgress } from "./store-volume.ts";
import type { ChangedBlocks, Volume } from "./volume.ts";
import { type VolumeSourceOptions, volumeSource } from "./volume-entry.ts";
import { type ChunkPlane, volumePlane } from "./volume-plane.ts";

/** As of `uploadSnapshot`, and what of the volume is read. */
export interface UploadVolumeOptions
  extends Omit<UploadSnapshotOptions, "dataPlane" | "filter" | "parallel" | "previous">,
    VolumeSourceOptions {
  /** Reads only what has changed; everything that is not a hole by default. */
  readonly changedBlocks?: ChangedBlocks | undefined;
  /**
   * The bytes are those of the source's latest incomplete snapshot, as of a volume snapshot that does not change: what that
   * has stored is not read again. Counts in the place of `changedBlocks` where there is such a snapshot. Off by default. A
   * function says which of the incomplete snapshots have these bytes.
   */
  readonly resume?: boolean | ((checkpoint: Snapshot) => boolean) | undefined;
  /** What hashes and stores, into this very session; in this thread by default. The caller disposes of it. */
  readonly dataPlane?: ChunkPlane | undefined;
  /** Told after each chunk; keep it cheap. */
  readonly onVolumeProgress?: ((progress: VolumeProgress) => void) | undefined;
}

/** The snapshot, and what it cost. */
export interface UploadedVolume {
  readonly snapshot: UploadedSnapshot;
  /** What was read and what was not. */
  readonly volume: VolumeProgress;
}

/**
 * Backs a volume up. As `uploadSnapshot`, with a root that has the volume as its only file. When the volume cannot be read, or
 * the signal aborts, what is stored becomes an incomplete snapshot, for `resume`; then the failure or the reason is thrown (the
 * reason not with `saveOnAbort`; with `saveOnAbort: false` nothing is saved for it).
 * @example
 * const { snapshot } = await uploadVolume(repository, volume, {
 *   source: veleroSource("snapshot-data-upload-download", ["shop", "disk"]),
 *   name: volume.path,
 *   openedAtNs: volume.openedAtNs,
 * });
 */
export async function uploadVolume(
  target: Repository | WriteSession,
  volume: Volume,
  options: UploadVolumeOptions,
): Promise<UploadedVolume> {
  if (!("openWriteSession" in target)) return upload(target, volume, options);
  await using session = await target.openWriteSession({ signal: options.signal });
  const uploaded = await upload(session, volume, options);
  await session.commit();
  return uploaded;
}

async function upload(
  session: WriteSession,
  volume: Volume,
  options: UploadVolumeOptions,
): Promise<UploadedVolume> {
  const {
    name,
    onVolumeProgress,
    openedAtNs,
    resume = false,
    signal,
    source,
    stopSignal,
  } = options;
  const partial = resume ? await partialObject(session, options) : undefined;
  /** Cuts the upload off at a failure, so that what is stored is kept. */
  const stop = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  let done: VolumeProgress = { ...nothing, sizeBytes: volume.sizeBytes };
  const plane = volumePlane(session, options.dataPlane ?? inPlacePlane(session), {
    changedBlocks: partial ? { baseObjectId: partial, ranges: [] } : options.changedBlocks,
    onProgress(progress) {
      done = progress;
      onVolumeProgress?.(progress);
    },
    onFailure(error) {
      if (signal?.aborted || stopSignal?.aborted) return;
      failure = { error };
      stop.abort(error);
    },
  });
  const root = volumeSource(volume, { name, openedAtNs });
  const snapshot = await uploadSnapshot(session, root, {
    ...options,
    source,
    dataPlane: plane,
    previous: [],
    saveOnAbort: options.saveOnAbort ?? true,
    stopSignal: stopSignal ? AbortSignal.any([stopSignal, stop.signal]) : stop.signal,
  });
  if (failure) throw failure.error;
  if (!options.saveOnAbort) signal?.throwIfAborted();
  return { snapshot, volume: done };
}

const nothing: VolumeProgress = {
  sizeBytes: 0,
  doneBytes: 0,
  readBytes: 0,
  zeroBytes: 0,
  keptBytes: 0,
};

/** The half-stored object of a run that was cut off; undefined also when it is damaged, for then everything is read. */
async function partialObject(
  session: WriteSession & ObjectSource,
  { logger, name, resume, signal, source }: UploadVolumeOptions,
): Promise<string | undefined> {
  const previous = previousSnapshots(await listSnapshots(session, { source, signal }));
  const isSame = typeof resume === "function" ? resume : () => true;
  const latest = previous.findLast((each) => each.incompleteReason && isSame(each));
  if (latest?.rootEntry?.type !== "d") return undefined;
  try {
    const { entries } = await readDirectory(session, latest.rootEntry, { signal });
    const partial = entries.find(
      (entry) => entry.type === "f" && fileOfPartial(entry.name) === name,
    );
    if (partial) await session.objectParts(partial.objectId, { signal });
    return partial?.objectId;
  } catch (error) {
    if (!isDamage(error)) throw error;
    logger?.warn("Left out damaged checkpoint of volume", { code: error.code });
    return undefined;
  }
}
