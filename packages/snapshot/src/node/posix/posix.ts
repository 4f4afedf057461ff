/**
 * The system calls that Node does not offer, as one small seam. Which back-end serves it, and why: docs/decisions/0008.
 * All calls are synchronous: each costs microseconds, and callers run them where they do not block.
 * @module
 */
import type { ExtendedAttribute } from "../../extended-metadata.ts";
import type { LocalPath } from "../../source/source-entry.ts";

/** A part of a file. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/** The seam; each back-end is one of these. */
export interface Posix {
  /** `none` when no back-end works here: then the calls do what Node can, and `losses` says what that is not. */
  readonly backend: "node:ffi" | "koffi" | "none";
  /** What is lost without a back-end, as sentences; empty otherwise. */
  readonly losses: readonly string[];
  /** Sets both times to the nanosecond; of a link itself, never of its target. */
  setTimes(path: LocalPath, accessedAtNs: bigint, modifiedAtNs: bigint): void;
  /** Extended attributes of the entry itself, never of a link's target; none where the file system has none. */
  readAttributes(path: LocalPath): readonly ExtendedAttribute[];
  writeAttribute(path: LocalPath, attribute: ExtendedAttribute): void;
  removeAttribute(path: LocalPath, name: string): void;
  /** Ranges that may hold data, in order; everything else reads as zeros. One range over all when nothing is known. */
  dataRanges(fd: number, sizeBytes: number): ByteRange[];
  /** Reserves room, so that a full file system shows before the first byte; the size stays. Nothing where that cannot be. */
  preallocate(fd: number, sizeBytes: number): void;
  /** Makes a range a hole that reads as zeros (file) or discards it (device); false where that is not possible. */
  punchHole(fd: number, range: ByteRange): boolean;
  /** Size of a block device or a file, in bytes. */
  sizeOf(fd: number): number;
  /** Flushes the whole file system that a file lies on. */
  syncFileSystem(fd: number): void;
}
