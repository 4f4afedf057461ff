/**
 * What a restore is asked for and what it reports, whatever it writes to.
 * @module
 */
import type { CallOptions } from "@dm/storage";

/** What is replaced, restored, proven, and how much is under way at once. */
export interface RestoreOptions extends CallOptions {
  /** Use directories that are there and not empty; on by default. */
  readonly overwriteDirectories?: boolean | undefined;
  /** Replace files that are there; on by default. */
  readonly overwriteFiles?: boolean | undefined;
  /** Replace symbolic links that are there; on by default. */
  readonly overwriteSymlinks?: boolean | undefined;
  /** Leave files of the same size whose time differs by less than 2 s, and links, as they are; off by default. */
  readonly skipExisting?: boolean | undefined;
  /**
   * Leave files as they are whose size, time and mode are the snapshot's: what a restore that was cut off has finished.
   * Off by default.
   */
  readonly resume?: boolean | undefined;
  /** Remove from the directories of the snapshot what it does not hold, or holds as another type; off by default. */
  readonly deleteExtra?: boolean | undefined;
  readonly skipOwners?: boolean | undefined;
  readonly skipPermissions?: boolean | undefined;
  readonly skipTimes?: boolean | undefined;
  /** Report owners that this user may not set once, and not for each entry; on by default. */
  readonly ignorePermissionErrors?: boolean | undefined;
  /** Runs of zeros become holes; on by default. Off, room is reserved before the first byte. */
  readonly sparse?: boolean | undefined;
  /** Flush each file to the disk before it gets its name, and directories at the end; off by default. */
  readonly flush?: boolean | undefined;
  /** Read each file again and compare its contents with what was decrypted; off by default. */
  readonly verifyContent?: boolean | undefined;
  /** `stored` (default) gives directories their own time, `newest` the newest time inside, as Kopia does. */
  readonly directoryTimes?: "stored" | "newest" | undefined;
  /**
   * Entries that lie deeper than this below what is restored become placeholders, which hold the entry alone: 0 for all but the
   * directory itself. Links are restored in any case. Undefined (default): everything is restored.
   */
  readonly shallowDepth?: number | undefined;
  /** Shorter files are restored in the place of placeholders; 0 by default. */
  readonly shallowMinBytes?: number | undefined;
  /**
   * Threads that decrypt and write; by default as many as there are processors, up to 4, and none (`0`) for what is known to
   * be small. Without them the calling thread does it, and is busy for as long as a group of files takes.
   */
  readonly workers?: number | undefined;
  /** Groups of files under way at once; 4 by default, 16 from a store across a network. */
  readonly parallel?: number | undefined;
  /**
   * Bytes that were read and not yet written; 32 MiB by default, 64 MiB from a store across a network. A single longer content
   * goes alone.
   */
  readonly maxInFlightBytes?: number | undefined;
  /** Told after each group of files; keep it cheap. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
}

/** What is done so far. */
export interface RestoreProgress {
  readonly filesDone: number;
  readonly directoriesDone: number;
  readonly symlinksDone: number;
  /** Files and directories in the place of which a placeholder stands. */
  readonly placeholdersDone: number;
  /** Bytes of the files that were restored. */
  readonly bytesDone: number;
  /** Files and links that were left as they were. */
  readonly skippedCount: number;
  readonly skippedBytes: number;
  readonly deletedFiles: number;
  readonly deletedDirectories: number;
  readonly deletedSymlinks: number;
  readonly lossCount: number;
  /** By the summary of the entry; undefined when it has none. */
  readonly totalFiles: number | undefined;
  readonly totalBytes: number | undefined;
}

/** One entry that is not there, or not as the snapshot has it. */
export interface RestoreLoss {
  /** Relative to what was restored, which has the empty path. */
  readonly path: string;
  /** Stable, `DM_…`. */
  readonly code: string;
  readonly reason: string;
}

/** What was restored, and what was not. */
export interface RestoreReport extends RestoreProgress {
  /** The first 10,000 by path; `lossCount` counts all. */
  readonly losses: readonly RestoreLoss[];
  /** What concerns many entries, said once: owners that this user may not set, times that the system rounds. */
  readonly notices: readonly string[];
  /** No losses. */
  readonly ok: boolean;
}
