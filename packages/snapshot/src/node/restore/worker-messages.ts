/**
 * What a restore and its worker threads tell each other. Buffers move, they are not copied.
 * @module
 */
import type { CrypterFormat } from "@dm/repo";
import type { LoadedContents } from "./contents.ts";
import type { PiecesWork } from "./executor.ts";
import type { Failure } from "./failures.ts";
import type { EntryOutcome, EntryWork, WorkSettings } from "./file-work.ts";

export interface RestoreWorkerStart {
  readonly format: CrypterFormat;
  readonly settings: WorkSettings;
  /** Folder of compiled code, if any is kept. */
  readonly compiledCode: string | undefined;
}

export type RestoreJob = { readonly id: number; readonly loaded: LoadedContents } & (
  | { readonly entries: readonly EntryWork[] }
  | { readonly pieces: PiecesWork }
);

export type RestoreResult = { readonly id: number } & (
  | { readonly outcomes: readonly EntryOutcome[] }
  | { readonly failure: Failure | undefined }
  | { readonly error: unknown }
);
