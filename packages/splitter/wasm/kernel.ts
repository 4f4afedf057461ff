/**
 * The kernel as bytes, and the source file that carries it. The result depends on nothing but the sources here, so
 * test/wasm.test.ts can hold it against what is in src/.
 * @module
 */
import { assemble } from "./assembler.ts";
import { buzhash } from "./buzhash.ts";
import { layout } from "../src/scan-layout.ts";
import { rabinKarp } from "./rabin-karp.ts";

export const kernel = (): Uint8Array => assemble([buzhash, rabinKarp], layout.pages);

export const moduleText = (binary: Uint8Array): string =>
  `// Written by \`npm run wasm\` from wasm/. Held against it by test/wasm.test.ts.
export const scanWasm =
  "${Buffer.from(binary).toString("base64")}";
`;
