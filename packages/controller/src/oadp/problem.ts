/**
 * What is wrong, as a text for the administrator.
 * Proof: test/oadp/validate-application.test.ts.
 * @module
 */

/** Undefined when all is well. */
export type Problem = string | undefined;

/** The first text that the checks give; later ones are not asked. */
export function firstOf(...checks: readonly (() => string | false | undefined)[]): Problem {
  for (const check of checks) {
    const problem = check();
    if (problem) return problem;
  }
  return undefined;
}
