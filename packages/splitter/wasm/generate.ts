/**
 * Assembles the kernel and writes it as text to src/scan.wasm.ts: `npm run wasm` in this package. It is kept in the repository,
 * so that tests run from the sources and nothing is made at install.
 * @module
 */
import { writeFileSync } from "node:fs";
import { kernel, moduleText } from "./kernel.ts";

const binary = kernel();
writeFileSync(new URL("../src/scan.wasm.ts", import.meta.url), moduleText(binary));
console.log(`scan: ${binary.length} bytes`);
