/**
 * Ready splitters by name.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import { buzhashCutter } from "./buzhash.ts";
import type { Cutter } from "./cutter.ts";
import { fixedCutter } from "./fixed.ts";
import { rabinKarpCutter } from "./rabinkarp.ts";
import {
  type SplitterAlgorithm,
  type SplitterDescription,
  splitterAlgorithms,
  splitterDescription,
} from "./registry.ts";
import { wasmScans } from "./wasm-scan.ts";

/** Finds the cuts of one object after the other; the result does not depend on how the bytes are sliced into calls. */
export interface Splitter {
  readonly algorithm: SplitterAlgorithm;
  /** Longest segment, in bytes. */
  readonly maxChunkBytes: number;
  /** The back-end in use. */
  readonly backend: string;
  /**
   * Consumes bytes from `from` (0 by default) and answers the offset in `bytes` just past the next cut, or -1 when the
   * segment goes on beyond the end. Keeps no reference. At the end of an object the rest is its last segment.
   */
  next(bytes: Uint8Array, from?: number): number;
  /** Begins a new object. */
  reset(): void;
}

function cutterFor({ averageBytes, family }: SplitterDescription, backend: string): Cutter {
  const scans = backend === "wasm" ? wasmScans() : undefined;
  switch (family) {
    case "fixed":
      return fixedCutter(averageBytes);
    case "buzhash":
      return buzhashCutter(averageBytes, scans?.buzhash());
    case "rabinkarp":
      return rabinKarpCutter(averageBytes, scans?.rabinkarp());
  }
}

export interface CreateSplitterOptions {
  /** Pins a back-end by name (see {@link describeSplitters}) instead of the fastest. */
  readonly backend?: string | undefined;
}

const plain: readonly string[] = Object.freeze(["javascript"]);
const both: readonly string[] = Object.freeze(["wasm", "javascript"]);

/** Fastest first. */
const backendsFor = ({ family }: SplitterDescription): readonly string[] =>
  family === "fixed" || !wasmScans() ? plain : both;

/**
 * Makes a splitter for a new object.
 * @throws {UnsupportedError} `DM_SPLITTER_UNKNOWN`, `DM_SPLITTER_BACKEND_UNKNOWN`
 * @example
 * const splitter = createSplitter("DYNAMIC-4M-BUZHASH");
 * for (let from = 0; from < bytes.length; ) {
 *   const cut = splitter.next(bytes, from);
 *   if (cut < 0) break;
 *   from = cut;
 * }
 */
export function createSplitter(algorithm: string, options: CreateSplitterOptions = {}): Splitter {
  const description = splitterDescription(algorithm);
  const available = backendsFor(description);
  const { backend = available[0]! } = options;
  if (!available.includes(backend)) {
    throw new UnsupportedError(
      "DM_SPLITTER_BACKEND_UNKNOWN",
      `back-end ${JSON.stringify(backend)} is not here; available: ${available.join(", ")}`,
      { backend, algorithm },
    );
  }
  const cutter = cutterFor(description, backend);
  return {
    algorithm: description.name,
    maxChunkBytes: description.maxChunkBytes,
    backend,
    next(bytes, from = 0) {
      if (!Number.isSafeInteger(from) || from < 0) throw new RangeError(`no offset: ${from}`);
      return from >= bytes.length ? -1 : cutter.next(bytes, from);
    },
    reset: () => cutter.reset(),
  };
}

export interface SplitterBackends {
  readonly algorithm: SplitterAlgorithm;
  /** The back-end that `createSplitter` takes. */
  readonly backend: string;
  /** All that work here, fastest first. */
  readonly available: readonly string[];
}

/** Which back-end each algorithm uses on this machine. */
export function describeSplitters(): SplitterBackends[] {
  return Object.values(splitterAlgorithms).map((description) => {
    const available = backendsFor(description);
    return { algorithm: description.name, backend: available[0]!, available };
  });
}
