/**
 * The constants of zstd's sequence coding (RFC 8878, 3.1.1.3.2) and the construction of its FSE decoding tables.
 * Proof: test/vectors.test.ts, test/zstd.test.ts.
 * @module
 */

/** The three numbers of a sequence, each coded with a table of its own. */
export type SequenceKind = "literalLength" | "offset" | "matchLength";

/** A decoding table of `1 << log` entries: symbol | bits to read << 8 | base of the next state << 16. */
export interface FseTable {
  readonly log: number;
  readonly entries: Int32Array;
}

/** How often each symbol occurs among `1 << log`; -1 is "less than once". */
export interface Distribution {
  readonly log: number;
  readonly counts: readonly number[];
}

const once = (count: number): number[] => new Array<number>(count).fill(1);

/** What a block uses that brings no tables. */
export const defaultDistributions: Readonly<Record<SequenceKind, Distribution>> = {
  literalLength: {
    log: 6,
    counts: [
      4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1,
      1, -1, -1, -1, -1,
    ],
  },
  offset: { log: 5, counts: [...once(6), 2, 2, 2, ...once(15), -1, -1, -1, -1, -1] },
  matchLength: {
    log: 6,
    counts: [1, 4, 3, 2, 2, 2, 2, 2, 2, ...once(37), -1, -1, -1, -1, -1, -1, -1],
  },
};

/** Number of symbols of each kind. */
export const symbolCounts: Readonly<Record<SequenceKind, number>> = {
  literalLength: 36,
  offset: 32,
  matchLength: 53,
};

export const literalLengthBits = Uint8Array.of(
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  6,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
);
export const matchLengthBits = Uint8Array.of(
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
);

/** Each code begins where the one before it ends. */
function bases(bits: Uint8Array, first: number): Int32Array {
  const result = new Int32Array(bits.length);
  let base = first;
  for (let code = 0; code < bits.length; code++) {
    result[code] = base;
    base += 2 ** bits[code]!;
  }
  return result;
}

export const literalLengthBase: Int32Array = bases(literalLengthBits, 0);
export const matchLengthBase: Int32Array = bases(matchLengthBits, 3);

/**
 * The symbols in the order in which an FSE table of `1 << log` states holds them: first those that occur "less than once",
 * from the end, then the others, spread by a fixed step.
 */
export function spreadSymbols({ log, counts }: Distribution): Uint8Array {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  let high = size - 1;
  counts.forEach((count, symbol) => {
    if (count === -1) symbols[high--] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  counts.forEach((count, symbol) => {
    for (let index = 0; index < count; index++) {
      symbols[position] = symbol;
      do position = (position + step) & (size - 1);
      while (position > high);
    }
  });
  return symbols;
}

/** The counts must add up to `1 << log`, a -1 counting as 1. */
export function buildFseTable(distribution: Distribution): FseTable {
  const { log, counts } = distribution;
  const size = 1 << log;
  const entries = new Int32Array(size);
  const symbols = spreadSymbols(distribution);
  const next = counts.map((count) => Math.abs(count));
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state]!;
    const occurrence = next[symbol]!++;
    const bits = log - (31 - Math.clz32(occurrence));
    entries[state] = symbol | (bits << 8) | (((occurrence << bits) - size) << 16);
  }
  return { log, entries };
}
