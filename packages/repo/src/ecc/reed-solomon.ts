/**
 * Systematic Reed-Solomon over shards: the bytes at one position of the shards are values of a polynomial at the points
 * 0, 1, 2, …; the first `dataShards` are data, the rest parity. This is the code whose matrix is the Vandermonde matrix
 * `r^c` times the inverse of its top, which Kopia uses; interpolation gives the same rows without any matrix.
 * Format: docs/format/error-correction.md. Proof: test/ecc.test.ts.
 * @module
 */
import { exponentials, lagrangeCoefficients, logarithms } from "./galois.ts";

/** Targets that share one pass over the inputs: their products lie side by side in a 32-bit word. */
const targetsPerPass = 4;

/** Turns shards at `points` into shards at `targets`. */
export class ShardTransform {
  readonly #inputs: number;
  readonly #targets: number;
  /** For each pass and input 256 words: byte value to the products for up to four targets. */
  readonly #passes: readonly Uint32Array[];

  constructor(points: readonly number[], targets: readonly number[]) {
    this.#inputs = points.length;
    this.#targets = targets.length;
    const rows = targets.map((target) => lagrangeCoefficients(points, target));
    const passes: Uint32Array[] = [];
    for (let first = 0; first < rows.length; first += targetsPerPass)
      passes.push(productTable(rows.slice(first, first + targetsPerPass), points.length));
    this.#passes = passes;
  }

  /** Overwrites `outputs` (one for each target, all of the inputs' length). */
  apply(inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void {
    if (inputs.length !== this.#inputs || outputs.length !== this.#targets)
      throw new RangeError("wrong number of shards");
    const length = outputs[0]?.length ?? 0;
    const sums = new Uint32Array(length);
    for (const [pass, table] of this.#passes.entries()) {
      sums.fill(0);
      for (let input = 0; input < inputs.length; input++)
        addProducts(sums, inputs[input]!, table.subarray(input * 256, input * 256 + 256));
      const first = pass * targetsPerPass;
      const count = Math.min(targetsPerPass, outputs.length - first);
      for (let target = 0; target < count; target++)
        takeByte(outputs[first + target]!, sums, 8 * target);
    }
  }
}

function productTable(rows: readonly Uint8Array[], inputs: number): Uint32Array {
  const table = new Uint32Array(inputs * 256);
  for (const [target, row] of rows.entries()) {
    for (let input = 0; input < inputs; input++) {
      const logarithm = logarithms[row[input]!]!;
      for (let value = 1; value < 256; value++) {
        table[input * 256 + value]! |=
          exponentials[logarithm + logarithms[value]!]! << (8 * target);
      }
    }
  }
  return table;
}

function addProducts(sums: Uint32Array, input: Uint8Array, products: Uint32Array): void {
  for (let index = 0; index < sums.length; index++) sums[index]! ^= products[input[index]!]!;
}

function takeByte(output: Uint8Array, sums: Uint32Array, shift: number): void {
  for (let index = 0; index < output.length; index++) output[index] = sums[index]! >>> shift;
}
