/** How near the system calls of this run bring times: tests of restores also hold with `DM_POSIX=none`. */
import { loadPosix } from "../src/node/index.ts";
import { isSetTime } from "../src/node/restore/attributes.ts";

const posix = await loadPosix();

/** What every restore says once: nothing with a back-end. */
export const noticesHere = [...posix.losses];

/** The wanted time where the found one is it, as near as this system sets times; else the found one. */
export const nearTime = (foundNs: bigint, wantedNs: bigint): bigint =>
  isSetTime(foundNs, wantedNs, posix) ? wantedNs : foundNs;
