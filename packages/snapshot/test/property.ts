/** fast-check with a seed that can be given: `DM_SEED=1 npm test`. A failure prints the seed that led to it. */
import fc from "fast-check";

const seed = process.env["DM_SEED"];
if (seed) fc.configureGlobal({ seed: Number(seed) });
if (process.env["DM_FULL"]) fc.configureGlobal({ ...fc.readConfigureGlobal(), numRuns: 1000 });

export { fc };
