/**
 * Which files a verification reads when it does not read all: each object has a place on a circle, given by its id and a
 * seed, and the files on one arc are read. Another run that goes on where the last arc ended reads others; after a whole turn
 * all have been read. Proof: test/file-choice.test.ts.
 * @module
 */
import { utf8Encode } from "@dm/core";

/** Which share of the files is read. */
export interface FileChoice {
  /** Share of the files, 0 to 1. */
  readonly share: number;
  /** Where on the circle the share begins, from 0 to below 1. */
  readonly from: number;
  readonly seed: string;
}

/** @throws {RangeError} when share or beginning are not on the circle */
export function fileChooser({ from, seed, share }: FileChoice): (objectId: string) => boolean {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`a share must be 0 to 1, not ${share}`);
  if (!(from >= 0 && from < 1)) throw new RangeError(`a share cannot begin at ${from}`);
  if (share === 1) return () => true;
  if (share === 0) return () => false;
  const start = hash(2_166_136_261, utf8Encode(seed));
  return (objectId) => {
    const behind = placeOf(start, objectId) - from;
    return (behind < 0 ? behind + 1 : behind) < share;
  };
}

/** Where the next run goes on. */
export const nextFrom = ({ from, share }: FileChoice): number => (from + share) % 1;

/** From 0 to below 1. Object ids are ASCII. */
function placeOf(start: number, objectId: string): number {
  let state = start;
  for (let index = 0; index < objectId.length; index++)
    state = Math.imul(state ^ objectId.charCodeAt(index), 16_777_619);
  // FNV-1a leaves ids that differ at their end close to each other; MurmurHash3's last step spreads them.
  state ^= state >>> 16;
  state = Math.imul(state, 0x85eb_ca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2_ae35);
  state ^= state >>> 16;
  return (state >>> 0) / 2 ** 32;
}

function hash(start: number, bytes: Uint8Array): number {
  let state = start;
  for (const byte of bytes) state = Math.imul(state ^ byte, 16_777_619);
  return state;
}
