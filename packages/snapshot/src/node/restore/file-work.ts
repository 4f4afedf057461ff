/**
 * Writes files and links of one group: synchronous, on plain data, so that it runs in this thread or in a worker alike.
 * A file is written under a temporary name in its directory, gets its attributes, is looked at again, and only then is
 * renamed: no half file ever stands under its final name. Memory: the plaintext of one content.
 * Proof: test/restore-tree.test.ts, test/restore-kill.test.ts.
 * @module
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import type { Posix } from "../posix/posix.ts";
import {
  type AttributeOutcome,
  type AttributeSettings,
  type Attributes,
  isSetTime,
  setAttributes,
  setLinkAttributes,
} from "./attributes.ts";
import { type LoadedContents, type Piece, PieceFailure, type PieceReader } from "./contents.ts";
import { type Failure, failureOf } from "./failures.ts";
import { writeAll, writeSparse } from "./sparse-write.ts";
import {
  checkGuard,
  conflict,
  kindOf,
  type OpenDirectory,
  temporaryName,
} from "./target-directory.ts";

export interface WorkSettings extends AttributeSettings {
  readonly overwriteFiles: boolean;
  readonly overwriteSymlinks: boolean;
  readonly skipExisting: boolean;
  readonly resume: boolean;
  readonly sparse: boolean;
  readonly flush: boolean;
  readonly verifyContent: boolean;
}

/** One file or link that is to be. */
export interface EntryWork extends Attributes {
  readonly directory: OpenDirectory;
  readonly name: string;
  readonly type: "f" | "s";
  readonly sizeBytes: number;
  readonly pieces: readonly Piece[];
  /** Its contents are not known, for this reason. */
  readonly failure?: Failure | undefined;
}

export type EntryOutcome =
  | { readonly status: "restored"; readonly isOwnerLost: boolean; readonly failure?: Failure }
  | { readonly status: "skipped" }
  | { readonly status: "failed"; readonly failure: Failure };

/** How far apart two times may be for kopia's rule of what exists already. */
const sameTimeNs = 2_000_000_000n;

/** Zero runs are looked for in blocks of the usual file systems. */
const sparseBlockBytes = 4096;

/** Shorter files are written as they are: a hole in them saves less than looking for it and setting the length cost. */
const minSparseBytes = 64 << 10;

const isSparse = ({ sizeBytes }: { sizeBytes: number }, { sparse }: WorkSettings): boolean =>
  sparse && sizeBytes > minSparseBytes;

/** Restores the entries of one group in order; what concerns one entry is its outcome, not an error. */
export function restoreEntries(
  entries: readonly EntryWork[],
  loaded: LoadedContents,
  settings: WorkSettings,
  reader: PieceReader,
  posix: Posix,
): EntryOutcome[] {
  return entries.map((work) => {
    try {
      if (work.failure) return { status: "failed", failure: work.failure };
      return work.type === "s"
        ? restoreLink(work, loaded, settings, reader, posix)
        : restoreFile(work, loaded, settings, reader, posix);
    } catch (error) {
      return { status: "failed", failure: failureIn(error, work, work.sizeBytes) };
    }
  });
}

export function failureIn(error: unknown, work: EntryWork, missingBytes: number): Failure {
  if (error instanceof PieceFailure) return error.failure;
  return failureOf(error, work.directory.prefix, missingBytes);
}

function restoreFile(
  work: EntryWork,
  loaded: LoadedContents,
  settings: WorkSettings,
  reader: PieceReader,
  posix: Posix,
): EntryOutcome {
  if (isLeft(work, settings, posix)) return { status: "skipped" };
  const file = createFile(work, settings, posix);
  try {
    writePieces({ ...work, fd: file.fd }, loaded, settings, reader);
    return finishFile(file, work, settings, posix);
  } catch (error) {
    abandonFile(file);
    throw error;
  }
}

/** A file under its temporary name. */
export interface FileInProgress {
  readonly fd: number;
  readonly temporaryPath: string;
  readonly finalPath: string;
}

/**
 * Whether a file or link stays as it is.
 * @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT` when what is there is not to be overwritten
 */
export function isLeft(work: EntryWork, settings: WorkSettings, posix: Posix): boolean {
  checkGuard(work.directory.guard);
  if (work.directory.isFresh) return false;
  const stat = lstatSync(work.directory.prefix + work.name, {
    bigint: true,
    throwIfNoEntry: false,
  });
  if (stat === undefined) return false;
  if (work.type === "s" ? stat.isSymbolicLink() : stat.isFile()) {
    if (settings.skipExisting && isSame(stat, work)) return true;
    if (settings.resume && work.type === "f" && isDone(stat, work, settings, posix)) return true;
  }
  if (stat.isSymbolicLink()) {
    if (settings.overwriteSymlinks) return false;
    throw conflict("a symbolic link is in its place, and is not to be overwritten");
  }
  if (stat.isFile() && work.type === "f") {
    if (settings.overwriteFiles) return false;
    throw conflict("the file is there, and is not to be overwritten");
  }
  throw conflict(`${kindOf(stat)} is in its place`);
}

/** Links count as the same wherever they lead, as for kopia. */
function isSame(stat: BigIntStats, work: EntryWork): boolean {
  if (work.type === "s") return true;
  const apart = stat.mtimeNs - work.modifiedAtNs;
  return Number(stat.size) === work.sizeBytes && apart < sameTimeNs && apart > -sameTimeNs;
}

/** A file as an earlier run has finished it. */
function isDone(
  { mode, mtimeNs, size }: BigIntStats,
  work: EntryWork,
  { skipPermissions }: WorkSettings,
  posix: Posix,
): boolean {
  return (
    Number(size) === work.sizeBytes &&
    isSetTime(mtimeNs, work.modifiedAtNs, posix) &&
    (skipPermissions || (Number(mode) & 0o7777) === work.mode)
  );
}

export function createFile(work: EntryWork, settings: WorkSettings, posix: Posix): FileInProgress {
  checkGuard(work.directory.guard);
  const { prefix } = work.directory;
  const temporaryPath = prefix + temporaryName();
  const { O_CREAT, O_EXCL, O_RDWR } = constants;
  const fd = openSync(temporaryPath, O_RDWR | O_CREAT | O_EXCL, work.mode & 0o777);
  const file = { fd, temporaryPath, finalPath: prefix + work.name };
  try {
    if (isSparse(work, settings)) ftruncateSync(fd, work.sizeBytes);
    else if (!settings.sparse && work.sizeBytes > 0) posix.preallocate(fd, work.sizeBytes);
  } catch (error) {
    abandonFile(file);
    throw error;
  }
  return file;
}

/** Removes what there is of a file. */
export function abandonFile({ fd, temporaryPath }: FileInProgress): void {
  closeSync(fd);
  unlinkSync(temporaryPath);
}

/** Writes pieces, each with its bytes read again when contents are to be verified. */
export function writePieces(
  file: { readonly fd: number; readonly pieces: readonly Piece[]; readonly sizeBytes: number },
  loaded: LoadedContents,
  settings: WorkSettings,
  reader: PieceReader,
): void {
  const { fd, pieces } = file;
  const isWithHoles = isSparse(file, settings);
  for (const piece of pieces) {
    const plaintext = reader.plaintext(loaded, piece);
    if (isWithHoles) writeSparse(fd, plaintext, piece.start, sparseBlockBytes);
    else writeAll(fd, plaintext, piece.start);
    if (settings.verifyContent) verifyPiece(fd, piece, plaintext, loaded, reader);
  }
}

/** What is in the file is what was decrypted, and that has the hash by which the snapshot names it. */
function verifyPiece(
  fd: number,
  piece: Piece,
  plaintext: Uint8Array,
  loaded: LoadedContents,
  reader: PieceReader,
): void {
  // The name of a compressed stream is the hash of the stream, which was authenticated under it.
  if (!piece.isCompressed) reader.checkHash(loaded.contents[piece.content]!, plaintext);
  const window = Buffer.allocUnsafe(Math.min(plaintext.length, 1 << 20));
  for (let at = 0; at < plaintext.length; ) {
    const wanted = Math.min(window.length, plaintext.length - at);
    const count = readSync(fd, window, 0, wanted, piece.start + at);
    const isEqual = count > 0 && window.compare(plaintext, at, at + count, 0, count) === 0;
    if (!isEqual) {
      throw new PieceFailure({
        code: "DM_RESTORE_DIFFERS",
        reason: `its bytes from ${piece.start + at} on do not read back as they were written`,
      });
    }
    at += count;
  }
}

/** Gives a complete file its attributes and its name. */
export function finishFile(
  file: FileInProgress,
  work: EntryWork,
  settings: WorkSettings,
  posix: Posix,
): EntryOutcome {
  const { fd, finalPath, temporaryPath } = file;
  const outcome = setAttributes(fd, temporaryPath, work, settings, posix);
  const differences = [...outcome.differences];
  if (Number(outcome.stat.size) !== work.sizeBytes)
    differences.push(`it has ${outcome.stat.size} bytes, not ${work.sizeBytes}`);
  if (settings.flush) fsyncSync(fd);
  checkGuard(work.directory.guard);
  renameSync(temporaryPath, finalPath);
  closeSync(fd);
  return restored(outcome, differences);
}

function restored(outcome: AttributeOutcome, differences: readonly string[]): EntryOutcome {
  const { isOwnerLost } = outcome;
  if (differences.length === 0) return { status: "restored", isOwnerLost };
  const failure = { code: "DM_RESTORE_DIFFERS", reason: differences.join("; ") };
  return { status: "restored", isOwnerLost, failure };
}

function restoreLink(
  work: EntryWork,
  loaded: LoadedContents,
  settings: WorkSettings,
  reader: PieceReader,
  posix: Posix,
): EntryOutcome {
  if (isLeft(work, settings, posix)) return { status: "skipped" };
  const target = Buffer.concat(work.pieces.map((piece) => reader.plaintext(loaded, piece)));
  if (target.includes(0)) {
    throw new PieceFailure({
      code: "DM_RESTORE_FAILED",
      reason: "the link's target has a zero byte in it",
    });
  }
  const temporaryPath = work.directory.prefix + temporaryName();
  symlinkSync(target, temporaryPath);
  try {
    const outcome = setLinkAttributes(temporaryPath, work, settings, posix);
    const found = readlinkSync(temporaryPath, { encoding: "buffer" });
    const differences = found.equals(target)
      ? outcome.differences
      : [...outcome.differences, "it leads elsewhere"];
    checkGuard(work.directory.guard);
    renameSync(temporaryPath, work.directory.prefix + work.name);
    return restored(outcome, differences);
  } catch (error) {
    unlinkSync(temporaryPath);
    throw error;
  }
}
