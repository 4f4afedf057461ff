/**
 * Everything that is known to go wrong: how it shows, why, and what to do. The specific ones first.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import type { KnownProblem } from "./known-problem.ts";
import { podProblems } from "./problems/pods.ts";
import { serverProblems } from "./problems/server.ts";
import { storageProblems } from "./problems/storage.ts";
import { volumeProblems } from "./problems/volumes.ts";

export const knownProblems: readonly KnownProblem[] = [
  ...podProblems,
  ...volumeProblems,
  ...storageProblems,
  ...serverProblems,
];
