/**
 * BLAKE3 by our own kernel (wasm/blake3.ts): one input at a time, its chunks four at a time.
 * @module
 */
import type { PreparedHash } from "./backend.ts";
import { blake3Wasm } from "./blake3.wasm.ts";
import { lazyKernel } from "./wasm-kernel.ts";

interface Blake3Functions {
  start(): void;
  update(): void;
  finish(length: number): void;
}

// Addresses as in wasm/blake3.ts.
const keyAt = 1024;
const outputAt = 1056;
const inputAt = 16384;
const pieceBytes = 65536;

export const blake3Kernel = lazyKernel<Blake3Functions>(blake3Wasm);

/** `key` has 32 bytes. */
export function prepareBlake3(key: Uint8Array): PreparedHash {
  const kernel = blake3Kernel();
  const { bytes } = kernel;
  return {
    hash(data) {
      bytes.set(key, keyAt);
      kernel.start();
      let at = 0;
      // The last piece is not empty unless the input is, because it ends the tree.
      for (; data.length - at > pieceBytes; at += pieceBytes) {
        bytes.set(data.subarray(at, at + pieceBytes), inputAt);
        kernel.update();
      }
      bytes.set(at === 0 ? data : data.subarray(at), inputAt);
      kernel.finish(data.length - at);
      return bytes.slice(outputAt, outputAt + 32);
    },
  };
}
