/**
 * How a kernel's text spells arithmetic on its words: one 32- or 64-bit number, or a vector of four or two of them, so
 * that one description of a round serves the form for one block and the form for several blocks in lanes.
 * @module
 */
export interface Words {
  /** AssemblyScript type of a word. */
  readonly type: "u32" | "u64" | "v128";
  /** Bytes of one lane. */
  readonly laneBytes: 4 | 8;
  readonly lanes: 1 | 2 | 4;
  add(a: string, b: string): string;
  xor(a: string, b: string): string;
  /** The bits of `a` that `b` has not. */
  andNot(a: string, b: string): string;
  rotateRight(a: string, bits: number): string;
  constant(value: bigint): string;
  /** The word at address `pointer` + `offset`. */
  load(pointer: string, offset: number): string;
  /** The number at `pointer` + `offset` in every lane. */
  spread(pointer: string, offset: number): string;
  store(pointer: string, value: string, offset: number): string;
}

const scalar = (type: "u32" | "u64"): Words => ({
  type,
  laneBytes: type === "u32" ? 4 : 8,
  lanes: 1,
  add: (a, b) => `${a} + ${b}`,
  xor: (a, b) => `${a} ^ ${b}`,
  andNot: (a, b) => `(${a} & ~${b})`,
  rotateRight: (a, bits) => `rotr<${type}>(${a}, ${bits})`,
  constant: (value) => `0x${value.toString(16)}`,
  load: (pointer, offset) => `load<${type}>(${pointer}, ${offset})`,
  spread: (pointer, offset) => `load<${type}>(${pointer}, ${offset})`,
  store: (pointer, value, offset) => `store<${type}>(${pointer}, ${value}, ${offset});`,
});

function vector(type: "i32x4" | "i64x2"): Words {
  const laneBytes = type === "i32x4" ? 4 : 8;
  return {
    type: "v128",
    laneBytes,
    lanes: type === "i32x4" ? 4 : 2,
    add: (a, b) => `${type}.add(${a}, ${b})`,
    xor: (a, b) => `v128.xor(${a}, ${b})`,
    andNot: (a, b) => `v128.andnot(${a}, ${b})`,
    rotateRight(a, bits) {
      // Halves of a lane swap with one instruction.
      if (bits === 32 && laneBytes === 8) return `v128.shuffle<i32>(${a}, ${a}, 1, 0, 3, 2)`;
      const left = laneBytes * 8 - bits;
      const high = left === 1 ? `${type}.add(${a}, ${a})` : `${type}.shl(${a}, ${left})`;
      return `v128.or(${high}, ${type}.shr_u(${a}, ${bits}))`;
    },
    constant: (value) => `${type}.splat(0x${value.toString(16)})`,
    load: (pointer, offset) => `v128.load(${pointer}, ${offset})`,
    spread: (pointer, offset) => `v128.load${laneBytes * 8}_splat(${pointer}, ${offset})`,
    store: (pointer, value, offset) => `v128.store(${pointer}, ${value}, ${offset});`,
  };
}

export const oneWord32: Words = scalar("u32");
export const oneWord64: Words = scalar("u64");
export const fourWords32: Words = vector("i32x4");
export const twoWords64: Words = vector("i64x2");

/** `count` lines or expressions, made from their index. */
export const each = (count: number, text: (index: number) => string, separator = "\n"): string =>
  Array.from({ length: count }, (_, index) => text(index)).join(separator);

/** Rotations of the mixing function and the rounds' order of the message words. */
export interface Mixing {
  readonly rotations: readonly [number, number, number, number];
  readonly schedule: ReadonlyArray<readonly number[]>;
}

/** Rotations that move whole bytes, other than those that swap halves of 64 bits, by table. */
const byteRotations = (words: Words, { rotations }: Mixing): number[] =>
  words.lanes === 1 ? [] : rotations.filter((bits) => bits % 8 === 0 && bits !== 32);

/**
 * Tables of the byte rotations. They come from memory because of what V8 makes of the other ways: it builds the table of
 * a constant shuffle anew at each use, and shifts take three instructions, one after the other.
 */
export const turnTables = (words: Words, mixing: Mixing): string =>
  byteRotations(words, mixing)
    .map((bits) => {
      const indices = Array.from({ length: 16 }, (_, index) => {
        const first = index - (index % words.laneBytes);
        return first + ((index + bits / 8) % words.laneBytes);
      });
      return `const turns${bits}: usize = memory.data<u8>([${indices.join(", ")}]);\n`;
    })
    .join("");

/** Declarations of the tables as variables, for {@link mixingRounds}. */
export const turnVariables = (words: Words, mixing: Mixing): string =>
  byteRotations(words, mixing)
    .map((bits) => `const turn${bits} = v128.load(turns${bits});`)
    .join(" ");

/**
 * All rounds of BLAKE2 or BLAKE3 on the variables v0 to v15, unrolled. Message words are read from memory where they are
 * used: sixteen of them in variables would only push the state out of the registers.
 */
export function mixingRounds(words: Words, mixing: Mixing, message: string): string {
  const [first, second, third, fourth] = mixing.rotations;
  const byTable = byteRotations(words, mixing);
  const turn = (value: string, bits: number): string =>
    byTable.includes(bits)
      ? `i8x16.swizzle(${value}, turn${bits})`
      : words.rotateRight(value, bits);
  const wordBytes = words.laneBytes * words.lanes;
  const mix = (a: number, b: number, c: number, d: number, x: number, y: number): string => {
    const half = (word: number, bitsD: number, bitsB: number): string =>
      `v${a} = ${words.add(words.add(`v${a}`, words.load(message, word * wordBytes)), `v${b}`)};
      v${d} = ${words.xor(`v${d}`, `v${a}`)};
      v${d} = ${turn(`v${d}`, bitsD)};
      v${c} = ${words.add(`v${c}`, `v${d}`)};
      v${b} = ${words.xor(`v${b}`, `v${c}`)};
      v${b} = ${turn(`v${b}`, bitsB)};`;
    return `${half(x, first, second)}\n      ${half(y, third, fourth)}`;
  };
  const columns = [0, 1, 2, 3].map((at) => [at, at + 4, at + 8, at + 12] as const);
  const diagonals = [0, 1, 2, 3].map(
    (at) => [at, 4 + ((at + 1) % 4), 8 + ((at + 2) % 4), 12 + ((at + 3) % 4)] as const,
  );
  return mixing.schedule
    .map((order) =>
      [...columns, ...diagonals]
        .map(([a, b, c, d], at) => mix(a, b, c, d, order[2 * at]!, order[2 * at + 1]!))
        .join("\n      "),
    )
    .join("\n      ");
}

/**
 * Four rows of four 32-bit words, in r0 to r3, become four columns: column `index` holds word `index` of every row.
 * `keep` says what to do with it.
 */
export function transpose4(keep: (index: number, column: string) => string): string {
  const halves = (a: string, b: string, from: number): string =>
    `v128.shuffle<i32>(${a}, ${b}, ${from}, ${from + 4}, ${from + 1}, ${from + 5})`;
  const join = (a: string, b: string, from: number): string =>
    `v128.shuffle<i64>(${a}, ${b}, ${from}, ${from + 2})`;
  return `
      s0 = ${halves("r0", "r1", 0)};
      s1 = ${halves("r2", "r3", 0)};
      s2 = ${halves("r0", "r1", 2)};
      s3 = ${halves("r2", "r3", 2)};
      ${keep(0, join("s0", "s1", 0))}
      ${keep(1, join("s0", "s1", 1))}
      ${keep(2, join("s2", "s3", 0))}
      ${keep(3, join("s2", "s3", 1))}`;
}

/** Declarations of the temporaries of {@link transpose4}. */
export const transposeVariables = `let r0: v128, r1: v128, r2: v128, r3: v128, s0: v128, s1: v128, s2: v128, s3: v128;`;
