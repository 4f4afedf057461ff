/**
 * A file that is one content: its task, and the owner of its only chunk.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { ContentId } from "@dm/repo";
import type { SourceFile } from "../../source/source-entry.ts";
import type { StoredFile, StoreFileOptions, StoreTask } from "../../upload/data-plane.ts";
import type { ChunkOwner } from "./chunks.ts";

export class SmallFile implements StoreTask, ChunkOwner {
  readonly file: SourceFile;
  readonly options: StoreFileOptions;
  /** Longest content that needs no splitter. */
  readonly limitBytes: number;
  readonly done: Promise<StoredFile>;
  readonly compressor: CompressorName | undefined;
  readonly signal: AbortSignal | undefined;
  readonly #settle = Promise.withResolvers<StoredFile>();
  #sizeBytes = 0;
  #isStored = false;
  #longer: StoreTask | undefined;

  constructor(file: SourceFile, options: StoreFileOptions, limitBytes: number) {
    this.file = file;
    this.options = options;
    this.limitBytes = limitBytes;
    this.compressor = options.compressor;
    this.signal = options.signal;
    this.done = this.#settle.promise;
  }

  async checkpoint(): Promise<StoredFile | undefined> {
    if (this.#longer) return this.#longer.checkpoint();
    return this.#isStored ? this.done : undefined;
  }

  /** Its bytes are in a worker's memory. */
  read(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    this.options.onBytes?.(sizeBytes);
  }

  stored(_place: number, id: ContentId): void {
    this.#isStored = true;
    this.#settle.resolve({ objectId: id, sizeBytes: this.#sizeBytes });
  }

  fail(reason: unknown): void {
    this.#settle.reject(reason);
  }

  /** It has grown since it was looked at. */
  becomes(task: StoreTask): void {
    this.#longer = task;
    task.done.then(
      (stored) => this.#settle.resolve(stored),
      (reason: unknown) => this.#settle.reject(reason),
    );
  }
}
