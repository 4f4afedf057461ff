/**
 * Files sorted by size, with a few examples of each: powers of ten, as Kopia prints them. Proof: test/estimate.test.ts.
 * @module
 */

/** Files up to a size. */
export interface SizeBucket {
  /** Smallest file in it; the next larger one begins at ten times as much, the smallest at 0. */
  readonly minBytes: number;
  readonly files: number;
  readonly bytes: number;
  /** The first few. */
  readonly examples: readonly { readonly path: string; readonly bytes: number }[];
}

/** Files counted together, by their sizes. */
export interface FileGroup {
  readonly files: number;
  readonly bytes: number;
  /** From the largest files to the smallest, those without files included. */
  readonly buckets: readonly SizeBucket[];
}

/** 10^15 down to 10^3, and 0. */
const limits = [...Array.from({ length: 13 }, (_, index) => 10 ** (15 - index)), 0];

export class FileSizes {
  readonly #maxExamples: number;
  readonly #buckets = limits.map((minBytes) => ({
    minBytes,
    files: 0,
    bytes: 0,
    examples: [] as { path: string; bytes: number }[],
  }));

  constructor(maxExamples: number) {
    this.#maxExamples = maxExamples;
  }

  add(path: string, bytes: number): void {
    const bucket = this.#buckets.find(({ minBytes }) => bytes >= minBytes)!;
    bucket.files += 1;
    bucket.bytes += bytes;
    if (bucket.examples.length < this.#maxExamples) bucket.examples.push({ path, bytes });
  }

  get group(): FileGroup {
    let [files, bytes] = [0, 0];
    for (const bucket of this.#buckets) {
      files += bucket.files;
      bytes += bucket.bytes;
    }
    return { files, bytes, buckets: this.#buckets };
  }
}
