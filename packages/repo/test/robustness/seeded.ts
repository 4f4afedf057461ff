/** Seeds of the sampled suites: `DM_SEED=7` repeats a run, `DM_FULL=1` leaves nothing out. */
import { type SeededRandom, seededRandom } from "@dm/fixtures";

export const seed = Number(process.env["DM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
export const isFull = Boolean(process.env["DM_FULL"]);

/** The same numbers for the same name and seed. */
export function randomFor(name: string): SeededRandom {
  let hash = seed >>> 0;
  for (const character of name) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0;
  return seededRandom(hash);
}
