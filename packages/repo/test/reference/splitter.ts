/**
 * Where each splitter cuts: every byte rolled through the window, nothing skipped.
 * @module
 */

const windowLength = 64;
const polynomial = 0x2e3e3e4a305605n;
const degree = 53n;

function modulo(value: bigint): bigint {
  let rest = value;
  for (let length = BigInt(rest.toString(2).length); length > degree; ) {
    rest ^= polynomial << (length - 1n - degree);
    length = BigInt(rest.toString(2).length);
  }
  return rest;
}
const bytes256 = Array.from({ length: 256 }, (_, byte) => BigInt(byte));
const outTable = bytes256.map((byte) => modulo(byte << BigInt(8 * (windowLength - 1))));
const modTable = bytes256.map((byte) => modulo(byte << degree) | (byte << degree));
const low = (table: readonly bigint[]): Uint32Array =>
  Uint32Array.from(table, (word) => Number(word & 0xffffffffn));
const high = (table: readonly bigint[]): Uint32Array =>
  Uint32Array.from(table, (word) => Number(word >> 32n));
const outLow = low(outTable);
const outHigh = high(outTable);
const modLow = low(modTable);
const modHigh = high(modTable);

type Roll = (incoming: number, outgoing: number) => number;

/** Answers the low 32 bits of the hash, which are all that a mask ever tests. */
function rabinKarp(): Roll {
  let lo = 0;
  let hi = 0;
  return (incoming, outgoing) => {
    lo ^= outLow[outgoing]!;
    hi ^= outHigh[outgoing]!;
    const index = (hi >>> 13) & 255;
    hi = ((hi << 8) | (lo >>> 24)) ^ modHigh[index]!;
    lo = ((lo << 8) | incoming) ^ modLow[index]!;
    return lo;
  };
}

function buzhash(table: readonly number[]): Roll {
  const rotate = (x: number): number => (x << 1) | (x >>> 31);
  let hash = 0;
  for (let i = 0; i < windowLength; i += 1) hash = rotate(hash) ^ table[0]!;
  return (incoming, outgoing) => {
    hash = rotate(hash) ^ table[outgoing]! ^ table[incoming]!;
    return hash;
  };
}

function parseSize(text: string): number {
  return Number.parseInt(text, 10) * (text.endsWith("K") ? 1024 : 1024 * 1024);
}

/** Lengths of the segments of an object. The words of the buzhash are recorded data, so the caller brings them. */
export function segmentLengths(
  splitter: string,
  pieces: Iterable<Uint8Array>,
  buzhashTable: readonly number[],
): number[] {
  const name = { DYNAMIC: "DYNAMIC-4M-BUZHASH", FIXED: "FIXED-4M" }[splitter] ?? splitter;
  const [kind, size, hashName] = name.split("-") as [string, string, string | undefined];
  const average = parseSize(size);
  const fixed = kind === "FIXED";
  const minimum = fixed ? average : average / 2;
  const maximum = fixed ? average : average * 2;
  const roll = hashName === "RABINKARP" ? rabinKarp() : buzhash(buzhashTable);
  const window = new Uint8Array(windowLength);
  const lengths: number[] = [];
  let position = 0;
  let count = 0;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i += 1) {
      count += 1;
      let hash = 1;
      if (!fixed) {
        hash = roll(piece[i]!, window[position]!);
        window[position] = piece[i]!;
        position = (position + 1) % windowLength;
      }
      if ((count >= minimum && (hash & (average - 1)) === 0) || count === maximum) {
        lengths.push(count);
        count = 0;
      }
    }
  }
  if (count > 0) lengths.push(count);
  return lengths;
}
