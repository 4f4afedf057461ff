/**
 * Where groups of files are decrypted and written: here, or in worker threads.
 * @module
 */
import type { Posix } from "../posix/posix.ts";
import {
  type Decoder,
  type LoadedContents,
  type Piece,
  PieceFailure,
  PieceReader,
} from "./contents.ts";
import { type Failure, failureOf } from "./failures.ts";
import {
  type EntryOutcome,
  type EntryWork,
  restoreEntries,
  type WorkSettings,
  writePieces,
} from "./file-work.ts";

export interface Executor extends AsyncDisposable {
  /** Whole files and links, one outcome each. */
  restoreEntries(
    entries: readonly EntryWork[],
    loaded: LoadedContents,
  ): Promise<readonly EntryOutcome[]>;
  /** Some pieces of a file that is open; the failure that kept it from writing them, if any. */
  writePieces(work: PiecesWork, loaded: LoadedContents): Promise<Failure | undefined>;
}

export interface PiecesWork {
  readonly fd: number;
  readonly pieces: readonly Piece[];
  /** Of the file, for what is said about its file system. */
  readonly directory: string;
  /** Of the file that these pieces end, for what is missing. */
  readonly sizeBytes: number;
}

/** In this thread, which it keeps for as long as a group takes. */
export function inPlaceExecutor(settings: WorkSettings, decoder: Decoder, posix: Posix): Executor {
  const reader = new PieceReader(decoder);
  return {
    restoreEntries: async (entries, loaded) =>
      restoreEntries(entries, loaded, settings, reader, posix),
    writePieces: async (work, loaded) => writeSome(work, loaded, settings, reader),
    async [Symbol.asyncDispose]() {},
  };
}

export function writeSome(
  work: PiecesWork,
  loaded: LoadedContents,
  settings: WorkSettings,
  reader: PieceReader,
): Failure | undefined {
  try {
    writePieces(work, loaded, settings, reader);
    return undefined;
  } catch (error) {
    if (error instanceof PieceFailure) return error.failure;
    return failureOf(error, work.directory, work.sizeBytes);
  }
}
