/**
 * The way of file data into a write session: read, split, hash, deduplicate, compress, encrypt, pack. One interface, two
 * implementations: in place, and in worker threads (`@dm/snapshot/node`). Both make the same objects.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { CallOptions } from "@dm/storage";
import type { SourceFile } from "../source/source-entry.ts";

/** How one file is stored, by its policy. */
export interface StoreFileOptions extends CallOptions {
  /** None by default. */
  readonly compressor?: CompressorName | undefined;
  /** Of the index object above several parts; zstd-fastest by default, none for `null`. */
  readonly metadataCompressor?: CompressorName | null | undefined;
  /** The repository's by default. */
  readonly splitter?: string | undefined;
  /** Files longer than this are stored as parts of this length, each with a splitter of its own; never by default. */
  readonly partBytes?: number | undefined;
  /**
   * An object that holds the beginning of this very file, from a run that was cut off: its chunks are taken over, and reading
   * goes on behind them. The caller has made sure that the file has not changed.
   */
  readonly resumeFrom?: string | undefined;
  /** Told of bytes as they are read. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/** The object that a file has become. */
export interface StoredFile {
  readonly objectId: string;
  /** Bytes that were read; what the entry records. */
  readonly sizeBytes: number;
}

/** One file under way. */
export interface StoreTask {
  /** Settles when all contents were handed to the session; they are durable after its next flush. */
  readonly done: Promise<StoredFile>;
  /**
   * The object over what is stored so far, for checkpoints; undefined when that is nothing yet. Also of a task that was
   * aborted: the next run goes on from there.
   */
  checkpoint(): Promise<StoredFile | undefined>;
}

/** Any number of tasks may run at once; memory is bounded by the plane, not by their number. */
export interface DataPlane extends AsyncDisposable {
  /** Tasks that should be under way at once to keep it busy with small files; as many as there are processors by default. */
  readonly parallelFiles?: number | undefined;
  store(file: SourceFile, options?: StoreFileOptions): StoreTask;
}
