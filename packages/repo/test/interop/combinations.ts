/** What a repository can be made of. */
import { encryptionAlgorithms } from "@dm/encryption";
import { hashAlgorithms } from "@dm/hashing";
import type { FormatVersion } from "../../src/format/repository-format.ts";

export interface Combination {
  readonly hash: string;
  readonly encryption: string;
  readonly version: FormatVersion;
}

/** 11 hashes × 2 ciphers × 3 format versions. */
export const combinations: readonly Combination[] = Object.keys(hashAlgorithms).flatMap((hash) =>
  Object.keys(encryptionAlgorithms).flatMap((encryption) =>
    ([1, 2, 3] as const).map((version) => ({ hash, encryption, version })),
  ),
);

/** Average length of a splitter's parts in bytes, by its name. */
export function averageOf(splitter: string): number {
  const [, size = "4M"] = splitter.split("-");
  return Number.parseInt(size, 10) << (size.endsWith("K") ? 10 : 20);
}

/** Text that compresses, then bytes that do not; `length` bytes, the same for the same seed. */
export function sampleBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = i % 4096 < 2048 ? 97 + ((i >> 3) % 26) : state & 255;
  }
  return bytes;
}
