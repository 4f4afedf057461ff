/**
 * A data plane that knows volumes: what `volumeSource` gives is stored by `storeVolume`, everything else by the plane below.
 * With it an uploader of trees backs up volumes.
 * Proof: test/volume.test.ts.
 * @module
 */
import type { SourceFile } from "../source/source-entry.ts";
import type { DataPlane, StoreFileOptions, StoreTask } from "../upload/data-plane.ts";
import {
  beginVolume,
  type ChunkSink,
  type VolumeProgress,
  type VolumeSession,
} from "./store-volume.ts";
import type { ChangedBlocks } from "./volume.ts";
import { isSourceVolume } from "./volume-entry.ts";

/** What is read of a volume, and who is told. */
export interface VolumePlaneOptions {
  readonly changedBlocks?: ChangedBlocks | undefined;
  readonly onProgress?: ((progress: VolumeProgress) => void) | undefined;
  /** Told before the task fails. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/** A plane that takes chunks, too, as the one in worker threads does. */
export interface ChunkPlane extends DataPlane {
  readonly chunks?: ChunkSink | undefined;
}

/** Disposing it disposes the plane below. */
export function volumePlane(
  session: VolumeSession,
  plane: ChunkPlane,
  options: VolumePlaneOptions = {},
): DataPlane {
  const store = (file: SourceFile, storing: StoreFileOptions = {}): StoreTask => {
    if (!isSourceVolume(file)) return plane.store(file, storing);
    const { compressor, metadataCompressor, onBytes, resumeFrom, signal } = storing;
    let toldBytes = 0;
    const { checkpoint, done } = beginVolume(session, file.volume, {
      splitter: storing.splitter,
      compressor,
      metadataCompressor,
      signal,
      sink: plane.chunks,
      changedBlocks: resumeFrom ? { baseObjectId: resumeFrom, ranges: [] } : options.changedBlocks,
      onProgress(progress) {
        const bytes = progress.doneBytes - progress.keptBytes;
        onBytes?.(bytes - toldBytes);
        toldBytes = bytes;
        options.onProgress?.(progress);
      },
    });
    const failed = (error: unknown): never => {
      // A limit that is reached, or an abort, ends the task, and is no failure of the volume.
      if (!signal?.aborted || error !== signal.reason) options.onFailure?.(error);
      throw error;
    };
    return { done: done.catch(failed), checkpoint };
  };
  return { store, [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose]() };
}
