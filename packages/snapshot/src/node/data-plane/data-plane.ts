/**
 * The data plane in worker threads: they read, split, hash, compress and seal, in memory that the main thread shares; the main
 * thread decides what is new and fills packs. Cut points, objects and contents are those of the in-place plane.
 *
 * Small files go to a worker by the batch, in the order in which they were asked for, so that what lies together is packed
 * together. A longer file is read chunk by chunk: where a chunk ends is known before it is hashed, and the next one begins in
 * another worker. What has no path on this machine is read and split here and handed over in shared memory.
 *
 * As long as there is little to do, this thread does it by itself: no worker is started then.
 *
 * Memory: `(workers + 1) × 2` slots, each with the chunks of one job (the longest chunk of the splitter, at least 4 MiB) twice, as
 * read and as sealed; and what the session holds. It does not depend on the number of tasks, but for their records.
 * Proof: test/data-plane.test.ts.
 * @module
 */
import { close, open } from "node:fs";
import { availableParallelism } from "node:os";
import { copyBytes, mapConcurrent, Semaphore } from "@dm/core";
import type { IndirectEntry, WriteSession } from "@dm/repo";
import { createSplitter, splitterDescription } from "@dm/splitter";
import type { LocalPath, SourceFile } from "../../source/source-entry.ts";
import type {
  DataPlane,
  StoredFile,
  StoreFileOptions,
  StoreTask,
} from "../../upload/data-plane.ts";
import { chunksToTakeOver, inPlacePlane, partsOf } from "../../upload/in-place-plane.ts";
import type { ChunkSink } from "../../volume/store-volume.ts";
import { type Chunk, ContentGate, type Sealing } from "./chunks.ts";
import { PartChunks } from "./file-chunks.ts";
import type {
  CutReport,
  FileOutcome,
  FromWorker,
  HashReport,
  ReadFailure,
  Span,
} from "./messages.ts";
import { type Slot, WorkerPool } from "./pool.ts";
import { openFlags } from "./sealer.ts";
import { aligned, maxChunksPerJob, slotsPerWorker } from "./slots.ts";
import { SmallFile } from "./small-file.ts";

/** How much of the machine a data plane takes. */
export interface DataPlaneOptions {
  /** Threads; as many as the machine runs at once, at most 8, by default. 0 works in place. */
  readonly workers?: number | undefined;
}

/** What serves, and how much memory it may take. */
export interface DataPlaneDescription {
  readonly kind: "workers" | "in place";
  /** Why it is not workers. */
  readonly reason?: string | undefined;
  /** Threads that may be started; they are when there is something to do. */
  readonly maxWorkers: number;
  /** Most bytes of file data, read and sealed, that the plane itself holds, for the repository's splitter. */
  readonly maxBytesInFlight: number;
}

/** A data plane that says what it is. */
export interface WorkerDataPlane extends DataPlane {
  describe(): DataPlaneDescription;
  /** Takes chunks that the caller has cut, as `storeVolume` does; undefined when it works in place. */
  readonly chunks?: ChunkSink | undefined;
}

const defaultMaxWorkers = 8;
/** What one batch of small files should read: enough that messages do not count, little enough for a processor's cache. */
const batchBytes = 1 << 20;
/** Files that usually make one. */
const filesPerBatch = 64;
/**
 * What this thread does by itself: so much in all, as long as fewer files than these wait. It takes less than the start of a
 * worker, 90 ms of a processor, and a backup of a tree in which little has changed needs no worker.
 */
const hereBytes = 8 << 20;
const maxWaitingFiles = 32;
/** Chunks of one job, where the splitter's are shorter. */
const minJobBytes = 4 << 20;

/** Longest chunks that a job of this splitter holds. */
const jobBytesOf = (maxChunkBytes: number): number => Math.max(maxChunkBytes, minJobBytes);

/**
 * A data plane for a session, in worker threads where that is possible: not with `workers: 0`, index version 1 or error
 * correction. Dispose it before the session; tasks that are not done fail then.
 * @example
 * await using plane = createDataPlane(session);
 * const { objectId, sizeBytes } = await plane.store(file).done;
 */
export function createDataPlane(
  session: WriteSession,
  options: DataPlaneOptions = {},
): WorkerDataPlane {
  const { workers = Math.min(availableParallelism(), defaultMaxWorkers) } = options;
  if (!Number.isInteger(workers) || workers < 0)
    throw new RangeError(`workers must be a number of threads, not ${workers}`);
  const { format } = session.sealedContents;
  let reason: string | undefined;
  if (workers === 0) reason = "no workers were asked for";
  else if (format.indexVersion === 1) reason = "index version 1";
  else if (format.ecc !== "") reason = "error correction";
  if (reason === undefined) return new WorkerPlane(session, workers);
  const { maxChunkBytes } = splitterDescription(format.splitter);
  return {
    ...bound(inPlacePlane(session)),
    describe: () => ({
      kind: "in place",
      reason,
      maxWorkers: 0,
      maxBytesInFlight: maxChunkBytes,
    }),
  };
}

const bound = (plane: DataPlane): DataPlane => ({
  store: (file, options) => plane.store(file, options),
  [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
});

/** What is under way in a slot. */
interface PlaneJob {
  /** Small files of a batch. */
  readonly files?: readonly SmallFile[] | undefined;
  /** What a longer file's chunks are noted in, and what goes on once they are read. */
  part?: { readonly chunks: PartChunks; readonly onCut: (report: CutReport) => void } | undefined;
  /** Whether that is still to come. */
  isReading: boolean;
  /** As soon as they are known. */
  chunks: Chunk[];
  sealing: Sealing | undefined;
}

class WorkerPlane implements WorkerDataPlane {
  readonly parallelFiles: number;
  readonly chunks: ChunkSink;
  readonly #session: WriteSession;
  readonly #maxWorkers: number;
  readonly #pool: WorkerPool<PlaneJob>;
  readonly #gate: ContentGate;
  readonly #splitter: string;
  /** First come, first served; what is before `#nextSmall` has gone. */
  #small: SmallFile[] = [];
  #nextSmall = 0;
  /** Jobs of longer files that wait for a slot; they go first, since they hold files open. */
  readonly #urgent: Array<{
    readonly begin: (slot: Slot<PlaneJob>) => void;
    readonly fail: (reason: unknown) => void;
  }> = [];
  /** Longer files and streams that may be open at once. */
  readonly #files: Semaphore;
  readonly #streams: Semaphore;
  readonly #running = new Set<Promise<unknown>>();
  #isPumpDue = false;
  /** Of files that this thread has read itself, or tried to. */
  #bytesHere = 0;
  #closed: { readonly reason: unknown } | undefined;

  constructor(session: WriteSession, maxWorkers: number) {
    const { sealedContents } = session;
    this.#session = session;
    this.#maxWorkers = maxWorkers;
    // Full batches in all slots, and one more while they are answered.
    this.parallelFiles = (maxWorkers * slotsPerWorker + 1) * filesPerBatch;
    this.chunks = {
      parallelChunks: maxWorkers * slotsPerWorker,
      put: (bytes, call) => this.#putChunk(bytes, call),
    };
    this.#gate = new ContentGate(sealedContents);
    this.#splitter = sealedContents.format.splitter;
    this.#files = new Semaphore(maxWorkers * slotsPerWorker);
    // A slow source must not keep all slots.
    this.#streams = new Semaphore(Math.max(1, maxWorkers * (slotsPerWorker - 1)));
    this.#pool = new WorkerPool({
      format: sealedContents.format,
      maxWorkers,
      onReport: (slot, report) => this.#onReport(slot, report),
      onLost: (slot, error) => this.#abandon(slot, error),
    });
  }

  describe(): DataPlaneDescription {
    const { maxChunkBytes } = splitterDescription(this.#splitter);
    return {
      kind: "workers",
      maxWorkers: this.#maxWorkers,
      maxBytesInFlight: (this.#maxWorkers + 1) * slotsPerWorker * 2 * jobBytesOf(maxChunkBytes),
    };
  }

  store(file: SourceFile, options: StoreFileOptions = {}): StoreTask {
    const { partBytes = Infinity, resumeFrom, splitter = this.#splitter } = options;
    const { localPath, sizeBytes } = file;
    if (this.#closed) return failedTask(this.#closed.reason);
    let limitBytes: number;
    try {
      limitBytes = splitterDescription(splitter).minChunkBytes;
    } catch (reason) {
      return failedTask(reason);
    }
    const isLocal = localPath !== undefined && !file.isStream;
    if (isLocal && !resumeFrom && sizeBytes <= Math.min(limitBytes, partBytes)) {
      const small = new SmallFile(file, options, limitBytes);
      this.#small.push(small);
      this.#pumpSoon();
      return small;
    }
    return this.#storeLong(file, { ...options, splitter }, isLocal ? localPath : undefined);
  }

  /** After what else is asked for in this turn: batches fill up. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  /** Gives free slots to what waits. */
  #pump(): void {
    try {
      for (;;) {
        const urgent = this.#urgent.length > 0;
        const files = urgent ? undefined : this.#nextBatch();
        if (!urgent && !files) return;
        const job: PlaneJob = { files, isReading: true, chunks: [], sealing: undefined };
        const slot = this.#takeSlot(job, files);
        if (!slot) return;
        if (urgent) this.#urgent.shift()!.begin(slot);
        else this.#beginBatch(slot, files!);
      }
    } catch (reason) {
      this.#failQueued(reason);
    }
  }

  #takeSlot(job: PlaneJob, files: readonly SmallFile[] | undefined): Slot<PlaneJob> | undefined {
    const isForHere = files !== undefined && this.#isForHere(files);
    const slot = isForHere ? this.#pool.takeHere(job) : this.#pool.take(job);
    if (slot && isForHere) this.#bytesHere += bytesOf(files);
    return slot;
  }

  /** Workers that run are used. */
  #isForHere(files: readonly SmallFile[]): boolean {
    if (this.#pool.started > 0) return false;
    const waiting = this.#small.length - this.#nextSmall;
    return waiting <= maxWaitingFiles && this.#bytesHere + bytesOf(files) <= hereBytes;
  }

  /** What comes next; it waits in its place until it has a slot. */
  #nextBatch(): SmallFile[] | undefined {
    const files: SmallFile[] = [];
    let bytes = 0;
    for (let at = this.#nextSmall; at < this.#small.length; at += 1) {
      if (files.length === maxChunksPerJob) break;
      const file = this.#small[at]!;
      const first = files[0];
      if (first) {
        if (file.limitBytes !== first.limitBytes) break;
        if (bytes + file.file.sizeBytes > batchBytes) break;
      }
      files.push(file);
      bytes += file.file.sizeBytes;
    }
    return files.length > 0 ? files : undefined;
  }

  #beginBatch(slot: Slot<PlaneJob>, files: readonly SmallFile[]): void {
    this.#nextSmall += files.length;
    if (this.#nextSmall === this.#small.length) {
      this.#small = [];
      this.#nextSmall = 0;
    } else if (this.#nextSmall > 4096) {
      this.#small.splice(0, this.#nextSmall);
      this.#nextSmall = 0;
    }
    this.#pool.send(slot, {
      type: "files",
      slot: slot.index,
      paths: files.map(({ file }) => file.localPath as LocalPath),
      sizes: files.map(({ file }) => file.sizeBytes),
      limitBytes: files[0]!.limitBytes,
    });
  }

  #failQueued(reason: unknown): void {
    const small = this.#small.slice(this.#nextSmall);
    this.#small = [];
    this.#nextSmall = 0;
    for (const file of small) file.fail(reason);
    for (const { fail } of this.#urgent.splice(0)) fail(reason);
  }

  #onReport(slot: Slot<PlaneJob>, report: FromWorker): void {
    const job = slot.job!;
    switch (report.type) {
      case "cut":
        job.isReading = false;
        this.#onCut(job, report);
        return;
      case "hashed":
        if (job.files) job.chunks = this.#readOutcomes(job.files, report.files!);
        this.#onHashed(slot, job, report).catch((reason: unknown) => {
          if (slot.job !== job) return;
          this.#abandon(slot, reason);
          this.#release(slot);
        });
        return;
      case "sealed": {
        const { ids, lengths } = job.sealing!;
        // Out of the job first: what fails from here on concerns single contents.
        job.sealing = undefined;
        for (let index = 0; index < ids.length; index += 1) {
          const { length, start } = report.spans[index]!;
          const sealed = slot.output.subarray(start, start + length);
          const headerId = report.compressionHeaderIds[index]!;
          this.#gate.sealed(ids[index]!, lengths[index]!, sealed, headerId);
        }
        this.#release(slot);
        return;
      }
      case "failed":
        this.#abandon(slot, systemError(report.failure));
        this.#release(slot);
    }
  }

  #release(slot: Slot<PlaneJob>): void {
    this.#pool.release(slot);
    this.#pump();
  }

  #onCut(job: PlaneJob, report: CutReport): void {
    const { chunks, onCut } = job.part!;
    job.chunks = report.lengths.map((length) => ({
      owner: chunks,
      place: chunks.add(length),
      length,
    }));
    onCut(report);
  }

  #readOutcomes(files: readonly SmallFile[], outcomes: readonly FileOutcome[]): Chunk[] {
    const chunks: Chunk[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const file = files[index]!;
      const outcome = outcomes[index]!;
      if (typeof outcome === "number") {
        file.read(outcome);
        chunks.push({ owner: file, place: 0, length: outcome });
      } else if (outcome === "long") {
        const { options } = file;
        const splitter = options.splitter ?? this.#splitter;
        const path = file.file.localPath;
        file.becomes(this.#storeLong(file.file, { ...options, splitter }, path));
      } else file.fail(systemError(outcome));
    }
    return chunks;
  }

  async #onHashed(slot: Slot<PlaneJob>, job: PlaneJob, report: HashReport): Promise<void> {
    const isWanted = job.chunks.length > 0 && (await this.#gate.open(job.chunks));
    // The worker may be gone.
    if (slot.job !== job) return;
    if (isWanted) {
      const sealing = this.#gate.pick(job.chunks, report.digests);
      if (sealing.picks.length > 0) {
        job.sealing = sealing;
        const { compressors, picks } = sealing;
        this.#pool.send(slot, { type: "seal", slot: slot.index, picks, compressors });
        return;
      }
    }
    this.#release(slot);
  }

  /** What is under way in a slot will never come. */
  #abandon(slot: Slot<PlaneJob>, reason: unknown): void {
    const job = slot.job!;
    if (job.sealing) for (const id of job.sealing.ids) this.#gate.lost(id, reason);
    else for (const { owner } of job.chunks) owner.fail(reason);
    if (job.files && job.chunks.length === 0) for (const file of job.files) file.fail(reason);
    if (job.part) {
      job.part.chunks.fail(reason);
      if (job.isReading)
        job.part.onCut({ type: "cut", slot: slot.index, lengths: [], isEnd: true });
    }
    // Not released: with a lost worker its slots are gone.
    this.#pumpSoon();
  }

  #storeLong(file: SourceFile, options: LongFileOptions, path: LocalPath | undefined): StoreTask {
    const parts: PartChunks[] = [];
    const done = this.#run(file, options, path, parts);
    const ended = done.then(
      () => void this.#running.delete(ended),
      () => void this.#running.delete(ended),
    );
    this.#running.add(ended);
    // Also of a task that was aborted: what it has stored is where the next run goes on.
    const checkpoint = (): Promise<StoredFile | undefined> =>
      this.#join(parts, { ...options, signal: undefined });
    return { done, checkpoint };
  }

  async #run(
    file: SourceFile,
    options: LongFileOptions,
    path: LocalPath | undefined,
    parts: PartChunks[],
  ): Promise<StoredFile> {
    const { partBytes, resumeFrom, signal } = options;
    const release = await (path === undefined ? this.#streams : this.#files).acquire({ signal });
    try {
      if (this.#closed) throw this.#closed.reason;
      const layout = partsOf(file, partBytes);
      const taken = resumeFrom
        ? await chunksToTakeOver(this.#session, resumeFrom, file, layout)
        : [];
      for (let index = 0; index < layout.count; index += 1) {
        const start = index === 0 ? 0 : index * layout.length;
        const end = start + layout.length;
        const own = taken.filter((chunk) => chunk.start >= start && chunk.start < end);
        parts.push(new PartChunks(start, options, own));
      }
      const ends = parts.slice(1).map(({ start }) => start);
      if (path === undefined) await this.#readStream(file, options, parts, ends);
      else await this.#readFile(path, options, parts, ends);
      return (await this.#join(parts, options))!;
    } finally {
      release();
    }
  }

  /** The object over all chunks that are stored from the beginning on. */
  async #join(
    parts: readonly PartChunks[],
    { compressor, metadataCompressor, signal }: LongFileOptions,
  ): Promise<StoredFile | undefined> {
    const chunks: IndirectEntry[] = [];
    for (const part of parts) {
      for (const chunk of part.storedPrefix()) chunks.push(chunk);
      if (!part.isComplete) break;
    }
    const last = chunks.at(-1);
    if (!last) return undefined;
    const objectId = await this.#session.joinParts(chunks, {
      compressor,
      metadataCompressor,
      signal,
    });
    return { objectId, sizeBytes: last.start + last.length };
  }

  async #readFile(
    path: LocalPath,
    options: LongFileOptions,
    parts: readonly PartChunks[],
    ends: readonly number[],
  ): Promise<void> {
    const fd = await openFile(path);
    try {
      const concurrency = this.#maxWorkers * slotsPerWorker;
      const read = (part: PartChunks, index: number): Promise<void> =>
        this.#readPart(fd, path, options, part, ends[index]);
      await mapConcurrent(parts, read, { concurrency });
    } finally {
      close(fd, () => undefined);
    }
  }

  /** Settles when no worker reads from the file any more, and all that was read is stored. */
  async #readPart(
    fd: number,
    path: LocalPath,
    options: LongFileOptions,
    part: PartChunks,
    end: number | undefined,
  ): Promise<void> {
    const { onBytes, signal, splitter } = options;
    const jobBytes = jobBytesOf(splitterDescription(splitter).maxChunkBytes);
    const hasBegun = part.count > 0;
    await new Promise<void>((resolve) => {
      const next = (): void => {
        if (signal?.aborted) part.fail(signal.reason);
        if (part.failure) {
          resolve();
          return;
        }
        this.#urgent.push({ begin, fail });
        this.#pump();
      };
      const begin = (slot: Slot<PlaneJob>): void => {
        const position = part.end;
        slot.job!.part = { chunks: part, onCut };
        const isFirst = !hasBegun && part.count === 0;
        const where = { slot: slot.index, fd, path, position, end };
        this.#pool.send(slot, { type: "range", ...where, splitter, jobBytes, isFirst });
      };
      const onCut = ({ isEnd, lengths }: CutReport): void => {
        let bytes = 0;
        for (const length of lengths) bytes += length;
        if (bytes > 0) onBytes?.(bytes);
        if (!isEnd) {
          next();
          return;
        }
        part.finish();
        resolve();
      };
      const fail = (reason: unknown): void => {
        part.fail(reason);
        resolve();
      };
      // All of it may have been taken over.
      if (part.end === end) onCut({ type: "cut", slot: 0, lengths: [], isEnd: true });
      else next();
    });
    await part.done;
  }

  async #readStream(
    file: SourceFile,
    options: LongFileOptions,
    parts: readonly PartChunks[],
    ends: readonly number[],
  ): Promise<void> {
    const { onBytes, signal, splitter: name } = options;
    const { maxChunkBytes } = splitterDescription(name);
    const jobBytes = jobBytesOf(maxChunkBytes);
    const splitter = createSplitter(name);
    let index = parts.findLastIndex(({ count }) => count > 0);
    if (index < 0) index = 0;
    for (const done of parts.slice(0, index)) done.finish();
    let part = parts[index]!;
    let at = part.end;
    let slot: Slot<PlaneJob> | undefined;
    let chunkStart = 0;
    let filled = 0;
    let spans: Span[] = [];
    let chunks: Chunk[] = [];

    const submit = (): void => {
      if (!slot) return;
      slot.job!.chunks = chunks;
      this.#pool.send(slot, { type: "bytes", slot: slot.index, spans });
      slot = undefined;
      chunkStart = 0;
      filled = 0;
      spans = [];
      chunks = [];
    };
    const endChunk = (): void => {
      if (part.failure) throw part.failure.reason;
      const length = filled - chunkStart;
      spans.push({ start: chunkStart, length });
      chunks.push({ owner: part, place: part.add(length), length });
      chunkStart = aligned(filled);
      filled = chunkStart;
      if (chunkStart + maxChunkBytes > jobBytes || spans.length === maxChunksPerJob) submit();
    };
    const endPart = async (): Promise<void> => {
      if (filled > chunkStart || part.count === 0) {
        slot ??= await this.#grant(part, signal);
        endChunk();
      }
      part.finish();
      splitter.reset();
      index += 1;
    };

    try {
      for await (const slice of file.read({ signal, from: at })) {
        onBytes?.(slice.length);
        let from = 0;
        while (from < slice.length) {
          if (at === ends[index]) {
            await endPart();
            part = parts[index]!;
          }
          const partEnd = ends[index] ?? Number.POSITIVE_INFINITY;
          const piece = slice.subarray(from, Math.min(slice.length, from + partEnd - at));
          slot ??= await this.#grant(part, signal);
          const cut = splitter.next(piece);
          const length = cut < 0 ? piece.length : cut;
          copyBytes(piece.subarray(0, length), slot.input, filled);
          filled += length;
          from += length;
          at += length;
          if (cut >= 0) endChunk();
        }
      }
      // A file that has become shorter has empty parts at its end.
      while (index < parts.length) {
        part = parts[index]!;
        await endPart();
      }
      submit();
    } catch (reason) {
      for (const failed of parts) failed.fail(reason);
      if (slot?.job) this.#release(slot);
      throw reason;
    }
    await Promise.all(parts.map(({ done }) => done));
  }

  async #putChunk(
    bytes: Uint8Array,
    options: Parameters<ChunkSink["put"]>[1],
  ): Promise<{ readonly stored: Promise<string> }> {
    if (this.#closed) throw this.#closed.reason;
    const chunk = new PartChunks(0, options);
    const { length } = bytes;
    const place = chunk.add(length);
    chunk.finish();
    const slot = await this.#grant(chunk, options.signal);
    copyBytes(bytes, slot.input);
    slot.job!.chunks = [{ owner: chunk, place, length }];
    this.#pool.send(slot, { type: "bytes", slot: slot.index, spans: [{ start: 0, length }] });
    return { stored: chunk.done.then(() => chunk.storedPrefix()[0]!.objectId) };
  }

  /** A slot for chunks of a stream. */
  #grant(chunks: PartChunks, signal: AbortSignal | undefined): Promise<Slot<PlaneJob>> {
    return new Promise((resolve, reject) => {
      const waiting = {
        begin: (slot: Slot<PlaneJob>): void => {
          signal?.removeEventListener("abort", onAbort);
          slot.job!.part = { chunks, onCut: () => undefined };
          resolve(slot);
        },
        fail: (reason: unknown): void => {
          signal?.removeEventListener("abort", onAbort);
          reject(reason);
        },
      };
      const onAbort = (): void => {
        const place = this.#urgent.indexOf(waiting);
        if (place >= 0) this.#urgent.splice(place, 1);
        reject(signal!.reason);
      };
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#urgent.push(waiting);
      this.#pump();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= { reason: new TypeError("the data plane is closed") };
    this.#failQueued(this.#closed.reason);
    await this.#pool.close(this.#closed.reason);
    this.#failQueued(this.#closed.reason);
    await Promise.all(this.#running);
  }
}

const bytesOf = (files: readonly SmallFile[]): number =>
  files.reduce((sum, { file }) => sum + file.sizeBytes, 0);

interface LongFileOptions extends StoreFileOptions {
  readonly splitter: string;
}

function failedTask(reason: unknown): StoreTask {
  return { done: Promise.reject(reason), checkpoint: async () => undefined };
}

function openFile(path: LocalPath): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path as string | Buffer, openFlags, (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}

/** A system error as Node throws it, out of what came from a worker. */
function systemError({ code, errno, message, path, syscall }: ReadFailure): Error {
  return Object.assign(new Error(message), { code, errno, path, syscall });
}
