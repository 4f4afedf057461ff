/**
 * A file that is too long for a group: its pieces go in groups of their own, in any order, and are written by position. After
 * the last it is finished, or removed. Proof: test/restore-tree.test.ts.
 * @module
 */
import { isDamage, type Repository } from "@dm/repo";
import type { Posix } from "../posix/posix.ts";
import type { Executor } from "./executor.ts";
import { type Failure, failureOf } from "./failures.ts";
import { type Task, workOf } from "./file-task.ts";
import {
  abandonFile,
  createFile,
  type EntryOutcome,
  type FileInProgress,
  finishFile,
  isLeft,
  type WorkSettings,
} from "./file-work.ts";
import {
  checkObjectLength,
  loadContents,
  type NamedPiece,
  numberPieces,
  piecesOf,
} from "./load-contents.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface LongFileParts {
  readonly repository: Repository;
  readonly settings: WorkSettings;
  readonly executor: Executor;
  readonly posix: Posix;
  readonly queue: WorkQueue;
}

/** Bytes of pieces that go together. */
const groupBytes = 8 << 20;

/** Resolves when all pieces were handed over; `settled` is told when the file stands, or what kept it from that. */
export async function restoreLongFile(
  parts: LongFileParts,
  task: Task,
  settled: (outcome: EntryOutcome) => void,
): Promise<void> {
  const { executor, posix, queue, repository, settings } = parts;
  const { objectId, sizeBytes } = task.entry;
  const work = workOf(task);
  const { prefix } = work.directory;
  const { signal } = queue;
  let file: FileInProgress;
  try {
    if (isLeft(work, settings, posix)) {
      settled({ status: "skipped" });
      return;
    }
    file = createFile(work, settings, posix);
  } catch (error) {
    settled({ status: "failed", failure: failureOf(error, prefix, sizeBytes) });
    return;
  }
  let failure: Failure | undefined;
  /** Groups of pieces under way, and the reading of the index. */
  let pending = 1;
  const ended = (): void => {
    pending -= 1;
    if (pending > 0) return;
    if (signal.aborted) abandonFile(file);
    else settled(failure ? abandoned(file, failure) : finished());
  };
  const finished = (): EntryOutcome => {
    try {
      return finishFile(file, work, settings, posix);
    } catch (error) {
      abandonFile(file);
      return { status: "failed", failure: failureOf(error, prefix, sizeBytes) };
    }
  };
  const send = (pieces: readonly NamedPiece[], bytes: number): Promise<void> => {
    pending += 1;
    const write = async (): Promise<void> => {
      if (failure) return;
      const { ids, numbered } = numberPieces([pieces]);
      const loaded = await loadContents(repository, ids, { signal });
      const part = { fd: file.fd, pieces: numbered[0]!, directory: prefix, sizeBytes };
      const found = await executor.writePieces(part, loaded);
      failure ??= found;
    };
    return queue.start(bytes, write, ended);
  };
  try {
    let pieces: NamedPiece[] = [];
    let bytes = 0;
    let last: NamedPiece | undefined;
    for await (const piece of piecesOf(repository, objectId, sizeBytes, { signal })) {
      if (failure) break;
      last = piece;
      const length = piece.length ?? 0;
      if (pieces.length > 0 && bytes + length > groupBytes) {
        await send(pieces, bytes);
        pieces = [];
        bytes = 0;
      }
      pieces.push(piece);
      bytes += length;
    }
    if (!failure) {
      checkObjectLength(task.entry, last);
      await send(pieces, bytes);
    }
  } catch (error) {
    if (!isDamage(error)) {
      queue.fail(error);
      throw error;
    }
    failure ??= { code: error.code, reason: error.message };
  } finally {
    ended();
  }
}

function abandoned(file: FileInProgress, failure: Failure): EntryOutcome {
  abandonFile(file);
  return { status: "failed", failure };
}
