/** What the tests here share: inputs, back-ends and outcomes. */
import { DmError, utf8Encode } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import {
  type BackendName,
  type CompressorName,
  compressors,
  decompress,
  describe,
} from "../src/index.ts";

/** Each compressor with each back-end that it has on this platform. */
export const supported: readonly { name: CompressorName; backend: BackendName }[] =
  describe().flatMap(({ name, backends }) => backends.map((backend) => ({ name, backend })));

/** One compressor of each stream format. */
export const oneOfEach: readonly CompressorName[] = [
  "gzip",
  "zstd",
  "s2-default",
  "deflate-default",
];

export function backendsOf(name: CompressorName): BackendName[] {
  return supported.filter((entry) => entry.name === name).map((entry) => entry.backend);
}

/** Text of words in seeded disorder: compresses as prose does. */
export function prose(length: number, seed = 5n): Uint8Array {
  const words =
    "the repository keeps every content once and names it by its hash so nothing is stored twice".split(
      " ",
    );
  const choices = splitmix64(seed, Math.ceil(length / 3));
  let text = "";
  for (let index = 0; text.length < length; index++) {
    text += `${words[choices[index]! % words.length]}${choices[index]! % 13 === 0 ? ".\n" : " "}`;
  }
  return utf8Encode(text.slice(0, length));
}

/** The code with which `stored` is refused, or the data it gives; an error that is not ours passes through. */
export function outcome(
  stored: Uint8Array,
  maxBytes: number,
  backend: BackendName,
): Uint8Array | string {
  try {
    return decompress(stored, { maxBytes, backend });
  } catch (error) {
    if (error instanceof DmError) return error.code;
    throw error;
  }
}

export function familyOf(name: CompressorName): string {
  return compressors[name].family;
}
