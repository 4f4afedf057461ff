/**
 * Compiles the kernels and writes them as text to src/*.wasm.ts: `npm run wasm` in this package. They are kept in the
 * repository, so that tests run from the sources and nothing compiles at install.
 * @module
 */
import { writeFileSync } from "node:fs";
import { compile, kernels, moduleText } from "./compile.ts";

for (const kernel of kernels) {
  const binary = await compile(kernel);
  writeFileSync(
    new URL(`../src/${kernel.name}.wasm.ts`, import.meta.url),
    moduleText(kernel, binary),
  );
  console.log(`${kernel.name}: ${binary.length} bytes`);
}
