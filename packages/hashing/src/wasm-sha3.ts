/**
 * HMAC-SHA-3 by our own Keccak kernel (wasm/keccak.ts), two blocks at once. The states after the two padded keys are
 * computed once, so a digest costs one permutation more than the inner hash.
 * @module
 */
import { sha3_224, sha3_256 } from "@noble/hashes/sha3.js";
import type { PreparedHash } from "./backend.ts";
import { keccakWasm } from "./keccak.wasm.ts";
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

interface KeccakFunctions extends LaneFunctions {
  setRate(bytes: number): void;
}

const stateBytes = 200;

export const keccakKernel = lazyKernel<KeccakFunctions>(keccakWasm);

export function prepareHmacSha3({ fullLength }: HashDescription, key: Uint8Array): PreparedHash {
  const kernel = keccakKernel();
  const { bytes } = kernel;
  const rate = stateBytes - 2 * fullLength;
  const keyBlock = new Uint8Array(rate);
  keyBlock.set(key.length > rate ? (fullLength === 28 ? sha3_224 : sha3_256)(key) : key);

  /** The state after the block of the key, padded with a byte. */
  const afterKey = (pad: number): Uint8Array => {
    kernel.setRate(rate);
    bytes.fill(0, startAt, startAt + stateBytes);
    kernel.beginOne(0);
    bytes.set(
      keyBlock.map((byte) => byte ^ pad),
      inputAt,
    );
    kernel.absorbOne(1);
    kernel.endOne(0);
    return bytes.slice(outputAt, outputAt + stateBytes);
  };

  const innerDigest = (): Uint8Array => bytes.subarray(outputAt, outputAt + fullLength);
  const common = {
    kernel,
    lanes: 2,
    blockBytes: rate,
    tailBytes: (length: number) => length % rate,
  };
  const outer: BlockHash = {
    ...common,
    start: afterKey(0x5c),
    digest: () => innerDigest().slice(),
  };
  const inner: BlockHash = {
    ...common,
    start: afterKey(0x36),
    // The outer hash is short and leaves the lanes' states alone.
    digest: () => hashOne(outer, innerDigest()),
  };
  return {
    hash(data) {
      kernel.setRate(rate);
      return hashOne(inner, data);
    },
    hashMany(blocks) {
      kernel.setRate(rate);
      return hashMany(inner, blocks);
    },
  };
}
