/**
 * Our own WebAssembly kernels: the fastest portable code, and in Node the fastest for many blocks in one call. Their
 * sources are in wasm/, compiled at development time; nothing compiles or downloads at install.
 * @module
 */
import type { HashBackend } from "./backend.ts";
import { prepareBlake2 } from "./wasm-blake2.ts";
import { prepareBlake3 } from "./wasm-blake3.ts";
import { keccakKernel, prepareHmacSha3 } from "./wasm-sha3.ts";

/** Undefined where WebAssembly with vectors cannot be had: old engines, or a page's content security policy. */
export function wasmBackend(): HashBackend | undefined {
  try {
    // Where the smallest kernel can be compiled and run, all can.
    keccakKernel();
  } catch {
    return undefined;
  }
  return {
    name: "wasm",
    families: ["blake2b", "blake2s", "blake3", "hmac-sha3-224", "hmac-sha3-256"],
    prepare(description, key) {
      if (description.family === "blake3") return prepareBlake3(key);
      if (description.family.startsWith("blake2")) return prepareBlake2(description, key);
      return prepareHmacSha3(description, key);
    },
  };
}
