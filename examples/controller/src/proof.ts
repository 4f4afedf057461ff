/**
 * Compares what a volume held when it was frozen with what came back.
 * Proof: test/proof.test.ts.
 * @module
 */
import type { ListedEntry } from "./demo-pod/volume-list.ts";

export interface Proof {
  readonly entries: number;
  readonly bytes: number;
  /** One line for every difference: path and what is not the same. */
  readonly differences: readonly string[];
}

/** Pure. Files are the same when owner, mode, time, length and SHA-256 are. */
export function prove(frozen: readonly ListedEntry[], restored: readonly ListedEntry[]): Proof {
  const left = new Map(restored.map((entry) => [entry.path, entry]));
  const differences: string[] = [];
  let bytes = 0;
  for (const entry of frozen) {
    bytes += entry.size ?? 0;
    const found = left.get(entry.path);
    left.delete(entry.path);
    if (found) differences.push(...differencesOf(entry, found));
    else differences.push(`${shown(entry.path)}: is missing`);
  }
  for (const path of left.keys()) differences.push(`${shown(path)}: was not there before`);
  return { entries: frozen.length, bytes, differences };
}

const compared = ["type", "mode", "uid", "gid", "size", "mtimeNs", "sha256", "target"] as const;

function differencesOf(before: ListedEntry, after: ListedEntry): string[] {
  return compared
    .filter((field) => before[field] !== after[field])
    .map((field) => `${shown(before.path)}: ${field} is ${after[field]} and was ${before[field]}`);
}

const shown = (path: string): string => path || "the volume";

/** Entries of the lines that `list` printed. */
export function parseList(text: string): ListedEntry[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as ListedEntry);
}
