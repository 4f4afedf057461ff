/**
 * What the main thread and a worker of the data plane say to each other. A job lives in one slot of the worker's memory:
 * its data is read there and hashed, the main thread answers which contents are new, and those are sealed.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { CrypterFormat } from "@dm/repo";
import type { LocalPath } from "../../source/source-entry.ts";

/** Bytes in a slot's input, or its output. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

/** Small files that become one content each. */
export interface FilesJob {
  readonly type: "files";
  readonly slot: number;
  readonly paths: readonly LocalPath[];
  /** As their metadata told; they may have changed. */
  readonly sizes: readonly number[];
  /** A file that turns out longer than this needs a splitter: `long`. */
  readonly limitBytes: number;
}

/** The next chunks of an open file. */
export interface RangeJob {
  readonly type: "range";
  readonly slot: number;
  readonly fd: number;
  /** For messages. */
  readonly path: LocalPath;
  /** Where the last chunk ended, which is where the splitter begins anew. */
  readonly position: number;
  /** Where reading ends at the latest; undefined for the end of the file. */
  readonly end: number | undefined;
  readonly splitter: string;
  /** After a cut, no further chunk is begun that might reach beyond this many bytes. */
  readonly jobBytes: number;
  /** Whether nothing at all is a chunk, of no bytes. */
  readonly isFirst: boolean;
}

/** Chunks that the main thread has put into the slot. */
export interface BytesJob {
  readonly type: "bytes";
  readonly slot: number;
  readonly spans: readonly Span[];
}

export type Job = FilesJob | RangeJob | BytesJob;

/** The answer to `hashed`: what is to be sealed, by its place in that list. */
export interface SealRequest {
  readonly type: "seal";
  readonly slot: number;
  readonly picks: readonly number[];
  readonly compressors: ReadonlyArray<CompressorName | undefined>;
}

export type ToWorker = Job | SealRequest;

/** Where the chunks of a `RangeJob` end, before they are hashed: the next job can begin in another worker. */
export interface CutReport {
  readonly type: "cut";
  readonly slot: number;
  readonly lengths: readonly number[];
  /** Whether the end was reached. */
  readonly isEnd: boolean;
}

/** A file that could not be read; the fields of a system error. */
export interface ReadFailure {
  readonly message: string;
  readonly code?: string | undefined;
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
  readonly path?: LocalPath | undefined;
}

/** The outcome for one file of a `FilesJob`: bytes read, or why there are none. */
export type FileOutcome = number | "long" | ReadFailure;

export interface HashReport {
  readonly type: "hashed";
  readonly slot: number;
  /** Hexadecimal digests of all chunks, one after the other. */
  readonly digests: string;
  /** Of a `FilesJob`: an outcome for each file; those that were read are the chunks, in their order. */
  readonly files?: readonly FileOutcome[] | undefined;
}

/** What a `SealRequest` asked for, in its order. */
export interface SealReport {
  readonly type: "sealed";
  readonly slot: number;
  /** In the slot's output. */
  readonly spans: readonly Span[];
  readonly compressionHeaderIds: readonly number[];
}

/** The job is over: its data could not be read, or a step threw. */
export interface FailureReport {
  readonly type: "failed";
  readonly slot: number;
  readonly failure: ReadFailure;
}

export type FromWorker = CutReport | HashReport | SealReport | FailureReport;

/** Handed to a worker when it starts. Holds keys. */
export interface WorkerStart {
  readonly format: CrypterFormat;
  /** A `SharedArrayBuffer`, page aligned. */
  readonly memory: ArrayBufferLike;
  /** Folder of compiled code, if any is kept. */
  readonly compiledCode: string | undefined;
}
