/**
 * From the kernels' text to WebAssembly. The result depends on nothing but the sources and the compiler's version, so
 * test/wasm.test.ts can hold it against what is in src/.
 * @module
 */
import asc from "assemblyscript/asc";
import { blake2bSource, blake2sSource } from "./blake2.ts";
import { blake3Layout, blake3Source } from "./blake3.ts";
import { formLayout } from "./forms.ts";
import { keccakSource } from "./keccak.ts";

/** Where the compiler places tables: behind the inputs of all kernels. */
const tablesAt = 98_304;

export interface Kernel {
  readonly name: string;
  readonly pages: number;
  readonly source: string;
}

export const kernels: readonly Kernel[] = [
  { name: "blake2b", pages: formLayout.pages, source: blake2bSource() },
  { name: "blake2s", pages: formLayout.pages, source: blake2sSource() },
  { name: "blake3", pages: blake3Layout.pages, source: blake3Source() },
  { name: "keccak", pages: formLayout.pages, source: keccakSource() },
];

export async function compile({ pages, source }: Kernel): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      "kernel.ts",
      ...["--outFile", "kernel.wasm"],
      ...["-O3", "--noAssert", "--runtime", "stub", "--enable", "simd"],
      ...["--initialMemory", String(pages), "--maximumMemory", String(pages)],
      ...["--memoryBase", String(tablesAt)],
    ],
    {
      readFile: (name) => (name === "kernel.ts" ? source : null),
      writeFile: (name, contents) => {
        if (name === "kernel.wasm") binary = contents as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  if (error || !binary) throw new Error(`the kernel does not compile: ${stderr}`, { cause: error });
  return binary;
}

/** The source file that carries a compiled kernel. */
export const moduleText = ({ name }: Kernel, binary: Uint8Array): string =>
  `// Written by \`npm run wasm\` from wasm/. Held against it by test/wasm.test.ts.
export const ${name}Wasm =
  "${Buffer.from(binary).toString("base64")}";
`;
