/**
 * The 23 splitters of the Kopia repository format.
 * Format: docs/format/splitting.md. Proof: test/vectors.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";

type Size = "128K" | "256K" | "512K" | "1M" | "2M" | "4M" | "8M";

export type SplitterAlgorithm =
  | `FIXED-${Size}`
  | `DYNAMIC-${Size}-BUZHASH`
  | `DYNAMIC-${Size}-RABINKARP`
  | "FIXED"
  | "DYNAMIC";

export type SplitterFamily = "fixed" | "buzhash" | "rabinkarp";

export interface SplitterDescription {
  readonly name: SplitterAlgorithm;
  readonly family: SplitterFamily;
  /** Bytes of a segment of a fixed splitter, average of a dynamic one. */
  readonly averageBytes: number;
  /** Shortest segment but the last of an object: the average, or half of that. */
  readonly minChunkBytes: number;
  /** Longest segment: the average, or twice that. */
  readonly maxChunkBytes: number;
  /** The name that this one is short for. */
  readonly aliasOf?: SplitterAlgorithm;
}

const sizes: ReadonlyArray<readonly [Size, number]> = [
  ["128K", 128 << 10],
  ["256K", 256 << 10],
  ["512K", 512 << 10],
  ["1M", 1 << 20],
  ["2M", 2 << 20],
  ["4M", 4 << 20],
  ["8M", 8 << 20],
];

function describeAll(): Record<SplitterAlgorithm, SplitterDescription> {
  const all: Partial<Record<SplitterAlgorithm, SplitterDescription>> = {};
  const add = (description: SplitterDescription): void => {
    all[description.name] = Object.freeze(description);
  };
  for (const [size, averageBytes] of sizes) {
    const range = {
      averageBytes,
      minChunkBytes: averageBytes / 2,
      maxChunkBytes: 2 * averageBytes,
    };
    const fixed = { averageBytes, minChunkBytes: averageBytes, maxChunkBytes: averageBytes };
    add({ name: `FIXED-${size}`, family: "fixed", ...fixed });
    add({ name: `DYNAMIC-${size}-BUZHASH`, family: "buzhash", ...range });
    add({ name: `DYNAMIC-${size}-RABINKARP`, family: "rabinkarp", ...range });
  }
  add({ ...all["FIXED-4M"]!, name: "FIXED", aliasOf: "FIXED-4M" });
  add({ ...all["DYNAMIC-4M-BUZHASH"]!, name: "DYNAMIC", aliasOf: "DYNAMIC-4M-BUZHASH" });
  return all as Record<SplitterAlgorithm, SplitterDescription>;
}

/** By Kopia's name. */
export const splitterAlgorithms: Readonly<Record<SplitterAlgorithm, SplitterDescription>> =
  Object.freeze(describeAll());

/** What Kopia gives a new repository. */
export const defaultSplitterAlgorithm: SplitterAlgorithm = "DYNAMIC-4M-BUZHASH";

/** @throws {UnsupportedError} `DM_SPLITTER_UNKNOWN` listing the known names */
export function splitterDescription(name: string): SplitterDescription {
  if (Object.hasOwn(splitterAlgorithms, name)) return splitterAlgorithms[name as SplitterAlgorithm];
  const known = Object.keys(splitterAlgorithms).sort().join(", ");
  throw new UnsupportedError(
    "DM_SPLITTER_UNKNOWN",
    `splitter ${JSON.stringify(name)} is not known; known: ${known}`,
    { name },
  );
}
