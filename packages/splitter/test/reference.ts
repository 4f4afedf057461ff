/**
 * The splitters again, slow and obvious, straight from the definitions in docs/format/splitting.md: every hash is computed
 * from its 64 bytes, nothing is skipped, nothing rolls. Shares no code or constant with `src`.
 */
import { loadVectors } from "@dm/fixtures";

const buzhashTable: bigint[] = (loadVectors("buzhash32-table").table as string[]).map((word) =>
  BigInt(`0x${word}`),
);
const polynomial = BigInt(`0x${loadVectors("rabinkarp64-tables").polynomial}`);

const rotateLeft32 = (word: bigint, count: bigint): bigint =>
  BigInt.asUintN(32, (word << count) | (word >> (32n - count)));

/** Of exactly 64 bytes, oldest first. */
export function buzhash(window: readonly number[]): bigint {
  return window
    .map((byte, index) => rotateLeft32(buzhashTable[byte]!, BigInt((63 - index) % 32)))
    .reduce((hash, word) => hash ^ word);
}

/** The bytes as the coefficients of a polynomial over GF(2), divided by P: the remainder. */
export function rabinKarp(window: readonly number[]): bigint {
  let rest = BigInt(`0x${window.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
  for (let bit = 511n; bit >= 53n; bit--) {
    if ((rest >> bit) & 1n) rest ^= polynomial << (bit - 53n);
  }
  return rest;
}

export function windowAt(bytes: Uint8Array, end: number): number[] {
  return Array.from({ length: 64 }, (_, index) => bytes[end - 64 + index] ?? 0);
}

/** Segment lengths of one object; `fixed` and the two dynamic families. */
export function referenceLengths(
  family: "fixed" | "buzhash" | "rabinkarp",
  averageBytes: number,
  bytes: Uint8Array,
): number[] {
  const lengths: number[] = [];
  const hash = family === "buzhash" ? buzhash : rabinKarp;
  const maxBytes = family === "fixed" ? averageBytes : 2 * averageBytes;
  let start = 0;
  for (let end = 1; end <= bytes.length; end++) {
    const length = end - start;
    const isCut =
      length === maxBytes ||
      (family !== "fixed" &&
        length >= averageBytes / 2 &&
        hash(windowAt(bytes, end)) % BigInt(averageBytes) === 0n);
    if (!isCut) continue;
    lengths.push(length);
    start = end;
  }
  if (start < bytes.length) lengths.push(bytes.length - start);
  return lengths;
}
