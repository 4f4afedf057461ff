/**
 * BLAKE2b and BLAKE2s in AssemblyScript, for one input and for an input in each lane (see forms.ts). The state at `start`
 * is the eight chaining words and the byte counter of 64 bits: with a key, the state after the key's block.
 * @module
 */
import { beginAndEnd, type Form, form, formLayout, scratch } from "./forms.ts";
import {
  each,
  fourWords32,
  type Mixing,
  mixingRounds,
  oneWord32,
  oneWord64,
  transpose4,
  transposeVariables,
  turnTables,
  turnVariables,
  twoWords64,
  type Words,
} from "./words.ts";

const sigma = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

interface Variant {
  readonly mixing: Mixing;
  readonly initial: readonly bigint[];
  readonly blockBytes: number;
  /** Words of the byte counter. */
  readonly counters: 1 | 2;
}

const initial64 = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
];

const b: Variant = {
  mixing: { rotations: [32, 24, 16, 63], schedule: [...sigma, ...sigma.slice(0, 2)] },
  initial: initial64,
  blockBytes: 128,
  counters: 1,
};

const s: Variant = {
  mixing: { rotations: [16, 12, 8, 7], schedule: sigma },
  initial: initial64.map((word) => word >> 32n),
  blockBytes: 64,
  counters: 2,
};

/** Message words of all lanes, from `at` and its neighbours to the scratch area. */
function gather({ stride, words }: Form): string {
  if (words.lanes === 2) {
    return each(
      8,
      (pair) => `
      r0 = v128.load(at, ${16 * pair});
      r1 = v128.load(at, ${stride + 16 * pair});
      v128.store(${scratch + 32 * pair}, v128.shuffle<i64>(r0, r1, 0, 2));
      v128.store(${scratch + 32 * pair + 16}, v128.shuffle<i64>(r0, r1, 1, 3));`,
    );
  }
  return each(
    4,
    (quarter) => `
      ${each(4, (lane) => `r${lane} = v128.load(at, ${lane * stride + 16 * quarter});`)}
      ${transpose4((index, column) => `v128.store(${scratch + 16 * (4 * quarter + index)}, ${column});`)}`,
  );
}

function absorb({ blockBytes, counters, initial, mixing }: Variant, shape: Form): string {
  const { extra, state, suffix, wordBytes, words } = shape;
  const one = words.lanes === 1;
  const [step, final] = extra;
  const carry = one ? "u32(t0 < step)" : "i32x4.neg(i32x4.lt_u(t0, step))";
  const tail = [words.xor("t0", words.constant(initial[4]!)), words.constant(initial[5]!)];
  if (counters === 2) tail[1] = words.xor("t1", words.constant(initial[5]!));
  tail.push(words.xor("final", words.constant(initial[6]!)), words.constant(initial[7]!));
  return `
export function absorb${suffix}(blocks: i32): void {
      ${one ? "" : transposeVariables}
      ${each(8, (index) => `let h${index} = ${words.load(String(state), index * wordBytes)};`)}
      ${each(counters, (index) => `let t${index} = ${words.load(String(state), (8 + index) * wordBytes)};`)}
      const step = ${words.load(String(step), 0)};
      const final = ${words.load(String(final), 0)};
      ${turnVariables(words, mixing)}
      let at: usize = ${formLayout.input};
      for (; blocks > 0; --blocks) {
        ${one ? "" : gather(shape)}
        t0 = ${words.add("t0", "step")};
        ${counters === 2 ? `t1 = ${words.add("t1", carry)};` : ""}
        let ${each(8, (index) => `v${index} = h${index}`, ", ")},
          ${each(4, (index) => `v${8 + index}: ${words.type} = ${words.constant(initial[index]!)}`, ", ")},
          ${each(4, (index) => `v${12 + index}: ${words.type} = ${tail[index]}`, ", ")};
        ${mixingRounds(words, mixing, one ? "at" : String(scratch))}
        ${each(8, (index) => `h${index} = ${words.xor(`h${index}`, words.xor(`v${index}`, `v${index + 8}`))};`)}
        at += ${blockBytes};
      }
      ${each(8, (index) => words.store(String(state), `h${index}`, index * wordBytes))}
      ${each(counters, (index) => words.store(String(state), `t${index}`, (8 + index) * wordBytes))}
}`;
}

function formSource(variant: Variant, words: Words): string {
  const shape = form(words);
  const { extra, lane, stride, suffix } = shape;
  const [step, final] = extra.map((address) => `${address} + lane * ${words.laneBytes}`);
  const reset = `store<${lane}>(${step}, ${variant.blockBytes}); store<${lane}>(${final}, 0);`;
  return `${turnTables(words, variant.mixing)}${beginAndEnd(shape, 8 + variant.counters, reset)}
${absorb(variant, shape)}

export function last${suffix}(lane: usize, length: usize): void {
  store<${lane}>(${step}, <${lane}>length);
  store<${lane}>(${final}, <${lane}>-1);
  memory.fill(${formLayout.input} + lane * ${stride} + length, 0, ${variant.blockBytes} - length);
}
`;
}

export const blake2bSource = (): string => formSource(b, oneWord64) + formSource(b, twoWords64);
export const blake2sSource = (): string => formSource(s, oneWord32) + formSource(s, fourWords32);
