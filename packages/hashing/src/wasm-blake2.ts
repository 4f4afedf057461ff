/**
 * Keyed BLAKE2b and BLAKE2s by our own kernels (wasm/blake2.ts): two blocks of BLAKE2b or four of BLAKE2s at once.
 * @module
 */
import type { PreparedHash } from "./backend.ts";
import { blake2bWasm } from "./blake2b.wasm.ts";
import { blake2sWasm } from "./blake2s.wasm.ts";
import type { HashDescription } from "./registry.ts";
import { lazyKernel } from "./wasm-kernel.ts";
import {
  type BlockHash,
  hashMany,
  hashOne,
  inputAt,
  type LaneFunctions,
  outputAt,
  startAt,
} from "./wasm-lanes.ts";

export const blake2bKernel = lazyKernel<LaneFunctions>(blake2bWasm);
export const blake2sKernel = lazyKernel<LaneFunctions>(blake2sWasm);

/** The first 64 fractional bits of the square roots of 2 to 19, in halves, high first. */
const initial = [
  0x6a09e667, 0xf3bcc908, 0xbb67ae85, 0x84caa73b, 0x3c6ef372, 0xfe94f82b, 0xa54ff53a, 0x5f1d36f1,
  0x510e527f, 0xade682d1, 0x9b05688c, 0x2b3e6c1f, 0x1f83d9ab, 0xfb41bd6b, 0x5be0cd19, 0x137e2179,
];

/** Eight words and a counter of 64 bits that is 0. */
function unkeyedStart(wordBytes: 4 | 8, digestBytes: number, keyBytes: number): Uint8Array {
  const start = new Uint8Array(8 * wordBytes + 8);
  const view = new DataView(start.buffer);
  for (let word = 0; word < 8; word += 1) {
    const high = initial[2 * word]!;
    if (wordBytes === 8) {
      view.setUint32(8 * word, initial[2 * word + 1]!, true);
      view.setUint32(8 * word + 4, high, true);
    } else view.setUint32(4 * word, high, true);
  }
  const parameters = digestBytes | (keyBytes << 8) | (1 << 16) | (1 << 24);
  view.setUint32(0, view.getUint32(0, true) ^ parameters, true);
  return start;
}

export function prepareBlake2(
  { family, fullLength }: HashDescription,
  key: Uint8Array,
): PreparedHash {
  const wide = family === "blake2b";
  const kernel = wide ? blake2bKernel() : blake2sKernel();
  const blockBytes = wide ? 128 : 64;
  const { bytes } = kernel;
  const unkeyed: BlockHash = {
    kernel,
    lanes: wide ? 2 : 4,
    blockBytes,
    start: unkeyedStart(wide ? 8 : 4, fullLength, key.length),
    // The last block is a whole one where the length allows; only an empty input has an empty last block.
    tailBytes: (length) => (length === 0 ? 0 : ((length - 1) % blockBytes) + 1),
    digest: () => bytes.slice(outputAt, outputAt + fullLength),
  };
  const keyed = key.length === 0 ? unkeyed : afterKey(unkeyed, key);
  return {
    hash: (data) => hashOne(keyed, data),
    hashMany: (blocks) => hashMany(keyed, blocks),
  };
}

/** The key is a block before the input, the same for all inputs; for an empty one it is the last block. */
function afterKey(unkeyed: BlockHash, key: Uint8Array): BlockHash {
  const { blockBytes, kernel, start } = unkeyed;
  const keyBlock = new Uint8Array(blockBytes);
  keyBlock.set(key);
  const empty = hashOne(unkeyed, keyBlock);
  kernel.bytes.set(start, startAt);
  kernel.beginOne(0);
  kernel.bytes.set(keyBlock, inputAt);
  kernel.absorbOne(1);
  kernel.endOne(0);
  return { ...unkeyed, empty, start: kernel.bytes.slice(outputAt, outputAt + start.length) };
}
