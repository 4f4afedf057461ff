/**
 * A worker's memory: slots, each with room to read into and room for what is sealed of it. Page aligned, since the kernel
 * copies to and from other addresses at a quarter of the speed; pages that nothing was written to cost nothing.
 * @module
 */
import { splitterAlgorithms } from "@dm/splitter";

/** Two, so that a worker has work while the main thread decides what is new. */
export const slotsPerWorker = 2;
/** Chunks of one job; files of one batch. */
export const maxChunksPerJob = 256;
/** Longest chunk of any splitter: 16 MiB. */
export const inputBytes = Math.max(
  ...Object.values(splitterAlgorithms).map(({ maxChunkBytes }) => maxChunkBytes),
);
/** Starts of chunks and sealed contents: the step of a cache line. */
export const alignment = 64;
/** Encryption adds 28 bytes to a content, alignment up to 63. */
const outputBytes = inputBytes + 2 * alignment * maxChunksPerJob;
const pageBytes = 65_536;

export interface SlotMemory {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

export const aligned = (position: number): number => Math.ceil(position / alignment) * alignment;

interface SharedMemory {
  readonly Memory: new (options: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
}

/** Memory for one worker. JavaScript cannot ask for aligned memory otherwise. */
export function allocateSlots(): SharedArrayBuffer {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: SharedMemory };
  const pages = Math.ceil((slotsPerWorker * (inputBytes + outputBytes)) / pageBytes);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

export function slotsOf(memory: ArrayBufferLike): readonly SlotMemory[] {
  return Array.from({ length: slotsPerWorker }, (_, index) => {
    const at = index * (inputBytes + outputBytes);
    return {
      input: new Uint8Array(memory, at, inputBytes),
      output: new Uint8Array(memory, at + inputBytes, outputBytes),
    };
  });
}
