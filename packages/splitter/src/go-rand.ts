/**
 * The byte stream of Go's legacy `math/rand` source (additive lagged Fibonacci, 607 words of 64 bits), which
 * `kopia benchmark splitter` splits. 64-bit words are two 32-bit halves, because it makes hundreds of megabytes.
 * Format: docs/format/splitting.md. Proof: test/go-rand.test.ts.
 * @module
 */
import { fromBase64 } from "@dm/core";
import { cookedBase64 } from "./go-rand-cooked.ts";

const words = 607;
const firstFeed = 334;
const modulus = 2147483647;

/** A stream of random bytes that continues from call to call. */
export interface GoRandom {
  /** Overwrites all of `target` with the next bytes of the stream. */
  fill(target: Uint8Array): void;
  /** The next value of Int63, as Go's generator gives it. */
  int63(): bigint;
}

/** @example const random = goRandom(42); random.fill(block); */
export function goRandom(seed: number): GoRandom {
  const high = new Int32Array(words);
  const low = new Int32Array(words);
  seedState(seed, high, low);
  let tap = 0;
  let feed = firstFeed;
  let resultHigh = 0;
  let resultLow = 0;
  // Bytes of the present word that are still to be given out.
  let left = 0;

  const step = (): void => {
    tap = tap === 0 ? words - 1 : tap - 1;
    feed = feed === 0 ? words - 1 : feed - 1;
    const sum = (low[feed]! >>> 0) + (low[tap]! >>> 0);
    low[feed] = sum | 0;
    high[feed] = (high[feed]! + high[tap]! + (sum > 0xffffffff ? 1 : 0)) | 0;
    resultLow = low[feed]!;
    resultHigh = high[feed]! & 0x7fffffff;
  };

  return {
    int63() {
      step();
      return (BigInt(resultHigh) << 32n) | BigInt(resultLow >>> 0);
    },
    fill(target) {
      const length = target.length;
      let at = 0;
      while (at < length) {
        if (left === 0) {
          step();
          if (length - at >= 7) {
            // The top byte of each word is dropped.
            target[at] = resultLow;
            target[at + 1] = resultLow >>> 8;
            target[at + 2] = resultLow >>> 16;
            target[at + 3] = resultLow >>> 24;
            target[at + 4] = resultHigh;
            target[at + 5] = resultHigh >>> 8;
            target[at + 6] = resultHigh >>> 16;
            at += 7;
            continue;
          }
          left = 7;
        }
        target[at] = resultLow;
        at += 1;
        resultLow = (resultLow >>> 8) | (resultHigh << 24);
        resultHigh >>>= 8;
        left -= 1;
      }
    },
  };
}

function seedState(seed: number, high: Int32Array, low: Int32Array): void {
  const cooked = fromBase64(cookedBase64);
  const view = new DataView(cooked.buffer);
  let x = seed % modulus;
  if (x < 0) x += modulus;
  if (x === 0) x = 89482311;
  const next = (): number => {
    x = (48271 * x) % modulus;
    return x;
  };
  for (let index = 0; index < 20; index++) next();
  for (let index = 0; index < words; index++) {
    const a = next();
    const b = next();
    const c = next();
    // u = a << 40 ^ b << 20 ^ c
    high[index] = (a << 8) ^ (b >>> 12) ^ view.getInt32(index * 8);
    low[index] = (b << 20) ^ c ^ view.getInt32(index * 8 + 4);
  }
}
