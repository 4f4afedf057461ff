/**
 * How far an upload is.
 * Proof: test/upload.test.ts.
 * @module
 */

/** Counts since the upload began. */
export interface UploadProgress {
  /** Files read to their end; links count as files. */
  readonly hashedFiles: number;
  /** Bytes read, those of files under way included. */
  readonly hashedBytes: number;
  /** Files that a previous snapshot has. */
  readonly cachedFiles: number;
  readonly cachedBytes: number;
  readonly directories: number;
  readonly filesUnderWay: number;
  /** Entries that could not be read and are missing in the snapshot. */
  readonly failures: number;
  /** Missing entries whose failures a policy ignores. */
  readonly ignoredFailures: number;
  /** What is to be expected in total; undefined until it is known. */
  readonly estimatedFiles?: number | undefined;
  readonly estimatedBytes?: number | undefined;
  /** At the pace so far; undefined until it can be told. */
  readonly remainingMs?: number | undefined;
}

export type ProgressListener = (progress: UploadProgress) => void;

const intervalMs = 200;

/** The counters behind it. */
export class ProgressCounter {
  hashedFiles = 0;
  hashedBytes = 0;
  cachedFiles = 0;
  cachedBytes = 0;
  directories = 0;
  filesUnderWay = 0;
  failures = 0;
  ignoredFailures = 0;
  #estimatedFiles: number | undefined;
  #estimatedBytes: number | undefined;
  readonly #listener: ProgressListener | undefined;
  readonly #startedAtMs = performance.now();
  #toldAtMs = 0;

  constructor(listener: ProgressListener | undefined) {
    this.#listener = listener;
  }

  /** Says what there is in total. */
  expect(files: number, bytes: number): void {
    this.#estimatedFiles = files;
    this.#estimatedBytes = bytes;
  }

  /** Tells the listener, unless it has been told a moment ago. */
  changed(): void {
    if (!this.#listener) return;
    const now = performance.now();
    if (now - this.#toldAtMs < intervalMs) return;
    this.#toldAtMs = now;
    this.#listener(this.snapshot());
  }

  /** Tells the listener in any case. */
  finish(): void {
    this.#listener?.(this.snapshot());
  }

  snapshot(): UploadProgress {
    const { hashedFiles, hashedBytes, cachedFiles, cachedBytes, directories } = this;
    const { filesUnderWay, failures, ignoredFailures } = this;
    return {
      hashedFiles,
      hashedBytes,
      cachedFiles,
      cachedBytes,
      directories,
      filesUnderWay,
      failures,
      ignoredFailures,
      estimatedFiles: this.#estimatedFiles,
      estimatedBytes: this.#estimatedBytes,
      remainingMs: this.#remainingMs(),
    };
  }

  /** By bytes and files together: many small files take as long as a few large ones. */
  #remainingMs(): number | undefined {
    const estimatedBytes = this.#estimatedBytes;
    const estimatedFiles = this.#estimatedFiles;
    if (estimatedBytes === undefined || estimatedFiles === undefined) return undefined;
    const elapsedMs = performance.now() - this.#startedAtMs;
    const weigh = (bytes: number, files: number): number => bytes + files * 4096;
    const done = weigh(this.hashedBytes + this.cachedBytes, this.hashedFiles + this.cachedFiles);
    const total = weigh(estimatedBytes, estimatedFiles);
    if (done === 0 || elapsedMs < 1000) return undefined;
    return Math.max(0, Math.round((elapsedMs * (total - done)) / done));
  }
}
