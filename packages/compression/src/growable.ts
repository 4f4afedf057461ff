/**
 * What all decoders write into: bytes that grow by doubling, never beyond the caller's limit.
 * @module
 */
import { tooLarge } from "./failures.ts";

/** Output under construction. The first `length` of `bytes` are valid; `bytes.length` never exceeds `maxBytes`. */
export interface Growable {
  bytes: Uint8Array;
  length: number;
  readonly maxBytes: number;
}

/** `expectedBytes` is a guess and costs memory only up to `maxBytes`. */
export function createGrowable(maxBytes: number, expectedBytes: number): Growable {
  return {
    bytes: new Uint8Array(Math.max(0, Math.min(maxBytes, expectedBytes))),
    length: 0,
    maxBytes,
  };
}

/**
 * Makes room for `capacity` bytes in all and returns the array to write to from now on. `length` must be up to date.
 * @throws {FormatError} `DM_DECOMPRESSED_TOO_LARGE` when the limit forbids it.
 */
export function reserve(output: Growable, capacity: number): Uint8Array {
  if (capacity > output.maxBytes) throw tooLarge(output.maxBytes);
  if (capacity > output.bytes.length) {
    const grown = new Uint8Array(
      Math.min(output.maxBytes, Math.max(capacity, output.bytes.length * 2)),
    );
    grown.set(output.bytes.subarray(0, output.length));
    output.bytes = grown;
  }
  return output.bytes;
}

/** The finished bytes, in an array of just their size. */
export function finish(output: Growable): Uint8Array {
  return output.length === output.bytes.length
    ? output.bytes
    : output.bytes.slice(0, output.length);
}

/**
 * Repeats `length` bytes from `offset` back at `to`, reading what it writes where the two overlap. For long matches: each
 * step copies all that is there already (a whole number of periods), so a run of one byte takes a logarithmic number
 * of steps.
 */
export function copyMatch(bytes: Uint8Array, to: number, offset: number, length: number): void {
  const from = to - offset;
  let done = Math.min(offset, length);
  bytes.copyWithin(to, from, from + done);
  while (done < length) {
    const step = Math.min(offset + done, length - done);
    bytes.copyWithin(to + done, from, from + step);
    done += step;
  }
}

/** All parts, of `total` bytes, in one array. A stream may have more parts than a call may have arguments. */
export function join(parts: readonly Uint8Array[], total: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const joined = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
