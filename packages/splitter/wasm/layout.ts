/**
 * Where everything lies in the kernels' memory. The caller, src/wasm-scan.ts, has the same addresses.
 * @module
 */
export const layout = {
  /** 256 words of 32 bits. */
  buzhashTable: 0,
  /** 256 words of 64 bits each. */
  modTable: 1024,
  outTable: 3072,
  /** Prefix hashes of buzhash, 8448 bytes. */
  prefixes: 5120,
  /** As `buzhashTable`, each word rotated by one. */
  turnedTable: 13_824,
  // What lies behind, from 16,384 on, is the caller's input.
  pages: 1,
} as const;

export const windowBytes = 64;
