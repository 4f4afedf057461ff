/**
 * What BLAKE2 and Keccak share: a form for one input and a form for an input in every lane of a vector, over one layout
 * of the memory. Each form exports
 *
 * - `begin(lane)`: the lane takes the state at `start`;
 * - `absorb(blocks)`: every lane takes that many whole blocks from its own part of the input;
 * - `last(lane, length)`: the block at the lane's input is its last and has `length` bytes; the next `absorb(1)` takes it;
 * - `end(lane)`: the lane's state goes to `output`.
 *
 * The names of the form for one input end in `One`. A lane without an input works on whatever is there, to no effect.
 * @module
 */
import { each, type Words } from "./words.ts";

/** Addresses in the module's memory, and the bytes of input that each lane has room for. */
export const formLayout = {
  start: 1024,
  output: 1280,
  input: 4096,
  inputBytes: 65536,
  pages: 2,
} as const;

/** Transposed message words. */
export const scratch = 3072;

export interface Form {
  readonly words: Words;
  /** Of the exported names. */
  readonly suffix: "" | "One";
  /** AssemblyScript type of one lane's word. */
  readonly lane: "u32" | "u64";
  /** Where the words of the state are, each with all its lanes. */
  readonly state: number;
  /** Two words beside the state, with all their lanes. */
  readonly extra: readonly [number, number];
  readonly wordBytes: number;
  /** Bytes between the inputs of two lanes. */
  readonly stride: number;
}

export function form(words: Words): Form {
  const one = words.lanes === 1;
  const state = one ? 1536 : 2048;
  const wordBytes = words.laneBytes * words.lanes;
  return {
    words,
    suffix: one ? "One" : "",
    lane: words.laneBytes === 4 ? "u32" : "u64",
    state,
    extra: [state + 448, state + 480],
    wordBytes,
    stride: formLayout.inputBytes / words.lanes,
  };
}

/** `begin` and `end` for a state of `count` words. */
export const beginAndEnd = (
  { lane, state, suffix, wordBytes, words }: Form,
  count: number,
  more = "",
): string => {
  const start = (index: number): number => formLayout.start + index * words.laneBytes;
  const output = (index: number): number => formLayout.output + index * words.laneBytes;
  const held = (index: number): number => index * wordBytes;
  return `
export function begin${suffix}(lane: usize): void {
  const at: usize = ${state} + lane * ${words.laneBytes};
  ${each(count, (i) => `store<${lane}>(at, load<${lane}>(${start(i)}), ${held(i)});`)}
  ${more}
}

export function end${suffix}(lane: usize): void {
  const at: usize = ${state} + lane * ${words.laneBytes};
  ${each(count, (i) => `store<${lane}>(${output(i)}, load<${lane}>(at, ${held(i)}));`)}
}
`;
};
