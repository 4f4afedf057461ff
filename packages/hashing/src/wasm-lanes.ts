/**
 * Hashes that take blocks one after the other (BLAKE2, SHA-3), by kernels in two forms: for one input, and for an input in
 * each lane of a vector (wasm/forms.ts). Here is what feeds them: inputs of any lengths, each lane refilled as soon as its
 * input ends. Every byte is copied once, into the kernel's memory.
 * @module
 */
import type { Kernel } from "./wasm-kernel.ts";

export interface LaneFunctions {
  begin(lane: number): void;
  absorb(blocks: number): void;
  last(lane: number, length: number): void;
  end(lane: number): void;
  beginOne(lane: number): void;
  absorbOne(blocks: number): void;
  lastOne(lane: number, length: number): void;
  endOne(lane: number): void;
}

/** One hash with one key. */
export interface BlockHash {
  readonly kernel: Kernel<LaneFunctions>;
  readonly lanes: number;
  readonly blockBytes: number;
  /** The state before the first byte of an input. */
  readonly start: Uint8Array;
  /** Digest of the empty input, where it does not follow from `start`. */
  readonly empty?: Uint8Array | undefined;
  /** How many bytes of an input of `length` its last block holds. */
  tailBytes(length: number): number;
  /** The digest, from the state at {@link outputAt}. */
  digest(): Uint8Array;
}

// Addresses as in wasm/forms.ts.
export const startAt = 1024;
export const outputAt = 1280;
export const inputAt = 4096;
const inputBytes = 65536;

export function hashOne(hash: BlockHash, data: Uint8Array): Uint8Array {
  if (data.length === 0 && hash.empty) return hash.empty.slice();
  const { bytes, beginOne } = hash.kernel;
  bytes.set(hash.start, startAt);
  beginOne(0);
  return finishOne(hash, data, 0);
}

/** Takes `data` from `at` on, when all before is in the state. */
function finishOne(hash: BlockHash, data: Uint8Array, from: number): Uint8Array {
  const { blockBytes, kernel } = hash;
  const { absorbOne, bytes, endOne, lastOne } = kernel;
  const tail = hash.tailBytes(data.length);
  const whole = data.length - tail;
  const room = inputBytes - (inputBytes % blockBytes);
  let at = from;
  while (at < whole) {
    const end = Math.min(at + room, whole);
    bytes.set(data.subarray(at, end), inputAt);
    absorbOne((end - at) / blockBytes);
    at = end;
  }
  if (tail > 0) bytes.set(at === 0 ? data : data.subarray(at), inputAt);
  lastOne(0, tail);
  absorbOne(1);
  endOne(0);
  return hash.digest();
}

/** An input in a lane: the bytes before `at` are in the lane's state, those from `whole` on are its last block. */
interface Lane {
  readonly index: number;
  readonly data: Uint8Array;
  readonly whole: number;
  at: number;
}

export function hashMany(hash: BlockHash, blocks: readonly Uint8Array[]): Uint8Array[] {
  const { blockBytes, kernel } = hash;
  const laneRoom = inputBytes / hash.lanes;
  const mostBytes = laneRoom - (laneRoom % blockBytes);
  const digests = new Array<Uint8Array>(blocks.length);
  // Longest first: inputs of about the same length share a step, and no long one is left alone at the end.
  const order = [...blocks.keys()].sort((a, b) => blocks[b]!.length - blocks[a]!.length);
  let next = 0;
  const take = (lane: number): Lane | undefined => {
    const index = order[next];
    if (index === undefined) return undefined;
    next += 1;
    const data = blocks[index]!;
    kernel.bytes.set(hash.start, startAt);
    kernel.begin(lane);
    return { index, data, whole: data.length - hash.tailBytes(data.length), at: 0 };
  };
  if (hash.empty) {
    while (order.length > 0 && blocks[order.at(-1)!]!.length === 0)
      digests[order.pop()!] = hash.empty.slice();
  }
  const lanes = Array.from({ length: hash.lanes }, (_, lane) => take(lane));
  for (;;) {
    let active = 0;
    let only = 0;
    let stepBytes = mostBytes;
    for (let index = 0; index < lanes.length; index += 1) {
      const lane = lanes[index];
      if (!lane) continue;
      active += 1;
      only = index;
      stepBytes = Math.min(stepBytes, lane.whole - lane.at);
    }
    if (active === 0) return digests;
    if (active === 1) {
      // One input in lanes costs as much as a full set: the other form takes what is left of it.
      const { at, data, index } = lanes[only]!;
      kernel.end(only);
      kernel.bytes.copyWithin(startAt, outputAt, outputAt + hash.start.length);
      kernel.beginOne(0);
      digests[index] = finishOne(hash, data, at);
      return digests;
    }
    if (stepBytes > 0) {
      for (let index = 0; index < lanes.length; index += 1) {
        const lane = lanes[index];
        if (!lane) continue;
        const end = lane.at + stepBytes;
        kernel.bytes.set(lane.data.subarray(lane.at, end), inputAt + index * laneRoom);
        lane.at = end;
      }
      kernel.absorb(stepBytes / blockBytes);
      continue;
    }
    // Some lane is at its last block; the others take one block with it.
    for (let index = 0; index < lanes.length; index += 1) {
      const lane = lanes[index];
      if (!lane) continue;
      const end = Math.min(lane.at + blockBytes, lane.data.length);
      kernel.bytes.set(lane.data.subarray(lane.at, end), inputAt + index * laneRoom);
      if (lane.at === lane.whole) kernel.last(index, end - lane.at);
    }
    kernel.absorb(1);
    for (let index = 0; index < lanes.length; index += 1) {
      const lane = lanes[index];
      if (!lane) continue;
      if (lane.at < lane.whole) {
        lane.at += blockBytes;
        continue;
      }
      kernel.end(index);
      digests[lane.index] = hash.digest();
      lanes[index] = take(index);
    }
  }
}
