/**
 * SHA-3 (Keccak-f[1600]) in AssemblyScript, for one input and for two in lanes (see forms.ts). The state at `start` is
 * the 25 words: for HMAC, those after the padded key's block. `setRate` says how many bytes a block has: 136 or 144.
 * @module
 */
import { beginAndEnd, form, formLayout } from "./forms.ts";
import { each, oneWord64, twoWords64, type Words } from "./words.ts";

/** Rotations of the words of the state, and where each goes, from the walk of FIPS 202, section 3.2. */
const turns = new Array<number>(25).fill(0);
const target = new Array<number>(25).fill(0);
for (let x = 0; x < 5; x += 1)
  for (let y = 0; y < 5; y += 1) target[x + 5 * y] = y + 5 * ((2 * x + 3 * y) % 5);
for (let at = 1, step = 0; step < 24; step += 1) {
  turns[at] = (((step + 1) * (step + 2)) / 2) % 64;
  at = target[at]!;
}

/** Round constants: bit 2^j - 1 is the next of a shift register (FIPS 202, algorithm 5). */
const roundConstants = (): string[] => {
  let register = 1;
  return Array.from({ length: 24 }, () => {
    let constant = 0n;
    for (let j = 0; j < 7; j += 1) {
      if (register & 1) constant |= 1n << BigInt(2 ** j - 1);
      register = (register << 1) ^ (register & 0x80 ? 0x171 : 0);
    }
    return `0x${constant.toString(16)}`;
  });
};

/** One round from the variables `from`0… to `to`0…; the caller's `table` points at its constant. */
function round(words: Words, from: string, to: string, offset: number): string {
  const left = (value: string, bits: number): string =>
    bits === 0 ? value : words.rotateRight(value, 64 - bits);
  const source = target.map((_, index) => target.indexOf(index));
  const columns = each(5, (x) => {
    const column = [0, 5, 10, 15, 20].map((y) => `${from}${x + y}`);
    return `c${x} = ${column.reduce((a, b) => words.xor(a, b))};`;
  });
  const effects = each(
    5,
    (x) => `d${x} = ${words.xor(`c${(x + 4) % 5}`, left(`c${(x + 1) % 5}`, 1))};`,
  );
  const rows = each(5, (y) => {
    const moved = each(5, (x) => {
      const at = source[x + 5 * y]!;
      return `c${x} = ${words.xor(`${from}${at}`, `d${at % 5}`)};
        c${x} = ${left(`c${x}`, turns[at]!)};`;
    });
    const mixed = each(5, (x) => {
      const value = words.xor(`c${x}`, words.andNot(`c${(x + 2) % 5}`, `c${(x + 1) % 5}`));
      const whole = x + y === 0 ? words.xor(value, words.spread("table", offset)) : value;
      return `${to}${x + 5 * y} = ${whole};`;
    });
    return `${moved}\n        ${mixed}`;
  });
  return `${columns}\n${effects}\n${rows}`;
}

function formSource(words: Words): string {
  const shape = form(words);
  const { state, stride, suffix, wordBytes } = shape;
  const one = words.lanes === 1;
  const variables = (name: string): string => each(25, (index) => `${name}${index}`, ", ");
  return `${beginAndEnd(shape, 25)}
export function absorb${suffix}(blocks: i32): void {
      let ${each(25, (index) => `a${index} = ${words.load(String(state), index * wordBytes)}`, ", ")};
      let ${variables("e").replaceAll(/e\d+/g, `$&: ${words.type}`)};
      let ${each(5, (index) => `c${index}: ${words.type}, d${index}: ${words.type}`, ", ")};
      let at: usize = ${formLayout.input};
      const rest = rate;
      for (; blocks > 0; --blocks) {
        ${
          one
            ? ""
            : each(
                9,
                (pair) => `
        c0 = v128.load(at, ${16 * pair});
        c1 = v128.load(at, ${stride + 16 * pair});
        a${2 * pair} = v128.xor(a${2 * pair}, v128.shuffle<i64>(c0, c1, 0, 2));
        ${pair < 8 ? "" : "if (rest == 144)"}
          a${2 * pair + 1} = v128.xor(a${2 * pair + 1}, v128.shuffle<i64>(c0, c1, 1, 3));`,
              )
        }
        ${one ? each(17, (index) => `a${index} ^= load<u64>(at, ${8 * index});`) : ""}
        ${one ? "if (rest == 144) a17 ^= load<u64>(at, 136);" : ""}
        let table: usize = roundTable;
        for (let rounds = 12; rounds > 0; --rounds) {
        ${round(words, "a", "e", 0)}
        ${round(words, "e", "a", 8)}
        table += 16;
        }
        at += rest;
      }
      ${each(25, (index) => words.store(String(state), `a${index}`, index * wordBytes))}
}

export function last${suffix}(lane: usize, length: usize): void {
  const at: usize = ${formLayout.input} + lane * ${stride};
  memory.fill(at + length, 0, rate - length);
  store<u8>(at + length, 0x06);
  store<u8>(at + rate - 1, load<u8>(at + rate - 1) | 0x80);
}
`;
}

export const keccakSource = (): string => `
const roundTable: usize = memory.data<u64>([${roundConstants().join(", ")}]);
let rate: usize = 136;

export function setRate(bytes: usize): void {
  rate = bytes;
}
${formSource(oneWord64)}
${formSource(twoWords64)}`;
