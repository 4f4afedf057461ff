/**
 * Our own WebAssembly kernel for the two rolling hashes: two to three times as fast as plain JavaScript where there is
 * more than a little to look through. Its source is in wasm/; nothing compiles or downloads at install, and the engine
 * compiles it when the first splitter is made. Proof: test/wasm.test.ts.
 * @module
 */
import { copyBytes } from "@dm/core";
import { buzhashTable } from "./buzhash.ts";
import type { Scan } from "./cutter.ts";
import { rabinKarpTables } from "./rabinkarp.ts";
import { scanWasm } from "./scan.wasm.ts";
import { layout, windowBytes } from "./scan-layout.ts";

/** Address behind the first byte in `at` to `end` after which there is a cut, or 0; the window is in memory before `at`. */
type ScanMemory = (at: number, end: number, mask: number) => number;

interface Kernel {
  readonly buzhash: ScanMemory;
  readonly rabinkarp: ScanMemory;
  readonly memory: { readonly buffer: ArrayBuffer };
}

/** What is used of the global `WebAssembly`, which TypeScript knows only together with the whole DOM. */
interface WebAssemblyGlobal {
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
}

/** Of one call of the kernel. Its input, its hashes and its table fit into the first cache together. */
const pieceBytes = 16_384;

export interface Scans {
  buzhash(): Scan;
  rabinkarp(): Scan;
}

let scans: Scans | undefined;
let isRefused = false;

/**
 * The same for all splitters, since a call leaves nothing behind that the next one needs. Undefined where WebAssembly with
 * vectors cannot be had: old engines, or a page's content security policy.
 */
export function wasmScans(): Scans | undefined {
  if (scans || isRefused) return scans;
  try {
    scans = instantiate();
  } catch {
    isRefused = true;
  }
  return scans;
}

/** Tables are made when a family is first wanted. */
function once<Value>(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => (made ??= make());
}

function instantiate(): Scans {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyGlobal };
  const binary = Uint8Array.from(atob(scanWasm), (character) => character.charCodeAt(0));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary));
  const { buzhash, memory, rabinkarp } = exports as Kernel;
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  return {
    buzhash: once(() => {
      writeBuzhashTables(view);
      return scanWith(bytes, buzhash);
    }),
    rabinkarp: once(() => {
      writeRabinKarpTables(view);
      return scanWith(bytes, rabinkarp);
    }),
  };
}

function writeBuzhashTables(memory: DataView): void {
  for (const [index, word] of buzhashTable().entries()) {
    memory.setInt32(layout.buzhashTable + index * 4, word, true);
    memory.setInt32(layout.turnedTable + index * 4, (word << 1) | (word >>> 31), true);
  }
}

function writeRabinKarpTables(memory: DataView): void {
  const { modHigh, modLow, outHigh, outLow } = rabinKarpTables();
  const mod = (index: number): bigint => join(modHigh[index]!, modLow[index]!);
  for (let byte = 0; byte < 256; byte++) {
    // One step further, since the kernel takes the leaving byte off after the step.
    const out = join(outHigh[byte]!, outLow[byte]!);
    const stepped = (out << 8n) ^ mod(Number(out >> 45n));
    memory.setBigUint64(layout.modTable + byte * 8, mod(byte), true);
    memory.setBigUint64(layout.outTable + byte * 8, stepped, true);
  }
}

const join = (high: number, low: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

const scanWith =
  (memory: Uint8Array, scan: ScanMemory): Scan =>
  (bytes, from, to, mask) => {
    for (let at = from; at < to; ) {
      const end = Math.min(at + pieceBytes, to);
      copyBytes(bytes.subarray(at - windowBytes, end), memory, layout.input);
      const start = layout.input + windowBytes;
      const hit = scan(start, start + end - at, mask);
      if (hit !== 0) return at + hit - start;
      at = end;
    }
    return -1;
  };
