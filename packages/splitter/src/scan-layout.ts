/**
 * Where everything lies in the memory of the WebAssembly kernel: its source in wasm/ and wasm-scan.ts, which calls it, go by it.
 * Proof: test/wasm.test.ts.
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
  /** A piece of the caller's bytes behind the window before it, to the end of the page. */
  input: 16_384,
  pages: 1,
} as const;

export const windowBytes = 64;
